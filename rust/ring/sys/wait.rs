// SPDX-License-Identifier: GPL-2.0

//! Waiting for completions, in `ENTER` and through poll.

use super::task_work;
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
        let now = unsafe { bindings::ktime_get() };
        // A timer takes a time before 0 for one that never comes.
        Self(now.saturating_add(ns).max(0))
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

    /// Sleeps until `ready`, which wakers call too: in any context, under the queue's lock. The task's
    /// work is done meanwhile. Process context, without locks.
    ///
    /// # Errors
    ///
    /// `EINTR` if a signal is pending, `ETIME` after `deadline`. If the task's work can only be
    /// done on its way to userspace, that ends a wait with a deadline by `EINTR` too, and one
    /// without by `ERESTARTNOHAND`.
    pub(crate) fn wait(&self, sleep: Sleep, ready: impl Fn() -> bool + Sync) -> Result {
        let mut waiter = Waiter {
            entry: Opaque::uninit(),
            ready: &ready,
        };
        let waiter: *mut Waiter<'_> = &mut waiter;
        // SAFETY: The entry is the waiter's first field, is ours, and does not move. `sleep_on`
        // takes it off the queue. A wake-up finds the waiter there until then.
        unsafe {
            let entry = waiter.cast::<bindings::wait_queue_entry>();
            bindings::init_wait(entry);
            (*entry).func = Some(wake_if_ready);
            self.sleep_on(entry, sleep, &ready, || {
                if task_work::do_work() {
                    return Ok(());
                }
                // SAFETY: Reads a flag of the current task.
                let signal = bindings::miniring_sigpending();
                Err(if signal || sleep.deadline.is_some() {
                    EINTR
                } else {
                    ERESTARTNOHAND
                })
            })
        }
    }

    /// Sleeps until `ready`, which may change what it looks at, without doing the task's work: the
    /// caller may hold a mutex. Process context.
    ///
    /// # Errors
    ///
    /// `EINTR` if a signal is pending, `ERESTARTNOINTR` if only work for the task is.
    pub(crate) fn wait_locked(&self, ready: impl FnMut() -> bool) -> Result {
        let entry = Opaque::<bindings::wait_queue_entry>::uninit();
        // SAFETY: The entry is ours, does not move, and `sleep_on` takes it off the queue.
        unsafe {
            bindings::init_wait(entry.get());
            self.sleep_on(entry.get(), Sleep::default(), ready, || {
                // SAFETY: Reads a flag of the current task.
                Err(if bindings::miniring_sigpending() {
                    EINTR
                } else {
                    ERESTARTNOINTR
                })
            })
        }
    }

    /// Sleeps until `ready` returns a value, which this returns. `ready` does not sleep. Neither a
    /// signal nor work for the task ends that. Process context.
    pub(crate) fn wait_for<T>(&self, mut ready: impl FnMut() -> Option<T>) -> T {
        if let Some(value) = ready() {
            return value;
        }
        let entry = Opaque::<bindings::wait_queue_entry>::uninit();
        // SAFETY: The entry is ours, and is initialised before it is queued.
        unsafe { bindings::init_wait(entry.get()) };
        let value = loop {
            // SAFETY: Both are initialised. The task state is set before the condition is
            // checked, so that a wake-up in between is not lost.
            unsafe {
                bindings::prepare_to_wait(
                    self.head.get(),
                    entry.get(),
                    bindings::TASK_UNINTERRUPTIBLE as c_int,
                )
            };
            if let Some(value) = ready() {
                break value;
            }
            // SAFETY: Process context; the task state is set.
            unsafe { bindings::schedule() };
        };
        // SAFETY: Both are initialised. The entry does not stay behind.
        unsafe { bindings::finish_wait(self.head.get(), entry.get()) };
        value
    }

    /// Sleeps on `entry` until `ready`, or until `interrupted` returns an error, which is called
    /// off the queue.
    ///
    /// # Safety
    ///
    /// `entry` is initialised, in no queue, and stays until this returns.
    unsafe fn sleep_on(
        &self,
        entry: *mut bindings::wait_queue_entry,
        sleep: Sleep,
        mut ready: impl FnMut() -> bool,
        interrupted: impl Fn() -> Result,
    ) -> Result {
        let result = loop {
            // SAFETY: Both are initialised. The task state is set before the condition is
            // checked, so that a wake-up in between is not lost.
            unsafe {
                bindings::prepare_to_wait(
                    self.head.get(),
                    entry,
                    bindings::TASK_INTERRUPTIBLE as c_int,
                )
            };
            if ready() {
                break Ok(());
            }
            if kernel::current!().signal_pending() {
                // SAFETY: Both are initialised. The entry may be queued again.
                unsafe { bindings::finish_wait(self.head.get(), entry) };
                match interrupted() {
                    Ok(()) => continue,
                    Err(error) => break Err(error),
                }
            }
            if !sleep.sleep() {
                break if ready() { Ok(()) } else { Err(ETIME) };
            }
        };
        // SAFETY: Both are initialised.
        unsafe { bindings::finish_wait(self.head.get(), entry) };
        result
    }
}

/// An entry that is woken only if that ends the wait.
#[repr(C)]
struct Waiter<'a> {
    entry: Opaque<bindings::wait_queue_entry>,
    ready: &'a (dyn Fn() -> bool + Sync),
}

/// Wakes a waiter if it has what it waits for. Any context, under the queue's lock.
///
/// # Safety
///
/// `entry` is the first field of a [`Waiter`] that is in a queue, whose lock is held.
unsafe extern "C" fn wake_if_ready(
    entry: *mut bindings::wait_queue_entry,
    mode: c_uint,
    flags: c_int,
    key: *mut c_void,
) -> c_int {
    // SAFETY: By the safety requirements.
    let waiter = unsafe { &*entry.cast::<Waiter<'_>>() };
    if !(waiter.ready)() {
        return 0;
    }
    // SAFETY: By the safety requirements; `init_wait()` set up the entry for this function.
    unsafe { bindings::autoremove_wake_function(entry, mode, flags, key) }
}

/// How to sleep.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sleep {
    pub(crate) deadline: Option<Deadline>,
    /// It counts as a wait for I/O.
    pub(crate) iowait: bool,
}

impl Sleep {
    /// Gives up the CPU until woken; false once the deadline is over.
    fn sleep(self) -> bool {
        if self.iowait {
            // SAFETY: Changes a flag of the current task.
            unsafe { bindings::miniring_set_iowait(true) };
        }
        let woken = self.schedule();
        if self.iowait {
            // SAFETY: As where it was set.
            unsafe { bindings::miniring_set_iowait(false) };
        }
        woken
    }

    fn schedule(self) -> bool {
        let Some(Deadline(ns)) = self.deadline else {
            // SAFETY: Process context; the caller has set the task state.
            unsafe { bindings::schedule_timeout(c_long::MAX) };
            return true;
        };
        let expires = UnsafeCell::new(ns);
        // SAFETY: Process context; the caller has set the task state. `expires` lives across the
        // call.
        let ret = unsafe {
            bindings::schedule_hrtimeout(expires.get(), bindings::hrtimer_mode_HRTIMER_MODE_ABS)
        };
        // Zero is returned at the expiry.
        ret != 0
    }
}
