// SPDX-License-Identifier: GPL-2.0

//! The files in debugfs.
//!
//! Not by way of `kernel::debugfs`: its files do not hold a reference to the module while they are
//! open, although closing one needs the operations that are in the module, and their mode is fixed.

use super::{
    control,
    kernel_sites, //
};
use crate::{
    static_key::{
        self,
        STATS, //
    },
    Miniring, //
};
use core::fmt;
use kernel::{
    bindings,
    error::from_result,
    module::this_module,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// The directory and what is in it, until it is dropped.
///
/// # Invariants
///
/// Null, an error, or a directory of ours.
pub(super) struct Files(*mut bindings::dentry);

// SAFETY: It is a handle that any thread can remove the directory with.
unsafe impl Send for Files {}
// SAFETY: As above; there is nothing to do with a reference.
unsafe impl Sync for Files {}

struct Operations(bindings::file_operations);

// SAFETY: Never written.
unsafe impl Sync for Operations {}

static CONTROL: Operations = Operations(bindings::file_operations {
    open: Some(control_open),
    write: Some(control_write),
    ..OPERATIONS
});

static STATISTICS: Operations = Operations(bindings::file_operations {
    open: Some(stats_open),
    ..OPERATIONS
});

const OPERATIONS: bindings::file_operations = bindings::file_operations {
    owner: this_module::<Miniring>().as_ptr(),
    read: Some(bindings::seq_read),
    llseek: Some(bindings::seq_lseek),
    release: Some(bindings::single_release),
    ..pin_init::zeroed()
};

impl Files {
    /// Makes them appear. Without debugfs, none do.
    pub(super) fn new() -> Self {
        let create = |dir, name: &CStr, mode, operations: &'static Operations| {
            // SAFETY: `dir` is a directory or an error, which the function puts up with, and the
            // operations live as long as the module, which open files keep.
            unsafe {
                bindings::debugfs_create_file_full(
                    name.as_char_ptr(),
                    mode,
                    dir,
                    core::ptr::null_mut(),
                    core::ptr::null(),
                    &operations.0,
                )
            };
        };
        // SAFETY: The name is a string, and null stands for the root of debugfs.
        let dir = unsafe {
            bindings::debugfs_create_dir(c"miniring".as_char_ptr(), core::ptr::null_mut())
        };
        create(dir, c"control", 0o644, &CONTROL);
        create(dir, c"stats", 0o444, &STATISTICS);
        // INVARIANT: As said by the function.
        Self(dir)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // SAFETY: By the invariant. Waits for who is reading or writing.
        unsafe { bindings::debugfs_remove(self.0) };
    }
}

/// # Safety
///
/// As `open` of `struct file_operations`.
unsafe extern "C" fn control_open(_: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: By the requirement.
    unsafe { bindings::single_open(file, Some(control_show), core::ptr::null_mut()) }
}

/// # Safety
///
/// As `open` of `struct file_operations`.
unsafe extern "C" fn stats_open(_: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: By the requirement.
    unsafe { bindings::single_open(file, Some(stats_show), core::ptr::null_mut()) }
}

/// # Safety
///
/// As for `single_open()`: `seq` is being read by this thread.
unsafe extern "C" fn control_show(seq: *mut bindings::seq_file, _: *mut c_void) -> c_int {
    control::list(&mut |bytes| {
        // SAFETY: By the requirement. When there is no more room, the function notes that, and
        // all is written once more with more of it.
        unsafe { bindings::seq_write(seq, bytes.as_ptr().cast(), bytes.len()) };
    });
    0
}

/// # Safety
///
/// As `write` of `struct file_operations`.
unsafe extern "C" fn control_write(
    _: *mut bindings::file,
    buffer: *const c_char,
    len: usize,
    _: *mut bindings::loff_t,
) -> isize {
    from_result(|| {
        let text = UserSlice::new(UserPtr::from_addr(buffer.addr()), len);
        control::write(text, len)?;
        Ok(len as isize)
    })
}

/// # Safety
///
/// As for `single_open()`: `seq` is being read by this thread.
unsafe extern "C" fn stats_show(seq: *mut bindings::seq_file, _: *mut c_void) -> c_int {
    // SAFETY: By the requirement.
    let seq = unsafe { SeqFile::from_raw(seq) };
    let line = |name: &str, value: &dyn fmt::Display| {
        seq_print!(seq, "{name}: {}\n", format_args!("{value}"))
    };
    let stats = STATS.snapshot();

    line("backend", &static_key::backend_name());
    line(
        "kernel",
        &if kernel_sites::get().is_ok() {
            "yes"
        } else {
            "no"
        },
    );
    line("applies", &stats.applies);
    line("batches", &stats.batches);
    line("keys", &stats.keys);
    line("entries", &stats.entries);
    line("coalesced", &stats.coalesced);
    line("dropped", &stats.dropped);
    line("refused", &stats.refused);
    line("immediate", &stats.immediate);
    line("nanoseconds", &stats.nanoseconds);
    0
}
