// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/debug/miniring`, and the files that subsystems have in it.
//!
//! Not by way of `kernel::debugfs`: its files do not hold a reference to the module while they are
//! open, although closing one needs the operations that are in the module, and their mode is fixed.

use crate::bindings;
use kernel::{
    prelude::*,
    seq_file::SeqFile, //
};

/// A file of the directory.
pub(crate) struct File {
    pub(crate) name: &'static CStr,
    pub(crate) mode: bindings::umode_t,
    pub(crate) operations: Operations,
}

/// What can be done with a file.
pub(crate) struct Operations(pub(crate) bindings::file_operations);

// SAFETY: Never written.
unsafe impl Sync for Operations {}

/// The content of a file that is only read.
pub(crate) trait Content {
    /// Writes the whole content to `seq`. May sleep.
    fn show(seq: &SeqFile);
}

impl File {
    /// Describes a file with that content, for all to read.
    pub(crate) const fn read_only<C: Content>(name: &'static CStr) -> Self {
        Self {
            name,
            mode: 0o444,
            operations: Operations(bindings::file_operations {
                open: Some(open::<C>),
                ..Operations::SINGLE
            }),
        }
    }
}

/// # Safety
///
/// As `open` of `struct file_operations`.
unsafe extern "C" fn open<C: Content>(_: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: `file` is being opened (caller).
    unsafe { bindings::single_open(file, Some(show::<C>), core::ptr::null_mut()) }
}

/// # Safety
///
/// As for `single_open()`: `seq` is being read by this thread.
unsafe extern "C" fn show<C: Content>(seq: *mut bindings::seq_file, _: *mut c_void) -> c_int {
    // SAFETY: `seq` is being read by this thread (caller).
    C::show(unsafe { SeqFile::from_raw(seq) });
    0
}

impl Operations {
    /// Those of a file that `single_open()` opens, but for `open`.
    pub(crate) const SINGLE: bindings::file_operations = bindings::file_operations {
        owner: bindings::this_module(),
        read: Some(bindings::seq_read),
        llseek: Some(bindings::seq_lseek),
        release: Some(bindings::single_release),
        ..pin_init::zeroed()
    };
}

/// The directory and what is in it, until it is dropped.
///
/// # Invariants
///
/// Null, an error, or a directory of ours.
pub(crate) struct Directory(*mut bindings::dentry);

// SAFETY: It is a handle that any thread can remove the directory with.
unsafe impl Send for Directory {}
// SAFETY: As above; there is nothing to do with a reference.
unsafe impl Sync for Directory {}

impl Directory {
    /// Makes it appear, empty. Without debugfs nothing does.
    pub(crate) fn new() -> Self {
        // SAFETY: The name is a string, and null stands for the root of debugfs.
        let dir = unsafe {
            bindings::debugfs_create_dir(c"miniring".as_char_ptr(), core::ptr::null_mut())
        };
        // INVARIANT: As said by the function.
        Self(dir)
    }

    /// Makes `files` appear.
    pub(crate) fn with(self, files: &'static [File]) -> Self {
        for file in files {
            // SAFETY: By the type invariants it is a directory or an error, which the function puts
            // up with; the operations live as long as the module, which open files keep.
            unsafe {
                bindings::debugfs_create_file_full(
                    file.name.as_char_ptr(),
                    file.mode,
                    self.0,
                    core::ptr::null_mut(),
                    core::ptr::null(),
                    &file.operations.0,
                )
            };
        }
        self
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // SAFETY: By the type invariants. Waits for who is reading or writing.
        unsafe { bindings::debugfs_remove(self.0) };
    }
}
