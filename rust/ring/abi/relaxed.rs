// SPDX-License-Identifier: GPL-2.0

//! Relaxed loads and stores of atomics, where each submission does them.
//!
//! Those of the kernel crate are calls of C helpers. These are what the kernel's own
//! `atomic_read()` and `atomic_set()` are on every architecture: a volatile access.

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
    // SAFETY: The word is valid and aligned; every other access is atomic or as here, and a
    // volatile load is atomic in the kernel's memory model.
    unsafe { atomic.as_ptr().read_volatile() }
}

#[inline(always)]
pub(crate) fn store<T: Word>(atomic: &Atomic<T>, value: T) {
    // SAFETY: As above.
    unsafe { atomic.as_ptr().write_volatile(value) }
}
