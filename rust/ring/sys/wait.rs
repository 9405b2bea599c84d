// SPDX-License-Identifier: GPL-2.0

//! Wait queues, for `ENTER` and for poll.

use super::task_work;
use crate::bindings;
use core::cell::UnsafeCell;
use kernel::{
    prelude::*,
    sync::LockClassKey,
    types::Opaque, //
};

/// A wait queue, for sleeping tasks and for poll tables.
///
/// The queue must outlive every poll table entry. The queue of a file does, because the entries are
/// removed before the release of the file.
#[pin_data]
pub(crate) struct WaitQueue {
    #[pin]
    head: Opaque<bindings::wait_queue_head>,
}

// SAFETY: A wait queue head has a lock of its own.
unsafe impl Send for WaitQueue {}
// SAFETY: A wait queue head has a lock of its own.
unsafe impl Sync for WaitQueue {}

/// The end of a wait, in nanoseconds of CLOCK_MONOTONIC.
#[derive(Clone, Copy)]
pub(crate) struct Deadline(pub(crate) i64);

impl Deadline {
    /// Returns the deadline `ns` nanoseconds from now.
    pub(crate) fn after(ns: i64) -> Self {
        // SAFETY: `ktime_get()` may be called in any context.
        let now = unsafe { bindings::ktime_get() };
        // A timer never expires at a negative time.
        Self(now.saturating_add(ns).max(0))
    }
}

impl WaitQueue {
    pub(crate) fn new(name: &'static CStr, key: Pin<&'static LockClassKey>) -> impl PinInit<Self> {
        pin_init!(Self {
            head <- Opaque::ffi_init(|head| {
                // SAFETY: `head` is memory for a wait queue head, pinned from here on. The name and
                // the key are static.
                unsafe {
                    bindings::__init_waitqueue_head(head, name.as_char_ptr(), key.as_ptr())
                }
            }),
        })
    }

    /// Wakes all waiters, and all pollers for input. Context: any.
    #[inline]
    pub(crate) fn wake(&self) {
        // SAFETY: `head` is initialised. Both functions may be called in any context.
        unsafe {
            if bindings::miniring_wq_has_sleeper(self.head.get()) {
                bindings::miniring_wake_up_input(self.head.get());
            }
        }
    }

    /// Adds a poll table, which [`WaitQueue::wake`] wakes.
    ///
    /// # Safety
    ///
    /// - `table` is null or valid, and is for `file`.
    /// - Its entries are removed before the queue is freed.
    pub(crate) unsafe fn poll(&self, file: *mut bindings::file, table: *mut bindings::poll_table) {
        // SAFETY: `table` is null or valid for `file`, and its entries are removed in time
        // (caller).
        unsafe { bindings::poll_wait(file, self.head.get(), table) }
    }

    /// Sleeps until `ready`, and runs task work meanwhile. Wakers call `ready` too, in any context,
    /// under the queue's lock.
    ///
    /// Context: process, without locks.
    ///
    /// # Errors
    ///
    /// `EINTR` if a signal is pending, `ETIME` after the deadline. If task work must wait for the
    /// return to userspace: `EINTR` with a deadline, `ERESTARTNOHAND` without.
    pub(crate) fn wait(&self, sleep: Sleep, ready: impl Fn() -> bool + Sync) -> Result {
        let mut waiter = Waiter {
            entry: Opaque::uninit(),
            ready: &ready,
        };
        let waiter: *mut Waiter<'_> = &mut waiter;
        // SAFETY: `entry` is the first field of `waiter`, which is on this stack and does not move.
        // `sleep_on` removes it from the queue; a wake-up finds the waiter until then.
        unsafe {
            let entry = waiter.cast::<bindings::wait_queue_entry>();
            bindings::init_wait(entry);
            (*entry).func = Some(wake_if_ready);
            self.sleep_on(entry, sleep, &ready, || {
                if task_work::do_work() {
                    return Ok(());
                }
                // SAFETY: Only reads the current task.
                let signal = bindings::miniring_sigpending();
                Err(if signal || sleep.deadline.is_some() {
                    EINTR
                } else {
                    ERESTARTNOHAND
                })
            })
        }
    }

    /// Sleeps until `ready`, without running task work, so the caller may hold a mutex. `ready` may
    /// change state.
    ///
    /// Context: process.
    ///
    /// # Errors
    ///
    /// `EINTR` if a signal is pending, `ERESTARTNOINTR` if only task work is pending.
    pub(crate) fn wait_locked(&self, ready: impl FnMut() -> bool) -> Result {
        let entry = Opaque::<bindings::wait_queue_entry>::uninit();
        // SAFETY: `entry` is on this stack and does not move. `sleep_on` removes it from the queue.
        unsafe {
            bindings::init_wait(entry.get());
            self.sleep_on(entry.get(), Sleep::default(), ready, || {
                // SAFETY: Only reads the current task.
                Err(if bindings::miniring_sigpending() {
                    EINTR
                } else {
                    ERESTARTNOINTR
                })
            })
        }
    }

    /// Sleeps until `ready` returns a value, and returns that value. `ready` does not sleep.
    /// Signals and task work do not end the sleep.
    ///
    /// Context: process.
    pub(crate) fn wait_for<T>(&self, mut ready: impl FnMut() -> Option<T>) -> T {
        if let Some(value) = ready() {
            return value;
        }
        let entry = Opaque::<bindings::wait_queue_entry>::uninit();
        // SAFETY: `entry` is on this stack, and is initialised before it is queued.
        unsafe { bindings::init_wait(entry.get()) };
        let value = loop {
            // SAFETY: The head and `entry` are initialised. The task state is set before the check
            // of `ready`, so that no wake-up in between is lost.
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
            // SAFETY: Process context. The task state was set above.
            unsafe { bindings::schedule() };
        };
        // SAFETY: The head and `entry` are initialised.
        unsafe { bindings::finish_wait(self.head.get(), entry.get()) };
        value
    }

    /// Sleeps on `entry` until `ready`, or until `interrupted` returns an error. `entry` is off the
    /// queue during calls of `interrupted`.
    ///
    /// # Safety
    ///
    /// `entry` is initialised, in no queue, and lives until this function returns.
    unsafe fn sleep_on(
        &self,
        entry: *mut bindings::wait_queue_entry,
        sleep: Sleep,
        mut ready: impl FnMut() -> bool,
        interrupted: impl Fn() -> Result,
    ) -> Result {
        let result = loop {
            // SAFETY: The head and `entry` are initialised. The task state is set before the check
            // of `ready`, so that no wake-up in between is lost.
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
            let woken = kernel::current!().signal_pending() || sleep.sleep();
            if ready() {
                break Ok(());
            }
            if kernel::current!().signal_pending() {
                // SAFETY: The head and `entry` are initialised. `entry` may be queued again.
                unsafe { bindings::finish_wait(self.head.get(), entry) };
                match interrupted() {
                    Ok(()) if ready() => break Ok(()),
                    Err(error) if woken => break Err(error),
                    _ => (),
                }
            }
            if !woken {
                break Err(ETIME);
            }
        };
        // SAFETY: The head and `entry` are initialised.
        unsafe { bindings::finish_wait(self.head.get(), entry) };
        result
    }
}

/// A wait queue entry that is woken only if `ready`.
#[repr(C)]
struct Waiter<'a> {
    entry: Opaque<bindings::wait_queue_entry>,
    ready: &'a (dyn Fn() -> bool + Sync),
}

/// Wakes a waiter if it is `ready`. Context: any, under the queue's lock.
///
/// # Safety
///
/// `entry` is the first field of a [`Waiter`] in a queue whose lock is held.
unsafe extern "C" fn wake_if_ready(
    entry: *mut bindings::wait_queue_entry,
    mode: c_uint,
    flags: c_int,
    key: *mut c_void,
) -> c_int {
    // SAFETY: `entry` is the first field of a live `Waiter` (caller).
    let waiter = unsafe { &*entry.cast::<Waiter<'_>>() };
    if !(waiter.ready)() {
        return 0;
    }
    // SAFETY: `entry` is queued, under the queue's lock (caller), and `init_wait()` set it up for
    // this function.
    unsafe { bindings::autoremove_wake_function(entry, mode, flags, key) }
}

/// The deadline and the accounting of a sleep.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sleep {
    pub(crate) deadline: Option<Deadline>,
    /// The scheduler counts the sleep as a wait for I/O.
    pub(crate) iowait: bool,
}

impl Sleep {
    /// Sleeps until woken. Returns false after the deadline.
    fn sleep(self) -> bool {
        if self.iowait {
            // SAFETY: Only changes a flag of the current task.
            unsafe { bindings::miniring_set_iowait(true) };
        }
        let woken = self.schedule();
        if self.iowait {
            // SAFETY: Only changes a flag of the current task.
            unsafe { bindings::miniring_set_iowait(false) };
        }
        woken
    }

    fn schedule(self) -> bool {
        let Some(Deadline(ns)) = self.deadline else {
            // SAFETY: Process context. The caller has set the task state.
            unsafe { bindings::schedule_timeout(c_long::MAX) };
            return true;
        };
        let expires = UnsafeCell::new(ns);
        // SAFETY: Process context. The caller has set the task state. `expires` lives across the
        // call.
        let ret = unsafe {
            bindings::schedule_hrtimeout(expires.get(), bindings::hrtimer_mode_HRTIMER_MODE_ABS)
        };
        // 0: the deadline has passed.
        ret != 0
    }
}
