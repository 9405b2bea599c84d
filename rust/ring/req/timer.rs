// SPDX-License-Identifier: GPL-2.0

//! A request's timer.

use super::{
    operation::Wait,
    request::{
        Owned,
        Request, //
    }, //
};
use crate::{
    bindings,
    ring::cq::completion::Of, //
};
use core::mem::offset_of;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic,
            AtomicFlag, //
        },
        ArcBorrow, //
    },
    types::Opaque, //
};

/// The value of `due` of a timeout that waits for its time only.
pub(super) const NEVER: i64 = i64::MAX;

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
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            timer: Opaque::uninit(),
            ready: AtomicFlag::new(false),
            due: Atomic::new(NEVER),
            nr: Atomic::new(0),
        })
    }

    /// Starts the timer. The callback runs in hard interrupt context.
    ///
    /// # Safety
    ///
    /// - The timer is a field of a [`Request`], and is stopped before the request is dropped.
    /// - The timer is neither running nor expiring, and only the caller can start it.
    pub(crate) unsafe fn start(&self, time: Time) {
        let mode = if time.absolute {
            bindings::hrtimer_mode_HRTIMER_MODE_ABS
        } else {
            bindings::hrtimer_mode_HRTIMER_MODE_REL
        };
        // SAFETY: The timer is pinned, at rest, and a field of a `Request` (caller). The callback
        // finds the request by the field's offset.
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

/// Handles a timer that expires: gains the request's ownership, or tells the owner. Context: hard
/// interrupt.
///
/// # Safety
///
/// `timer` is the field of a [`Timer`] that `Timer::start` started.
unsafe extern "C" fn expired(timer: *mut bindings::hrtimer) -> bindings::hrtimer_restart {
    const OFFSET: usize = offset_of!(Request, timer) + offset_of!(Timer, timer);
    // SAFETY: `timer` is a field of a request's `Timer` (caller). Before the request is dropped, it
    // stops the timer and waits for this callback.
    let request = unsafe { ArcBorrow::from_raw(timer.byte_sub(OFFSET).cast::<Request>()) };
    if let Some(owned) = Owned::claim(request) {
        owned.expired();
    }
    bindings::hrtimer_restart::HRTIMER_NORESTART
}

impl Request {
    /// Returns how the completion is counted: as that of a timeout if the timer was ever started. A
    /// TIMEOUT that was refused, or belongs to a failed chain, counts like any request.
    pub(crate) fn counts_as(&self) -> Of {
        if self.waits_for(Wait::Time) && self.timer.ready.load(Relaxed) {
            Of::Timeout
        } else {
            Of::Other
        }
    }
}
