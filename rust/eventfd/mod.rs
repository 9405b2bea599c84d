// SPDX-License-Identifier: GPL-2.0

//! Event counters that kernel code signals and userspace waits for.
//!
//! C header: [`include/linux/eventfd.h`](srctree/include/linux/eventfd.h); manual page
//! `eventfd(2)`.

use crate::bindings;
use core::ptr::NonNull;
use kernel::{
    error::from_err_ptr,
    prelude::*, //
};

/// An owned reference to the context of an eventfd.
///
/// The counter outlives its file descriptor.
///
/// # Invariants
///
/// The pointer is valid and owns a reference.
pub struct EventFd(NonNull<bindings::eventfd_ctx>);

// SAFETY: The context is reference counted and has a lock of its own. No function on it depends on
// the calling task.
unsafe impl Send for EventFd {}
// SAFETY: As above.
unsafe impl Sync for EventFd {}

impl EventFd {
    /// Takes a reference to the eventfd open as `fd` in the current task.
    ///
    /// # Errors
    ///
    /// `EBADF` if `fd` is not open, `EINVAL` if it is not an eventfd.
    #[inline(always)]
    pub fn from_fd(fd: i32) -> Result<Self> {
        // SAFETY: `eventfd_ctx_fdget()` may be called with any number.
        let ctx = from_err_ptr(unsafe { bindings::eventfd_ctx_fdget(fd) })?;
        // INVARIANT: `eventfd_ctx_fdget()` returned a reference, which the value owns.
        NonNull::new(ctx).map(Self).ok_or(EINVAL)
    }

    /// Adds 1 to the counter and wakes its waiters, with `mask` (`EPOLL*`) added to their poll key.
    ///
    /// Returns false and does nothing if `eventfd_signal_allowed()` is false: inside the wake-up of
    /// another eventfd, a signal could recurse without bound. Context: any; does not sleep.
    #[must_use]
    pub fn signal_if_allowed(&self, mask: u32) -> bool {
        // SAFETY: The context is valid (type invariant).
        unsafe { bindings::miniring_eventfd_signal_if_allowed(self.0.as_ptr(), mask) }
    }
}

impl Drop for EventFd {
    fn drop(&mut self) {
        // SAFETY: `self` owns a reference to the context (type invariant).
        unsafe { bindings::eventfd_ctx_put(self.0.as_ptr()) }
    }
}
