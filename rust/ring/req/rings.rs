// SPDX-License-Identifier: GPL-2.0

//! The number of rings: `rings` in debugfs.
//!
//! A ring is counted until it is freed, after its file and its last request. So the number shows a
//! ring that is never freed.
//!
//! Locking: the mutex is taken to make a ring and to read the number, with no lock of a ring held.

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
    // SAFETY: `init()` initialises the lock before the device exists, so before any ring.
    unsafe(uninit) static RINGS: Mutex<Option<Arc<Rings>>> = None;
}

/// The number of rings.
#[pin_data]
struct Rings {
    /// Number of rings, plus one while the module is loaded.
    nr: Atomic<usize>,
    /// Completed when the module is unloaded and no ring is left.
    #[pin]
    none: Completion,
}

/// Starts counting rings. May sleep.
///
/// # Errors
///
/// `ENOMEM`.
///
/// # Safety
///
/// Called once, before the device exists.
pub(crate) unsafe fn init() -> Result {
    // SAFETY: The caller calls `init()` once, before any use of the lock.
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

/// Waits until every ring is freed. Called after the device is gone, so no ring can be made. May
/// sleep.
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

/// A count of one ring, until dropped.
pub(crate) struct Counted(Arc<Rings>);

impl Counted {
    /// Counts a ring. May sleep.
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

/// The file `rings`.
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
/// `file` is being opened, as in `open` of `struct file_operations`.
unsafe extern "C" fn open(_: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: `file` is being opened (caller).
    unsafe { bindings::single_open(file, Some(show), core::ptr::null_mut()) }
}

/// # Safety
///
/// `seq` is being read by this thread, as for `single_open()`.
unsafe extern "C" fn show(seq: *mut bindings::seq_file, _: *mut c_void) -> c_int {
    // SAFETY: `seq` is valid, and read by this thread alone (caller).
    let seq = unsafe { SeqFile::from_raw(seq) };
    let rings = RINGS.lock().clone();
    let nr = rings.map_or(0, |rings| rings.nr.load(Relaxed) - 1);
    seq_print!(seq, "{nr}\n");
    0
}
