// SPDX-License-Identifier: GPL-2.0

//! The rings there are, and what their mutex costs them: `rings` in debugfs.
//!
//! A line a ring, in the order in which they were made:
//! `pid=PID flags=0xFLAGS submits=N locks=N`. PID is the process that made it, FLAGS are
//! IORING_SETUP_*, `submits` counts the calls that submitted, and `locks` how often the ring's mutex
//! was taken, for whatever purpose.
//!
//! The list's mutex is taken when a ring is made or freed, with no lock of the ring's held.

use crate::{
    bindings,
    debugfs::{
        File,
        Operations, //
    },
    ring::{
        sq::tally::Tally,
        sys::queues, //
    }, //
};
use kernel::{
    list::{
        impl_list_arc_safe,
        impl_list_item,
        List,
        ListArc,
        ListLinks, //
    },
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::{
        Arc,
        UniqueArc, //
    },
    time::{
        delay::fsleep,
        Delta, //
    }, //
};

kernel::sync::global_lock! {
    // SAFETY: Initialised by `init()` before there is a device to make a ring of.
    unsafe(uninit) static RINGS: Mutex<List<Entry>> = List::new();
}

/// Makes the list.
///
/// # Safety
///
/// Called once, before there is an `EndQueue`.
pub(crate) unsafe fn init() {
    // SAFETY: By the safety requirements.
    unsafe { RINGS.init() };
}

/// Waits until every ring is freed, which is after its last request. For when no more can be made.
/// May sleep.
pub(crate) fn wait_until_none() {
    while !RINGS.lock().is_empty() {
        fsleep(Delta::from_millis(1));
    }
}

/// What the list has of a ring.
#[pin_data]
struct Entry {
    pid: bindings::pid_t,
    flags: u32,
    tally: Arc<Tally>,
    #[pin]
    links: ListLinks,
}

impl_list_arc_safe! {
    impl ListArcSafe<0> for Entry { untracked; }
}
impl_list_item! {
    impl ListItem<0> for Entry { using ListLinks { self.links }; }
}

/// A ring's place in the list, which it has until this is dropped.
///
/// # Invariants
///
/// The entry is in `RINGS`, or in no list.
pub(crate) struct Listed(Arc<Entry>);

impl Listed {
    /// Lists a ring with `flags` (`IORING_SETUP_*`), whose calls `tally` counts. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ENODEV` while the module is not loaded.
    pub(crate) fn new(flags: u32, tally: Arc<Tally>) -> Result<Self> {
        if !queues::is_open() {
            return Err(ENODEV);
        }
        let entry = UniqueArc::pin_init(
            pin_init!(Entry {
                pid: kernel::current!().group_leader().pid(),
                flags,
                tally,
                links <- ListLinks::new(),
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        let entry = ListArc::from(entry);
        // INVARIANT: It goes into `RINGS`.
        let listed = Self(entry.clone_arc());
        RINGS.lock().push_back(entry);
        Ok(listed)
    }
}

impl Drop for Listed {
    fn drop(&mut self) {
        // SAFETY: By the type invariants it is in no other list.
        let entry = unsafe { RINGS.lock().remove(&self.0) };
        drop(entry);
    }
}

/// `rings`.
pub(crate) static FILES: [File; 1] = [File {
    name: c"rings",
    mode: 0o444,
    operations: Operations(bindings::file_operations {
        open: Some(open),
        ..Operations::SINGLE
    }),
}];

/// # Safety
///
/// As `open` of `struct file_operations`.
unsafe extern "C" fn open(_: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: By the requirement.
    unsafe { bindings::single_open(file, Some(show), core::ptr::null_mut()) }
}

/// # Safety
///
/// As for `single_open()`: `seq` is being read by this thread.
unsafe extern "C" fn show(seq: *mut bindings::seq_file, _: *mut c_void) -> c_int {
    // SAFETY: By the requirement.
    let seq = unsafe { SeqFile::from_raw(seq) };
    for entry in RINGS.lock().iter() {
        seq_print!(
            seq,
            "pid={} flags=0x{:x} submits={} locks={}\n",
            entry.pid,
            entry.flags,
            entry.tally.submits(),
            entry.tally.locks()
        );
    }
    0
}
