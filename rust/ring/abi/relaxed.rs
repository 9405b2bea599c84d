// SPDX-License-Identifier: GPL-2.0

//! Relaxed loads and stores of atomics that each submission touches.
//!
//! In the kernel crate these functions are calls of C helpers. Here they are volatile accesses, as
//! `atomic_read()` and `atomic_set()` are on every architecture.

use kernel::sync::atomic::{
    Atomic,
    AtomicType, //
};

/// Types that are loaded and stored by one instruction.
pub(crate) trait Word: AtomicType {}

impl Word for u32 {}
impl Word for u64 {}
impl Word for usize {}

#[inline(always)]
pub(crate) fn load<T: Word>(atomic: &Atomic<T>) -> T {
    // SAFETY: `atomic` is valid and aligned. Every other access is atomic or one of these two, and
    // a volatile access is atomic in the kernel's memory model.
    unsafe { atomic.as_ptr().read_volatile() }
}

#[inline(always)]
pub(crate) fn store<T: Word>(atomic: &Atomic<T>, value: T) {
    // SAFETY: As for `load`.
    unsafe { atomic.as_ptr().write_volatile(value) }
}
