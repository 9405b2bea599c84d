// SPDX-License-Identifier: GPL-2.0

//! IORING_SETUP_SQPOLL: a thread that submits.
//!
//! The thread polls the SQ. When nothing came for the idle time, it sets IORING_SQ_NEED_WAKEUP and
//! sleeps until an ENTER has IORING_ENTER_SQ_WAKEUP. It is a [thread of the process](crate::ring::sys::thread)
//! that made the ring, so it submits with that process's credentials, memory and descriptors. It
//! takes the ring's mutex to submit, because the submitter still registers.
//!
//! The thread ends when the ring's file is released, and when its process exits or executes another
//! program. What it has in flight is then cancelled, and ENTER fails with `EOWNERDEAD`.

use crate::{
    bindings,
    pure::geometry,
    ring::{
        sq::polled::SqPoll,
        sys::{
            queues::UserQueues,
            thread::{
                Job,
                Thread, //
            },
            wait::Sleep, //
        },
        Ring, //
    }, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::ordering::{
            Acquire,
            Release, //
        },
        Arc, //
    }, //
};

impl Ring {
    /// Starts the thread, if the ring is to have one. May sleep.
    ///
    /// # Errors
    ///
    /// As [`Thread::start`].
    pub(crate) fn start_polling(self: &Arc<Self>) -> Result {
        if let Some(sq) = &self.sq {
            let thread = Thread::start(self.clone(), sq.wish.cpu)?;
            *sq.thread.lock() = Some(thread);
        }
        Ok(())
    }

    /// Has the thread end, if there is one. Does not wait for the thread.
    pub(crate) fn end_polling(&self) {
        let Some(sq) = &self.sq else { return };
        let thread = sq.thread.lock().take();
        if let Some(thread) = thread {
            thread.end();
            sq.idle.wake();
        }
    }

    /// Waits until the SQ has room. May sleep; a signal ends that.
    pub(crate) fn wait_for_room(&self, sq: &SqPoll) {
        let _ = sq.room.wait(Sleep::default(), || {
            self.sq_has_room() || sq.ended.load(Acquire)
        });
    }

    /// Whether there are SQEs for the thread.
    fn has_sqes(&self) -> bool {
        self.is_enabled() && geometry::distance(self.shared.sq_tail(), self.cached_sq_head()) != 0
    }

    /// Submits what there is. Returns how much that was.
    fn submit_polled(self: &Arc<Self>) -> Result<u32> {
        let in_flight = self.notifier.in_flight()?;
        let mut access = self.gate.access()?;
        self.submit(&mut access, &in_flight, u32::MAX)
    }
}

impl Job for Ring {
    /// Submits until `thread`, which is the current one, is over or has a signal. May sleep.
    fn work(self: Arc<Self>, thread: &Thread) {
        let Some(sq) = &self.sq else { return };
        let mut until = now().saturating_add(sq.wish.idle_ns);
        loop {
            // SAFETY: Looks at the current task, which is one of ours.
            unsafe { bindings::miniring_notice_task_work() };
            if thread.is_over() || kernel::current!().signal_pending() {
                break;
            }
            if self.has_sqes() {
                let submitted = self.submit_polled();
                sq.room.wake();
                if submitted.is_ok_and(|nr| nr != 0) {
                    until = now().saturating_add(sq.wish.idle_ns);
                }
            }
            // SAFETY: Nothing is locked here.
            unsafe { bindings::miniring_cond_resched() };
            if now() < until {
                core::hint::spin_loop();
                continue;
            }
            // Set before the tail is read once more, with a full barrier between: either the thread
            // sees the SQEs of a program that reads the flag after publishing them, or the program
            // sees the flag.
            self.shared.raise_sq_flags(bindings::IORING_SQ_NEED_WAKEUP);
            let _ = sq
                .idle
                .wait(Sleep::default(), || self.has_sqes() || thread.is_over());
            self.shared.lower_sq_flags(bindings::IORING_SQ_NEED_WAKEUP);
            until = now().saturating_add(sq.wish.idle_ns);
        }
    }

    /// Marks polling as ended. NEED_WAKEUP is set so that userspace calls ENTER, which returns
    /// `EOWNERDEAD`.
    fn ended(&self) {
        let Some(sq) = &self.sq else { return };
        sq.ended.store(true, Release);
        self.shared.raise_sq_flags(bindings::IORING_SQ_NEED_WAKEUP);
        sq.room.wake();
    }

    fn killed(&self) {
        self.cancel_those(|_| true);
    }

    fn queues(&self) -> &UserQueues {
        &self.queues
    }
}

fn now() -> i64 {
    // SAFETY: May be called in any context.
    unsafe { bindings::ktime_get() }
}
