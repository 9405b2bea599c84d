// SPDX-License-Identifier: GPL-2.0

//! Waiting for completions, in `ENTER` and through poll.

use super::task;
use crate::bindings;
use core::cell::UnsafeCell;
use kernel::{
    prelude::*,
    sync::LockClassKey,
    types::Opaque, //
};

/// A wait queue that tasks sleep on and that a poll table may hold.
///
/// The memory must outlive every poll table entry, which holds for what a file owns: entries are
/// removed before the file is released.
#[pin_data]
pub(crate) struct WaitQueue {
    #[pin]
    head: Opaque<bindings::wait_queue_head>,
}

// SAFETY: A wait queue head has a lock of its own.
unsafe impl Send for WaitQueue {}
// SAFETY: As above.
unsafe impl Sync for WaitQueue {}

/// When to stop waiting, in nanoseconds of CLOCK_MONOTONIC.
#[derive(Clone, Copy)]
pub(crate) struct Deadline(pub(crate) i64);

impl Deadline {
    /// In so many nanoseconds from now.
    pub(crate) fn after(ns: i64) -> Self {
        // SAFETY: May be called in any context.
        Self(unsafe { bindings::ktime_get() }.saturating_add(ns))
    }
}

impl WaitQueue {
    pub(crate) fn new(name: &'static CStr, key: Pin<&'static LockClassKey>) -> impl PinInit<Self> {
        pin_init!(Self {
            head <- Opaque::ffi_init(|head| {
                // SAFETY: `head` is memory for a wait queue head, pinned from here on; the name
                // and the key are static.
                unsafe {
                    bindings::__init_waitqueue_head(head, name.as_char_ptr(), key.as_ptr())
                }
            }),
        })
    }

    /// Wakes everybody who waits or polls for input. Any context.
    #[inline]
    pub(crate) fn wake(&self) {
        // SAFETY: The head is initialised; both functions may be called in any context.
        unsafe {
            if bindings::miniring_wq_has_sleeper(self.head.get()) {
                bindings::miniring_wake_up_input(self.head.get());
            }
        }
    }

    /// Registers a poll table, to be woken by [`WaitQueue::wake`].
    ///
    /// # Safety
    ///
    /// `table` is null or valid, and takes this `file`. Its entries are off the queue before that
    /// goes.
    pub(crate) unsafe fn poll(&self, file: *mut bindings::file, table: *mut bindings::poll_table) {
        // SAFETY: By the safety requirements.
        unsafe { bindings::poll_wait(file, self.head.get(), table) }
    }

    /// Sleeps until `ready`. Process context.
    ///
    /// # Errors
    ///
    /// `EINTR` if a signal is pending, `ETIME` after `deadline`. If the task's work can only be
    /// done on its way to userspace, that ends a wait with a deadline by `EINTR` too, and one
    /// without by `ERESTARTNOHAND`.
    pub(crate) fn wait(
        &self,
        deadline: Option<Deadline>,
        mut ready: impl FnMut() -> bool,
    ) -> Result {
        let entry = Opaque::<bindings::wait_queue_entry>::uninit();
        // SAFETY: The entry is ours, does not move, and is off the queue before it goes:
        // `finish_wait()` is on every path below.
        unsafe { bindings::init_wait(entry.get()) };
        let result = loop {
            // SAFETY: Both are initialised. The task state is set before the condition is
            // looked at, so that a wake-up in between is not lost.
            unsafe {
                bindings::prepare_to_wait(
                    self.head.get(),
                    entry.get(),
                    bindings::TASK_INTERRUPTIBLE as c_int,
                )
            };
            if ready() {
                break Ok(());
            }
            if kernel::current!().signal_pending() {
                // SAFETY: As above. The entry may be queued again.
                unsafe { bindings::finish_wait(self.head.get(), entry.get()) };
                if task::do_work() {
                    continue;
                }
                // SAFETY: Reads a flag of the current task.
                let signal = unsafe { bindings::miniring_sigpending() };
                break Err(if signal || deadline.is_some() {
                    EINTR
                } else {
                    ERESTARTNOHAND
                });
            }
            if !sleep(deadline) {
                break if ready() { Ok(()) } else { Err(ETIME) };
            }
        };
        // SAFETY: As above.
        unsafe { bindings::finish_wait(self.head.get(), entry.get()) };
        result
    }
}

/// Gives up the CPU until woken; false once `deadline` is over.
fn sleep(deadline: Option<Deadline>) -> bool {
    let Some(Deadline(ns)) = deadline else {
        // SAFETY: Process context; the caller has set the task state.
        unsafe { bindings::schedule_timeout(c_long::MAX) };
        return true;
    };
    let expires = UnsafeCell::new(ns);
    // SAFETY: As above; `expires` lives across the call. Zero is returned at the expiry.
    let ret = unsafe {
        bindings::schedule_hrtimeout(expires.get(), bindings::hrtimer_mode_HRTIMER_MODE_ABS)
    };
    ret != 0
}
