// SPDX-License-Identifier: GPL-2.0

//! A request's timer.

use crate::bindings;
use core::mem::offset_of;
use kernel::{
    prelude::*,
    sync::atomic::{
        ordering::Relaxed,
        Atomic,
        AtomicFlag, //
    },
    types::Opaque, //
};

/// The value of `due` of a timeout that waits for its time only.
pub(super) const NEVER: i64 = i64::MAX;

/// The callback of a timer. Context: hard interrupt.
pub(super) type Expired = unsafe extern "C" fn(*mut bindings::hrtimer) -> bindings::hrtimer_restart;

/// A request's timer, and the CQE count that a timeout waits for.
#[pin_data]
pub(crate) struct Timer {
    #[pin]
    timer: Opaque<bindings::hrtimer>,
    /// `timer` is initialised.
    pub(super) ready: AtomicFlag,
    /// The number of CQEs that must [count](crate::ring::cq::completion::Completion::counted)
    /// before the timeout is due, or [`NEVER`].
    pub(super) due: Atomic<i64>,
    /// Orders timeouts with the same `due`, by the order in which they were added.
    pub(super) nr: Atomic<u64>,
}

/// The time at which a timer expires.
#[derive(Clone, Copy)]
pub(crate) struct Time {
    pub(crate) ns: i64,
    pub(crate) clock: u32,
    pub(crate) absolute: bool,
}

impl Timer {
    /// Offset of the `hrtimer` that the callback gets, in bytes.
    pub(super) const OFFSET: usize = offset_of!(Self, timer);

    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            timer: Opaque::uninit(),
            ready: AtomicFlag::new(false),
            due: Atomic::new(NEVER),
            nr: Atomic::new(0),
        })
    }

    /// Starts the timer.
    ///
    /// # Safety
    ///
    /// - The timer is pinned, and is stopped before it is dropped.
    /// - The timer is neither running nor expiring, and only the caller can start it.
    /// - `expired` may be called with the timer.
    pub(super) unsafe fn start(&self, time: Time, expired: Expired) {
        let mode = if time.absolute {
            bindings::hrtimer_mode_HRTIMER_MODE_ABS
        } else {
            bindings::hrtimer_mode_HRTIMER_MODE_REL
        };
        // SAFETY: The timer is pinned and at rest, and the callback may be called with it (caller).
        unsafe {
            bindings::hrtimer_setup(
                self.timer.get(),
                Some(expired),
                time.clock as bindings::clockid_t,
                mode,
            );
            self.ready.store(true, Relaxed);
            bindings::hrtimer_start_range_ns(self.timer.get(), time.ns, 0, mode);
        }
    }

    /// Stops the timer, unless its callback runs. Context: any.
    #[must_use]
    pub(crate) fn try_stop(&self) -> bool {
        if !self.ready.load(Relaxed) {
            return true;
        }
        // SAFETY: The timer is initialised, as `ready` is set.
        let was = unsafe { bindings::hrtimer_try_to_cancel(self.timer.get()) };
        was >= 0
    }

    /// Stops the timer, and waits for a running callback. Context: process; may sleep.
    pub(crate) fn stop(&self) {
        if self.ready.load(Relaxed) {
            // SAFETY: The timer is initialised, as `ready` is set.
            unsafe { bindings::hrtimer_cancel(self.timer.get()) };
        }
    }
}
