// SPDX-License-Identifier: GPL-2.0

//! The toggler's files in debugfs.

use super::{
    control,
    kernel_sites, //
};
use crate::{
    debugfs::{
        Content,
        File,
        Operations, //
    },
    static_key::{
        self,
        STATS, //
    }, //
};
use kernel::{
    bindings,
    error::from_result,
    prelude::*,
    seq_file::SeqFile,
    seq_print,
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// The files; [`Stats`], [`Backend`] and [`Reach`] are the read-only ones.
pub(crate) static FILES: [File; 4] = [
    File {
        name: c"control",
        mode: 0o644,
        operations: Operations(bindings::file_operations {
            open: Some(control_open),
            write: Some(control_write),
            ..Operations::SINGLE
        }),
    },
    File::read_only::<Stats>(c"stats"),
    File::read_only::<Backend>(c"backend"),
    File::read_only::<Reach>(c"reach"),
];

/// Opens `control`.
///
/// # Safety
///
/// As for `open` of `struct file_operations`: `file` is being opened.
unsafe extern "C" fn control_open(_: *mut bindings::inode, file: *mut bindings::file) -> c_int {
    // SAFETY: `file` is being opened (caller).
    unsafe { bindings::single_open(file, Some(control_show), core::ptr::null_mut()) }
}

/// Writes the content of `control` to `seq`.
///
/// # Safety
///
/// As for `single_open()`: `seq` is being read by this task.
unsafe extern "C" fn control_show(seq: *mut bindings::seq_file, _: *mut c_void) -> c_int {
    control::list(&mut |bytes| {
        // If the buffer is full, `seq_write()` marks `seq`, and the caller repeats the call with a
        // larger one.
        // SAFETY: `seq` is being read by this task (caller), and `bytes` is valid.
        unsafe { bindings::seq_write(seq, bytes.as_ptr().cast(), bytes.len()) };
    });
    0
}

/// Carries out a write to `control`.
///
/// # Safety
///
/// As for `write` of `struct file_operations`.
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

/// `stats`: the counters of the applies.
struct Stats;

impl Content for Stats {
    fn show(seq: &SeqFile) {
        let stats = STATS.snapshot();
        for (name, value) in [
            ("applies", stats.applies),
            ("batches", stats.batches),
            ("keys", stats.keys),
            ("entries", stats.entries),
            ("coalesced", stats.coalesced),
            ("dropped", stats.dropped),
            ("refused", stats.refused),
            ("immediate", stats.immediate),
            ("nanoseconds", stats.nanoseconds),
        ] {
            seq_print!(seq, "{name}: {value}\n");
        }
    }
}

/// `backend`: the name of the backend.
struct Backend;

impl Content for Backend {
    fn show(seq: &SeqFile) {
        seq_print!(seq, "{}\n", static_key::backend_name());
    }
}

/// `reach`: whether the kernel's own sites can be reached.
struct Reach;

impl Content for Reach {
    fn show(seq: &SeqFile) {
        let kernel = if kernel_sites::get().is_ok() {
            "yes"
        } else {
            "no"
        };
        seq_print!(seq, "kernel: {kernel}\n");
    }
}
