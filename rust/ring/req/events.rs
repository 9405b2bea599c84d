// SPDX-License-Identifier: GPL-2.0

//! The events that a request waits for: a wake-up of its file, and the expiry of its timer.
//!
//! An event gains the ownership and queues a worker or task work, or tells the owner. Lock order of
//! a wake-up: the wait queue's lock, then the workqueue's or the task's own; no lock of a ring.

use super::{
    core::Target,
    defer::go_on,
    request::{
        Owned,
        Request,
        Step, //
    },
    timer::{
        Time,
        Timer, //
    },
    wakers::Waker, //
};
use crate::{
    bindings,
    pure::ownership::Claim,
    ring::sys::queues::Kind, //
};
use core::{
    mem::offset_of,
    ptr, //
};
use kernel::{
    prelude::*,
    sync::ArcBorrow, //
};

impl Request {
    /// Adds the request to the wait queues of `target`. Returns those of `events` that the target
    /// is ready for. May sleep.
    ///
    /// # Errors
    ///
    /// As [`Wakers::arm`](super::wakers::Wakers::arm).
    ///
    /// # Safety
    ///
    /// - The caller owns the request, whose wakers are disarmed.
    /// - The wakers are disarmed again before the request or the target is dropped.
    pub(crate) unsafe fn arm(&self, target: &Target, events: u32) -> Result<u32> {
        let this = ptr::from_ref(self).cast_mut().cast();
        // SAFETY: The request is pinned, and the caller owns it. `wake` gets entries of its wakers,
        // until they are disarmed (caller).
        unsafe { self.wakers.arm(wake, this, target, events) }
    }

    /// Starts the request's timer.
    ///
    /// # Safety
    ///
    /// - The timer is stopped before the request is dropped.
    /// - The timer is neither running nor expiring, and only the caller can start it.
    pub(crate) unsafe fn start_timer(&self, time: Time) {
        // SAFETY: The timer is a field of a request, as `expired` requires, and is pinned with the
        // request. The caller keeps the other requirements.
        unsafe { self.timer.start(time, expired) };
    }
}

/// Handles a wake-up of a request. Context: any, under the lock of the wait queue.
///
/// # Safety
///
/// `wait` is an entry that [`Request::arm`] added, in a queue whose lock is held.
unsafe extern "C" fn wake(
    wait: *mut bindings::wait_queue_entry,
    _mode: c_uint,
    _flags: c_int,
    key: *mut c_void,
) -> c_int {
    let key = key as usize as u32;
    // SAFETY: `Request::arm` added the entry, with the request, to a queue whose lock is held
    // (caller). The request lives until its entries are removed.
    let (waker, request) = unsafe {
        let (waker, private) = Waker::of(wait);
        (
            waker,
            ArcBorrow::from_raw(private.cast::<Request>().cast_const()),
        )
    };
    if key & bindings::CONST_POLLFREE != 0 {
        if request.ownership.cancel() == Claim::Gained {
            // SAFETY: The ownership was just gained.
            let owned = unsafe { Owned::assume(request.into()) };
            owned.enqueue(Step::Finish, Kind::Prompt);
        }
        // SAFETY: The entry is in the queue, whose lock is held (caller).
        unsafe { waker.take() };
        return 1;
    }
    let events = request.wakers.events();
    if key != 0 && key & events & 0xffff == 0 {
        return 0;
    }
    if key & bindings::CONST_EPOLL_URING_WAKE != 0 {
        // A completion caused this wake-up, and the owner may be posting that completion now.
        // Reporting the wake-up could cause another one, without end. `arm` stores the events
        // before it adds an entry.
        request.wakers.report_once();
    }
    if let Some(owned) = Owned::claim(request) {
        if key != 0 && owned.reports_once() {
            // The request is about to complete, so remove its entry now. A stale entry would slow
            // other wake-ups.
            //
            // SAFETY: The entry is in the queue, whose lock is held (caller).
            unsafe { waker.take() };
        }
        go_on(owned, Step::Event(key));
    }
    1
}

/// Handles a timer that expires: gains the request's ownership, or tells the owner. Context: hard
/// interrupt.
///
/// # Safety
///
/// `timer` is the field of a [`Timer`] that [`Request::start_timer`] started.
unsafe extern "C" fn expired(timer: *mut bindings::hrtimer) -> bindings::hrtimer_restart {
    const OFFSET: usize = offset_of!(Request, timer) + Timer::OFFSET;
    // SAFETY: `timer` is a field of a request's `Timer` (caller). Before the request is dropped, it
    // stops the timer and waits for this callback.
    let request = unsafe { ArcBorrow::from_raw(timer.byte_sub(OFFSET).cast::<Request>()) };
    if let Some(owned) = Owned::claim(request) {
        owned.expired();
    }
    bindings::hrtimer_restart::HRTIMER_NORESTART
}
