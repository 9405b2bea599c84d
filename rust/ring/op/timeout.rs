// SPDX-License-Identifier: GPL-2.0

//! IORING_OP_TIMEOUT and IORING_OP_TIMEOUT_REMOVE.
//!
//! A timer that expires gains its request's ownership, posts the completion there and then, in hard
//! interrupt context, and leaves the rest to a worker. One that is to report again is started again
//! by the worker, so that no interval, however short, keeps the CPU in interrupts.

use super::Op;
use crate::{
    bindings,
    pure::ownership::{
        Claim,
        Word, //
    },
    ring::{
        abi::{
            sqe::Sqe,
            uaccess::read_timespec, //
        },
        req::{
            core::Core,
            outcome::{
                Issued,
                Outcome, //
            },
            poster::Poster,
            request::{
                Owned,
                Request,
                Step, //
            },
            sequenced::{
                Room,
                Sequenced, //
            },
            timer::Time, //
        },
        sys::queues::Kind, //
    }, //
};
use kernel::{
    prelude::*,
    time::NSEC_PER_SEC, //
};

impl Time {
    /// Reads a time, which is at the user address `arg` or `arg` itself, of the clock that `flags`
    /// say (`IORING_TIMEOUT_*`).
    fn read(arg: u64, flags: u32) -> Result<Self> {
        let ns = if flags & bindings::IORING_TIMEOUT_IMMEDIATE_ARG != 0 {
            i64::try_from(arg).map_err(|_| EINVAL)?
        } else {
            let ts = read_timespec(arg)?;
            if ts.tv_sec < 0 || ts.tv_nsec < 0 {
                return Err(EINVAL);
            }
            ts.tv_sec
                .saturating_mul(NSEC_PER_SEC)
                .saturating_add(ts.tv_nsec)
        };
        let clock = match flags & clocks() {
            0 => bindings::CLOCK_MONOTONIC,
            bindings::IORING_TIMEOUT_BOOTTIME => bindings::CLOCK_BOOTTIME,
            bindings::IORING_TIMEOUT_REALTIME => bindings::CLOCK_REALTIME,
            _ => return Err(EINVAL),
        };
        Ok(Self {
            ns,
            clock,
            absolute: flags & bindings::IORING_TIMEOUT_ABS != 0,
        })
    }

    /// The same time, seen from outside of the current task's time namespace.
    fn of_host(self) -> Self {
        if !self.absolute {
            return self;
        }
        Self {
            // SAFETY: Reads the current task's namespace.
            ns: unsafe { bindings::miniring_timens_to_host(self.clock as c_int, self.ns) },
            ..self
        }
    }
}

const fn clocks() -> u32 {
    bindings::IORING_TIMEOUT_BOOTTIME | bindings::IORING_TIMEOUT_REALTIME
}

/// Reports that the time is up. Any context.
pub(super) fn expire(mut owned: Owned) {
    let ring = owned.ring.clone();
    let Op::Timeout(timeout) = &mut owned.inner().op else {
        return;
    };
    let outcome = Outcome {
        res: ETIME.to_errno(),
        flags: 0,
        failed: timeout.flags & bindings::IORING_TIMEOUT_ETIME_SUCCESS == 0,
    };
    if timeout.goes_on() {
        let cqe = owned.cqe(outcome.res, bindings::IORING_CQE_F_MORE);
        if owned.try_post_in_irq(cqe) {
            return owned.enqueue(Step::Rearm, Kind::Prompt);
        }
    }
    owned.complete_in_irq(outcome);
    // As io_uring does behind every CQE.
    ring.sequenced.flush(&ring);
}

/// Waits for a time, or for a number of completions.
pub(crate) struct Timeout {
    time: Time,
    flags: u32,
    /// Completions to wait for; reports to make, if it makes several; 0 for no limit.
    count: u32,
    /// Set if it waits for completions, until it does.
    room: Option<Room>,
}

impl Timeout {
    pub(super) fn prepare(sqe: &Sqe) -> Result<Self> {
        if sqe.addr3 != 0 || sqe.pad != 0 {
            return Err(EINVAL);
        }
        if sqe.buf_index != 0 || sqe.len != 1 || sqe.file_index != 0 {
            return Err(EINVAL);
        }
        let flags = sqe.op_flags;
        let known = bindings::IORING_TIMEOUT_ABS
            | clocks()
            | bindings::IORING_TIMEOUT_ETIME_SUCCESS
            | bindings::IORING_TIMEOUT_MULTISHOT
            | bindings::IORING_TIMEOUT_IMMEDIATE_ARG;
        let relative = bindings::IORING_TIMEOUT_MULTISHOT | bindings::IORING_TIMEOUT_ABS;
        if flags & !known != 0 || flags & clocks() == clocks() || flags & relative == relative {
            return Err(EINVAL);
        }
        let count = sqe.off as u32;
        let multishot = flags & bindings::IORING_TIMEOUT_MULTISHOT != 0;
        Ok(Self {
            time: Time::read(sqe.addr, flags)?.of_host(),
            flags,
            count,
            room: if count != 0 && !multishot {
                Some(Room::new(GFP_KERNEL_ACCOUNT)?)
            } else {
                None
            },
        })
    }

    fn is_multishot(&self) -> bool {
        self.flags & bindings::IORING_TIMEOUT_MULTISHOT != 0
    }

    /// Whether there is another report after the one that is due.
    fn goes_on(&mut self) -> bool {
        if !self.is_multishot() {
            return false;
        }
        if self.count == 0 {
            return true;
        }
        self.count -= 1;
        self.count != 0
    }
}

/// Starts a timeout.
pub(super) fn issue(mut owned: Owned) -> Issued {
    owned.add_to_pending();
    let Op::Timeout(timeout) = &mut owned.inner().op else {
        return Issued::Done(owned, EINVAL.into());
    };
    let (time, count) = (timeout.time, timeout.count);
    if let Some(room) = timeout.room.take() {
        Sequenced::add(&owned, count, room);
    }
    start(owned, time)
}

/// Starts a timer that was reported again.
pub(super) fn rearm(mut owned: Owned) -> Issued {
    let Op::Timeout(timeout) = &owned.inner().op else {
        return Issued::Done(owned, EINVAL.into());
    };
    let time = timeout.time;
    // The callback that had this done may not have returned.
    owned.timer.stop();
    start(owned, time)
}

/// Starts a timer that is neither running nor expiring.
fn start(owned: Owned, time: Time) -> Issued {
    if owned.ownership.word() == Some(Word::Cancel) {
        return Issued::Done(owned, Outcome::cancelled());
    }
    let request = owned.to_arc();
    // SAFETY: It is the request's timer, which `disarm` stops, and at rest by the requirement above;
    // only an owner starts it.
    unsafe { request.timer.start(time) };
    match release(owned) {
        Ok(()) => Issued::Pending,
        Err((owned, Word::Cancel)) => Issued::Done(owned, Outcome::cancelled()),
        Err((owned, Word::Event)) => {
            // It expired already.
            expire(owned);
            Issued::Pending
        }
    }
}

/// Lets a timeout wait. Completions that made it due while it was owned passed it over, so this
/// checks once more.
fn release(owned: Owned) -> Result<(), (Owned, Word)> {
    let ring = owned.ring.clone();
    owned.release()?;
    ring.sequenced.flush(&ring);
    Ok(())
}

/// Ends a timeout, or changes its time.
pub(crate) struct Update {
    user_data: u64,
    time: Option<Time>,
}

impl Update {
    pub(super) fn prepare(sqe: &Sqe) -> Result<Self> {
        let unknown = bindings::CONST_IOSQE_FIXED_FILE | bindings::CONST_IOSQE_BUFFER_SELECT;
        if u32::from(sqe.flags) & unknown != 0 || sqe.addr3 != 0 || sqe.pad != 0 {
            return Err(EINVAL);
        }
        if sqe.buf_index != 0 || sqe.len != 0 || sqe.file_index != 0 {
            return Err(EINVAL);
        }
        let flags = sqe.op_flags;
        let time = if flags & bindings::IORING_TIMEOUT_UPDATE != 0 {
            let known = bindings::IORING_TIMEOUT_UPDATE
                | bindings::IORING_TIMEOUT_ABS
                | bindings::IORING_TIMEOUT_IMMEDIATE_ARG;
            if flags & !known != 0 {
                return Err(EINVAL);
            }
            // The clock is that of the timeout, which gives the time its meaning.
            Some(Time::read(sqe.off, flags)?)
        } else if flags != 0 {
            return Err(EINVAL);
        } else {
            None
        };
        Ok(Self {
            user_data: sqe.addr,
            time,
        })
    }

    /// `ENOENT` if there is no such timeout; for a change of time also `EALREADY` if it is expiring
    /// or is being started again, `EINVAL` if it cannot have such a time.
    pub(super) fn run(&self, ring: &Core, poster: &mut Poster<'_>) -> Result {
        let request = ring
            .pending
            .round()
            .find(Some(self.user_data), Request::is_timeout)
            .ok_or(ENOENT)?;
        let Some(time) = self.time else {
            poster.cancel(Owned::cancel_after_owner(request).ok_or(ENOENT)?);
            return Ok(());
        };
        let mut owned = Owned::try_claim(request.as_arc_borrow()).map_err(|claim| match claim {
            Claim::Done => ENOENT,
            _ => EALREADY,
        })?;
        let ret = change(&mut owned, time);
        match release(owned) {
            Err((owned, Word::Cancel)) => poster.cancel(owned),
            Err((owned, Word::Event)) => expire(owned),
            Ok(()) => (),
        }
        ret
    }
}

/// Has a timeout expire at another time.
fn change(owned: &mut Owned, time: Time) -> Result {
    let request = owned.to_arc();
    let Op::Timeout(timeout) = &mut owned.inner().op else {
        return Err(ENOENT);
    };
    if timeout.is_multishot() && time.absolute {
        return Err(EINVAL);
    }
    // It may have expired when the request was owned already, which is left to be reported.
    if !request.timer.try_stop() || request.ownership.has_word() {
        return Err(EALREADY);
    }
    if !timeout.is_multishot() {
        timeout.count = 0;
    }
    timeout.time = Time {
        clock: timeout.time.clock,
        ..time
    }
    .of_host();
    let time = timeout.time;
    Sequenced::remove(&request);
    // SAFETY: It is the request's timer, which `disarm` stops. It was stopped just now, while it was
    // not expiring; only an owner starts it.
    unsafe { request.timer.start(time) };
    Ok(())
}
