// SPDX-License-Identifier: GPL-2.0

//! IORING_OP_TIMEOUT and IORING_OP_TIMEOUT_REMOVE.
//!
//! A timer that expires gains its request's ownership and decides the result, in hard interrupt
//! context. Task work of the submitter posts the completion: see [`crate::ring::req::defer`]. A
//! worker reports a multishot timeout that goes on, and restarts its timer. So no interval, however
//! short, keeps the CPU in interrupts or the submitter in task work.

use super::common::AtOnce;
use crate::{
    bindings,
    pure::ownership::Word,
    ring::{
        abi::{
            sqe::Sqe,
            uaccess::read_timespec, //
        },
        cq::completion::Of,
        req::{
            core::Core,
            defer::finish_later,
            operation::{
                Operation,
                OwnedOf,
                Wait, //
            },
            outcome::Outcome,
            poster::Poster,
            request::{
                Issued,
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
    /// Reads a time of the clock in `flags` (`IORING_TIMEOUT_*`). `arg` is its user address, or
    /// with IORING_TIMEOUT_IMMEDIATE_ARG the time itself.
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

    /// Converts the time from the current task's time namespace to that of the host.
    fn of_host(self) -> Self {
        if !self.absolute {
            return self;
        }
        Self {
            // SAFETY: Only reads the time namespace of the current task.
            ns: unsafe { bindings::miniring_timens_to_host(self.clock as c_int, self.ns) },
            ..self
        }
    }
}

const fn clocks() -> u32 {
    bindings::IORING_TIMEOUT_BOOTTIME | bindings::IORING_TIMEOUT_REALTIME
}

/// Waits for a time, or for a number of completions.
pub(crate) struct Timeout {
    time: Time,
    flags: u32,
    /// Completions to wait for; for a multishot timeout, reports to make, or 0 for no limit.
    count: u32,
    /// Memory for waiting for completions, until the timeout is issued.
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

    /// Returns the result of the timeout if it expires.
    fn outcome(&self) -> Outcome {
        Outcome {
            res: ETIME.to_errno(),
            flags: 0,
            failed: self.flags & bindings::IORING_TIMEOUT_ETIME_SUCCESS == 0,
        }
    }

    /// Returns whether another report follows the due report.
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

impl Operation for Timeout {
    const WAITS_FOR: Wait = Wait::Time;

    /// Starts a timeout.
    fn issue(mut request: OwnedOf<Self>, _blocking: bool, _poster: &mut Poster<'_>) -> Issued {
        request.add_to_pending();
        let timeout = request.op();
        let (time, count) = (timeout.time, timeout.count);
        if let Some(room) = timeout.room.take() {
            Sequenced::add(&request, count, room);
        }
        start(request, time)
    }

    /// Reports that a multishot timeout expired, and restarts its timer.
    fn event(
        mut request: OwnedOf<Self>,
        _events: u32,
        _blocking: bool,
        poster: &mut Poster<'_>,
    ) -> Issued {
        let outcome = request.op().outcome();
        let cqe = request.cqe(outcome.res, bindings::IORING_CQE_F_MORE);
        if !poster.try_post(&request, cqe, Of::Timeout) {
            return request.done(outcome);
        }
        let time = request.op().time;
        // The callback that queued this step may not have returned.
        request.timer.stop();
        start(request, time)
    }

    /// Decides the result of a timeout that expired. Context: any.
    fn expired(mut request: OwnedOf<Self>) {
        let timeout = request.op();
        if timeout.goes_on() {
            return request.into_owned().enqueue(Step::Event(0), Kind::Prompt);
        }
        let outcome = timeout.outcome();
        finish_later(request.into_owned(), outcome);
    }

    fn due(request: OwnedOf<Self>) {
        finish_later(request.into_owned(), Outcome::new(0));
    }
}

/// Starts a timer that is neither running nor expiring.
fn start(request: OwnedOf<Timeout>, time: Time) -> Issued {
    if request.ownership.word() == Some(Word::Cancel) {
        return request.done(Outcome::cancelled());
    }
    let this = request.to_arc();
    // SAFETY: The timer belongs to the request, whose `disarm` stops it. `issue` calls this before
    // the first start, and `event` after it stopped the timer. Only an owner starts it.
    unsafe { this.start_timer(time) };
    match release(request) {
        Ok(()) => Issued::Pending,
        Err((request, Word::Cancel)) => request.done(Outcome::cancelled()),
        Err((request, Word::Event)) => {
            // The timer has already expired.
            Timeout::expired(request);
            Issued::Pending
        }
    }
}

/// Lets a timeout wait, and flushes the timeouts that are due. A completion that made the timeout
/// due while it had an owner skipped it.
fn release(request: OwnedOf<Timeout>) -> Result<(), (OwnedOf<Timeout>, Word)> {
    let ring = request.ring.clone();
    request.release()?;
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
            // `change` sets the clock, which is that of the timeout.
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
}

impl AtOnce for Update {
    /// Ends or changes the timeout. Returns 0. `ENOENT` if there is no such timeout. A change of
    /// time fails with `EALREADY` if the timeout is expiring or being restarted. An absolute time
    /// of a multishot timeout is `EINVAL`.
    fn run(
        &mut self,
        ring: &Core,
        _this: Option<&Request>,
        poster: &mut Poster<'_>,
    ) -> Result<i32> {
        let request = ring
            .pending
            .round()
            .find(Some(self.user_data), Request::is::<Timeout>)
            .ok_or(ENOENT)?;
        let Some(time) = self.time else {
            poster.cancel(Owned::cancel_after_owner(request).ok_or(ENOENT)?);
            return Ok(0);
        };
        let mut owned = OwnedOf::<Timeout>::try_claim(&request)?;
        let ret = change(&mut owned, time);
        match release(owned) {
            Err((owned, Word::Cancel)) => poster.cancel(owned.into_owned()),
            Err((owned, Word::Event)) => Timeout::expired(owned),
            Ok(()) => (),
        }
        ret.map(|()| 0)
    }
}

/// Changes the time at which a timeout expires.
fn change(owned: &mut OwnedOf<Timeout>, time: Time) -> Result {
    let (timeout, request) = owned.parts();
    if timeout.is_multishot() && time.absolute {
        return Err(EINVAL);
    }
    // The timer may have expired after the request was claimed; then its report is still due.
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
    Sequenced::remove(request);
    // SAFETY: The timer belongs to the request, whose `disarm` stops it. `try_stop` just stopped
    // the timer, and only an owner starts it.
    unsafe { request.start_timer(timeout.time) };
    Ok(())
}
