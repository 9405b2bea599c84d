// SPDX-License-Identifier: GPL-2.0

//! How many rings there are: `rings` in debugfs.
//!
//! A ring counts until it is freed, which is after its file and its last request. So the number shows
//! a ring that is never freed.
//!
//! The mutex is taken when a ring is made and to read the number, with no lock of the ring's held.

use crate::{
    bindings,
    debugfs::{
        File,
        Operations, //
    },
    ring::sys::queues, //
};
use kernel::{
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    sync::{
        atomic::{
            ordering::{
                Full,
                Relaxed, //
            },
            Atomic, //
        },
        Arc,
        Completion, //
    }, //
};

kernel::sync::global_lock! {
    // SAFETY: Initialised by `init()` before there is a device to make a ring of.
    unsafe(uninit) static RINGS: Mutex<Option<Arc<Rings>>> = None;
}

/// The number of rings.
#[pin_data]
struct Rings {
    /// One more while the module is loaded.
    nr: Atomic<usize>,
    /// The module is unloaded, and no ring is left.
    #[pin]
    none: Completion,
}

/// Begins to count. May sleep.
///
/// # Errors
///
/// `ENOMEM`.
///
/// # Safety
///
/// Called once, before there is a device to make a ring of.
pub(crate) unsafe fn init() -> Result {
    // SAFETY: By the safety requirements.
    unsafe { RINGS.init() };
    let rings = Arc::pin_init(
        pin_init!(Rings {
            nr: Atomic::new(1),
            none <- Completion::new(),
        }),
        GFP_KERNEL,
    )?;
    *RINGS.lock() = Some(rings);
    Ok(())
}

/// Waits until every ring is freed. For when no more can be made. May sleep.
pub(crate) fn wait_until_none() {
    let rings = RINGS.lock().take();
    if let Some(rings) = rings {
        rings.put();
        rings.none.wait_for_completion();
    }
}

impl Rings {
    fn put(&self) {
        if self.nr.fetch_sub(1, Full) == 1 {
            self.none.complete_all();
        }
    }
}

/// Counts a ring while it exists.
pub(crate) struct Counted(Arc<Rings>);

impl Counted {
    /// May sleep.
    ///
    /// # Errors
    ///
    /// `ENODEV` while the module is not loaded.
    pub(crate) fn new() -> Result<Self> {
        if !queues::is_open() {
            return Err(ENODEV);
        }
        let rings = RINGS.lock().clone().ok_or(ENODEV)?;
        rings.nr.fetch_add(1, Relaxed);
        Ok(Self(rings))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.put();
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
    let rings = RINGS.lock().clone();
    let nr = rings.map_or(0, |rings| rings.nr.load(Relaxed) - 1);
    seq_print!(seq, "{nr}\n");
    0
}
