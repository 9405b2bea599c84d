// SPDX-License-Identifier: GPL-2.0

//! A submission queue entry, copied out of shared memory.

use crate::bindings;
use core::mem::{
    offset_of,
    transmute, //
};

/// A copy of a `struct io_uring_sqe`, with a name for each field that an operation reads.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Sqe {
    pub(crate) opcode: u8,
    pub(crate) flags: u8,
    pub(crate) ioprio: u16,
    pub(crate) fd: i32,
    pub(crate) off: u64,
    pub(crate) addr: u64,
    pub(crate) len: u32,
    pub(crate) op_flags: u32,
    pub(crate) user_data: u64,
    pub(crate) buf_index: u16,
    pub(crate) personality: u16,
    pub(crate) file_index: u32,
    pub(crate) addr3: u64,
    pub(crate) pad: u64,
}

const _: () = {
    assert!(offset_of!(Sqe, opcode) == offset_of!(bindings::io_uring_sqe, opcode));
    assert!(offset_of!(Sqe, flags) == offset_of!(bindings::io_uring_sqe, flags));
    assert!(offset_of!(Sqe, ioprio) == offset_of!(bindings::io_uring_sqe, ioprio));
    assert!(offset_of!(Sqe, fd) == offset_of!(bindings::io_uring_sqe, fd));
    assert!(offset_of!(Sqe, len) == offset_of!(bindings::io_uring_sqe, len));
    assert!(offset_of!(Sqe, user_data) == offset_of!(bindings::io_uring_sqe, user_data));
    assert!(offset_of!(Sqe, personality) == offset_of!(bindings::io_uring_sqe, personality));
};

impl Sqe {
    /// Makes an entry of the bytes of `words`.
    pub(crate) const fn from_words(words: [u64; 8]) -> Self {
        // SAFETY: Every bit pattern is a value of every field, and there is no padding.
        unsafe { transmute(words) }
    }
}
