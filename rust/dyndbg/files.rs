// SPDX-License-Identifier: GPL-2.0

//! The toggler's files in debugfs.

use super::{
    control,
    kernel_sites, //
};
use crate::{
    debugfs::{
        File,
        Operations, //
    },
    static_key::{
        self,
        STATS, //
    }, //
};
use core::fmt;
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

/// `control` and `stats`.
pub(crate) static FILES: [File; 2] = [
    File {
        name: c"control",
        mode: 0o644,
        operations: Operations(bindings::file_operations {
            open: Some(control_open),
            write: Some(control_write),
            ..Operations::SINGLE
        }),
    },
    File {
        name: c"stats",
        mode: 0o444,
        operations: Operations(bindings::file_operations {
            open: Some(stats_open),
            ..Operations::SINGLE
        }),
    },
];

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
