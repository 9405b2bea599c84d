// SPDX-License-Identifier: GPL-2.0

//! `/sys/kernel/debug/miniring` and its files.
//!
//! `kernel::debugfs` is not used: its open files hold no reference to the module, although closing
//! a file calls operations of the module. The mode of its files is also fixed.

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

/// The operations of a file.
pub(crate) struct Operations(pub(crate) bindings::file_operations);

// SAFETY: The operations are never written.
unsafe impl Sync for Operations {}

/// The content of a read-only file.
pub(crate) trait Content {
    /// Writes the whole content to `seq`. May sleep.
    fn show(seq: &SeqFile);
}

impl File {
    /// Describes a file with the content `C` that every user may read.
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

/// Opens a read-only file.
///
/// # Safety
///
/// As for `open` of `struct file_operations`: `file` is being opened.
unsafe extern "C" fn open<C: Content>(_: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: `file` is being opened (caller).
    unsafe { bindings::single_open(file, Some(show::<C>), core::ptr::null_mut()) }
}

/// Writes the content of a read-only file to `seq`.
///
/// # Safety
///
/// As for `single_open()`: `seq` is being read by this task.
unsafe extern "C" fn show<C: Content>(seq: *mut bindings::seq_file, _: *mut c_void) -> c_int {
    // SAFETY: `seq` is being read by this task (caller).
    C::show(unsafe { SeqFile::from_raw(seq) });
    0
}

impl Operations {
    /// The operations of a file that `single_open()` opens, without `open`.
    pub(crate) const SINGLE: bindings::file_operations = bindings::file_operations {
        owner: bindings::this_module(),
        read: Some(bindings::seq_read),
        llseek: Some(bindings::seq_lseek),
        release: Some(bindings::single_release),
        ..pin_init::zeroed()
    };
}

/// The directory and its files, removed on drop.
///
/// # Invariants
///
/// Null, an error, or a directory that this module made.
pub(crate) struct Directory(*mut bindings::dentry);

// SAFETY: Any task may remove the directory.
unsafe impl Send for Directory {}
// SAFETY: No function takes a `&Directory`.
unsafe impl Sync for Directory {}

impl Directory {
    /// Creates the empty directory. May sleep. Without debugfs, does nothing.
    pub(crate) fn new() -> Self {
        // SAFETY: The name is a string, and null is the root of debugfs.
        let dir = unsafe {
            bindings::debugfs_create_dir(c"miniring".as_char_ptr(), core::ptr::null_mut())
        };
        // INVARIANT: `debugfs_create_dir()` returns the new directory or an error.
        Self(dir)
    }

    /// Creates `files` in the directory. May sleep.
    pub(crate) fn with(self, files: &'static [File]) -> Self {
        for file in files {
            // SAFETY:
            // - `self.0` is a directory or an error (type invariant); for an error the function
            //   does nothing.
            // - The operations live as long as the module, to which an open file holds a reference.
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
        // Waits for readers and writers in the operations of a file.
        // SAFETY: `self.0` is null, an error or a directory of this module (type invariant).
        unsafe { bindings::debugfs_remove(self.0) };
    }
}
