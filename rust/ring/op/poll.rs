// SPDX-License-Identifier: GPL-2.0

//! IORING_OP_POLL_ADD and IORING_OP_POLL_REMOVE.

use super::{
    cancel::cancel,
    common::{
        AtOnce,
        Context, //
    }, //
};
use crate::{
    bindings,
    pure::ownership::Word,
    ring::{
        abi::sqe::Sqe,
        cq::completion::Of,
        req::{
            core::{
                Core,
                Target, //
            },
            defer::{
                defer,
                hand_over, //
            },
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
            }, //
        }, //
    }, //
};
use kernel::prelude::*;

/// The events that every poll reports.
pub(super) const ALWAYS: u32 = bindings::CONST_EPOLLERR
    | bindings::CONST_EPOLLHUP
    | bindings::CONST_EPOLLNVAL
    | bindings::CONST_EPOLLRDHUP;

/// Bits that select how to wait, not the events to wait for.
const MODES: u32 =
    bindings::CONST_EPOLLEXCLUSIVE | bindings::CONST_EPOLLONESHOT | bindings::CONST_EPOLLET;

/// The events that poll(2) knows.
const EVENTS: u32 = 0x27ff;

/// Waits for events on a file.
pub(crate) struct Poll {
    target: Option<Target>,
    events: u32,
}

impl Poll {
    pub(super) fn prepare(sqe: &Sqe, context: &Context<'_>) -> Result<Self> {
        if sqe.buf_index != 0 || sqe.off != 0 || sqe.addr != 0 {
            return Err(EINVAL);
        }
        if sqe.len & !bindings::IORING_POLL_ADD_MULTI != 0 {
            return Err(EINVAL);
        }
        if sqe.len != 0 && u32::from(sqe.flags) & bindings::CONST_IOSQE_CQE_SKIP_SUCCESS != 0 {
            return Err(EINVAL);
        }
        Ok(Self {
            target: context.target(sqe),
            events: events(sqe) | ALWAYS,
        })
    }
}

/// Returns the events that `sqe` requests, and how to wait for them.
fn events(sqe: &Sqe) -> u32 {
    let mut events = sqe.op_flags;
    if sqe.len & bindings::IORING_POLL_ADD_MULTI == 0 {
        events |= bindings::CONST_EPOLLONESHOT;
    }
    (events & (EVENTS | MODES)) | bindings::CONST_EPOLLET
}

impl Operation for Poll {
    const WAITS_FOR: Wait = Wait::Events;

    fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    /// Arms a poll request, or completes the request if the file is ready.
    fn issue(mut request: OwnedOf<Self>, _blocking: bool, poster: &mut Poster<'_>) -> Issued {
        if !poster.collects() && request.ownership.word() == Some(Word::Cancel) {
            return request.end_cancelled();
        }
        let (poll, this) = request.parts();
        let events = poll.events;
        let Some(target) = &poll.target else {
            return request.done(EBADF);
        };
        // SAFETY: `this` is owned until it is armed. The request holds the target, and `disarm`
        // takes its wakers off the target's queues before the request drops it.
        let armed = unsafe { this.arm(target, events) };
        let once = events & bindings::CONST_EPOLLONESHOT != 0;
        if request.is_elsewhere() {
            request.wakers.disarm();
            request.add_to_pending();
            return hand_over(request.into_owned(), Step::Issue);
        }
        match armed {
            Err(error) => {
                request.wakers.disarm();
                request.done(error)
            }
            Ok(ready) if ready != 0 && once => {
                request.wakers.disarm();
                request.done(Outcome::new(ready as i32))
            }
            Ok(ready) => {
                request.add_to_pending();
                wait(request, ready, poster)
            }
        }
    }

    /// Continues after a wake-up with the events `seen`; 0 if they are unknown.
    fn event(
        mut request: OwnedOf<Self>,
        seen: u32,
        _blocking: bool,
        poster: &mut Poster<'_>,
    ) -> Issued {
        if request.is_orphan() {
            return request.end_cancelled();
        }
        let mut seen = seen & request.wakers.events() & EVENTS;
        let once = seen != 0 && request.reports_once();
        loop {
            match request.ownership.word() {
                Some(Word::Cancel) => return request.end_cancelled(),
                // A further wake-up came, with other events. A request that reports once reports
                // the events of this wake-up, which took it off the queue.
                Some(Word::Event) if !once => seen = 0,
                _ => (),
            }
            let events = request.wakers.events();
            if seen == 0 && request.is_elsewhere() {
                return hand_over(request.into_owned(), Step::Event(0));
            }
            if seen == 0 {
                let Some(target) = &request.op().target else {
                    return request.done(EBADF);
                };
                let mut table = bindings::poll_table {
                    _qproc: None,
                    _key: events,
                };
                // SAFETY: The table adds no entries.
                seen = unsafe { target.poll(&mut table) } & events & EVENTS;
            }
            if seen != 0 {
                if let Some(outcome) = report(&request, seen, poster) {
                    request.wakers.disarm();
                    return request.done(outcome);
                }
                seen = 0;
            }
            match request.release() {
                Ok(()) => return Issued::Pending,
                Err((again, Word::Cancel)) => return again.end_cancelled(),
                Err((again, Word::Event)) => request = again,
            }
        }
    }
}

/// Reports `ready` if not 0, and waits for more.
fn wait(request: OwnedOf<Poll>, ready: u32, poster: &mut Poster<'_>) -> Issued {
    if ready != 0 {
        if poster.collects() {
            return match defer(request.into_owned(), Step::Event(ready)) {
                Ok(()) => Issued::Pending,
                Err(refused) => refused.event(ready, false, poster),
            };
        }
        return Poll::event(request, ready, false, poster);
    }
    match request.release() {
        Ok(()) => Issued::Pending,
        Err((request, Word::Cancel)) => request.end_cancelled(),
        Err((request, Word::Event)) => Poll::event(request, 0, false, poster),
    }
}

/// Reports events. Returns a result if that was the last report.
fn report(owned: &Owned, ready: u32, poster: &mut Poster<'_>) -> Option<Outcome> {
    let last = Outcome::new(ready as i32);
    if owned.wakers.events() & bindings::CONST_EPOLLONESHOT != 0 {
        return Some(last);
    }
    let cqe = owned.cqe(ready as i32, bindings::IORING_CQE_F_MORE);
    if poster.try_post(owned, cqe, Of::Other) {
        None
    } else {
        Some(last)
    }
}

/// Ends or changes a poll request.
pub(crate) struct Update {
    old: u64,
    events: Option<u32>,
    user_data: Option<u64>,
}

impl Update {
    pub(super) fn prepare(sqe: &Sqe) -> Result<Self> {
        if sqe.buf_index != 0 || sqe.file_index != 0 {
            return Err(EINVAL);
        }
        let flags = sqe.len;
        let known = bindings::IORING_POLL_UPDATE_EVENTS
            | bindings::IORING_POLL_UPDATE_USER_DATA
            | bindings::IORING_POLL_ADD_MULTI;
        if flags & !known != 0 || flags == bindings::IORING_POLL_ADD_MULTI {
            return Err(EINVAL);
        }
        let has = |flag| flags & flag != 0;
        let update = Self {
            old: sqe.addr,
            events: has(bindings::IORING_POLL_UPDATE_EVENTS).then(|| events(sqe)),
            user_data: has(bindings::IORING_POLL_UPDATE_USER_DATA).then_some(sqe.off),
        };
        if (update.user_data.is_none() && sqe.off != 0)
            || (update.events.is_none() && sqe.op_flags != 0)
        {
            return Err(EINVAL);
        }
        Ok(update)
    }
}

impl AtOnce for Update {
    /// Ends or changes the poll request. Returns 0. `ENOENT` if there is no such request. A change
    /// fails with `EALREADY` if the request has an owner.
    fn run(
        &mut self,
        ring: &Core,
        _this: Option<&Request>,
        poster: &mut Poster<'_>,
    ) -> Result<i32> {
        let request = ring
            .pending
            .round()
            .find(Some(self.old), Request::is::<Poll>)
            .ok_or(ENOENT)?;
        if self.events.is_none() && self.user_data.is_none() {
            return cancel(request, poster).map(|()| 0);
        }
        let mut owned = OwnedOf::<Poll>::try_claim(&request)?;
        owned.wakers.disarm();
        if let Some(events) = self.events {
            let poll = owned.op();
            poll.events = (poll.events & !0xffff) | (events & 0xffff) | ALWAYS;
        }
        if let Some(user_data) = self.user_data {
            owned.rename(user_data);
        }
        if let Issued::Done(mut owned, mut outcome) = Poll::issue(owned, false, poster) {
            if outcome.res < 0 {
                outcome = Outcome::cancelled();
            }
            owned.inner().verdict = Some(outcome);
            poster.cancel(owned);
        }
        Ok(0)
    }
}
