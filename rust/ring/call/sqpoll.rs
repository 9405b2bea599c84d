// SPDX-License-Identifier: GPL-2.0

//! IORING_SETUP_SQPOLL: a thread that submits.
//!
//! The thread polls the SQ. After the idle time without SQEs it sets IORING_SQ_NEED_WAKEUP and
//! sleeps until an ENTER with IORING_ENTER_SQ_WAKEUP. The thread is a [thread of the
//! process](crate::ring::sys::thread) that made the ring, and submits with the credentials, memory
//! and descriptors of that process. To submit, the thread takes the ring's mutex, because the
//! submitter still registers.
//!
//! The thread ends when the ring's file is released, and when its process exits or executes another
//! program. Then the thread's requests are cancelled, and ENTER fails with `EOWNERDEAD`.

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
    /// Starts the thread of a ring with IORING_SETUP_SQPOLL. May sleep.
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

    /// Ends the thread, if there is one. Does not wait for it.
    pub(crate) fn end_polling(&self) {
        let Some(sq) = &self.sq else { return };
        let thread = sq.thread.lock().take();
        if let Some(thread) = thread {
            thread.end();
            sq.idle.wake();
        }
    }

    /// Waits until the SQ has room, polling has ended, or a signal is pending. May sleep.
    pub(crate) fn wait_for_room(&self, sq: &SqPoll) {
        let _ = sq.room.wait(Sleep::default(), || {
            self.sq_has_room() || sq.ended.load(Acquire)
        });
    }

    /// Returns whether there are SQEs for the thread.
    fn has_sqes(&self) -> bool {
        self.is_enabled() && geometry::distance(self.shared.sq_tail(), self.cached_sq_head()) != 0
    }

    /// Submits all SQEs. Returns their number.
    fn submit_polled(self: &Arc<Self>) -> Result<u32> {
        let in_flight = self.notifier.in_flight()?;
        let mut access = self.gate.access()?;
        self.submit(&mut access, &in_flight, u32::MAX)
    }
}

impl Job for Ring {
    /// Submits until `thread`, which is the current one, must end or has a signal. May sleep.
    fn work(self: Arc<Self>, thread: &Thread) {
        let Some(sq) = &self.sq else { return };
        let mut until = now().saturating_add(sq.wish.idle_ns);
        loop {
            // SAFETY: The current task is a thread of miniring, and holds no lock.
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
            // SAFETY: Process context, and no lock is held.
            unsafe { bindings::miniring_cond_resched() };
            if now() < until {
                core::hint::spin_loop();
                continue;
            }
            // Set the flag before the last read of the tail, with a full barrier between. A program
            // publishes SQEs before it reads the flag: either the thread sees the SQEs, or the
            // program sees the flag.
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
    // SAFETY: `ktime_get()` may be called in any context.
    unsafe { bindings::ktime_get() }
}
