// SPDX-License-Identifier: GPL-2.0

//! IORING_OP_POLL_ADD and IORING_OP_POLL_REMOVE.

use super::{
    cancel::cancel,
    Context,
    Op, //
};
use crate::{
    bindings,
    pure::ownership::{
        Claim,
        Word, //
    },
    ring::{
        abi::sqe::Sqe,
        req::{
            core::Core,
            defer::{
                defer,
                hand_over, //
            },
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
            target::Target, //
        }, //
    }, //
};
use kernel::prelude::*;

/// What is always asked for.
pub(super) const ALWAYS: u32 = bindings::CONST_EPOLLERR
    | bindings::CONST_EPOLLHUP
    | bindings::CONST_EPOLLNVAL
    | bindings::CONST_EPOLLRDHUP;

/// Bits that say how to wait rather than for what.
const MODES: u32 =
    bindings::CONST_EPOLLEXCLUSIVE | bindings::CONST_EPOLLONESHOT | bindings::CONST_EPOLLET;

/// The events that poll(2) knows.
const EVENTS: u32 = 0x27ff;

/// Waits for events on a file.
pub(crate) struct Poll {
    pub(super) target: Option<Target>,
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

/// The events, and how to wait for them, that `sqe` asks for.
fn events(sqe: &Sqe) -> u32 {
    let mut events = sqe.op_flags;
    if sqe.len & bindings::IORING_POLL_ADD_MULTI == 0 {
        events |= bindings::CONST_EPOLLONESHOT;
    }
    (events & (EVENTS | MODES)) | bindings::CONST_EPOLLET
}

/// Arms a poll request, or completes it if there is something already.
pub(super) fn issue(mut owned: Owned, poster: &mut Poster<'_>) -> Issued {
    if !poster.collects() && owned.ownership.word() == Some(Word::Cancel) {
        return cancelled(owned);
    }
    let Op::Poll(poll) = &owned.inner().op else {
        return Issued::Done(owned, EINVAL.into());
    };
    let events = poll.events;
    let Some(target) = &poll.target else {
        return Issued::Done(owned, EBADF.into());
    };
    let target: *const Target = target;
    // SAFETY: The target is in the request, which is owned here until it is armed; `arm` takes no
    // other part of it. It is taken off by `disarm` before the request is dropped.
    let armed = unsafe { owned.wakers.arm(&owned, &*target, events) };
    let once = events & bindings::CONST_EPOLLONESHOT != 0;
    if owned.is_elsewhere() {
        owned.wakers.disarm();
        owned.add_to_pending();
        return hand_over(owned, Step::Issue);
    }
    match armed {
        Err(error) => {
            owned.wakers.disarm();
            Issued::Done(owned, error.into())
        }
        Ok(ready) if ready != 0 && once => {
            owned.wakers.disarm();
            Issued::Done(owned, Outcome::new(ready as i32))
        }
        Ok(ready) => {
            owned.add_to_pending();
            wait(owned, ready, poster)
        }
    }
}

/// Reports `ready` if that is not 0, and waits for more.
fn wait(mut owned: Owned, ready: u32, poster: &mut Poster<'_>) -> Issued {
    if ready != 0 {
        if poster.collects() {
            match defer(owned, Step::Event(ready)) {
                Ok(()) => return Issued::Pending,
                Err(refused) => owned = refused,
            }
        }
        return event(owned, ready, poster);
    }
    match owned.release() {
        Ok(()) => Issued::Pending,
        Err((owned, Word::Cancel)) => cancelled(owned),
        Err((owned, Word::Event)) => event(owned, 0, poster),
    }
}

/// Reports events; a result if that was the last report.
fn report(owned: &mut Owned, ready: u32, poster: &mut Poster<'_>) -> Option<Outcome> {
    let last = Outcome::new(ready as i32);
    if owned.wakers.events() & bindings::CONST_EPOLLONESHOT != 0 {
        return Some(last);
    }
    let cqe = owned.cqe(ready as i32, bindings::IORING_CQE_F_MORE);
    if poster.try_post(owned, cqe) {
        None
    } else {
        Some(last)
    }
}

fn cancelled(owned: Owned) -> Issued {
    owned.wakers.disarm();
    Issued::Done(owned, Outcome::cancelled())
}

impl Request {
    /// Any context.
    pub(crate) fn is_poll(&self) -> bool {
        u32::from(self.opcode) == bindings::IORING_OP_POLL_ADD
    }

    /// Whether it is a poll request that the next event completes. Any context.
    pub(crate) fn reports_once(&self) -> bool {
        self.is_poll() && self.wakers.events() & bindings::CONST_EPOLLONESHOT != 0
    }
}

/// Goes on after a wake-up that showed the events `seen`, or some that are unknown if 0.
pub(super) fn event(mut owned: Owned, seen: u32, poster: &mut Poster<'_>) -> Issued {
    if owned.is_orphan() {
        return cancelled(owned);
    }
    let mut seen = seen & owned.wakers.events() & EVENTS;
    let once = seen != 0 && owned.reports_once();
    loop {
        match owned.ownership.word() {
            Some(Word::Cancel) => return cancelled(owned),
            // More than the wake-up that is told of. But a request that reports once is off the
            // queue of that one, and reports that one.
            Some(Word::Event) if !once => seen = 0,
            _ => (),
        }
        let events = owned.wakers.events();
        if seen == 0 && owned.is_elsewhere() {
            return hand_over(owned, Step::Event(0));
        }
        if seen == 0 {
            let Op::Poll(Poll {
                target: Some(target),
                ..
            }) = &owned.inner().op
            else {
                return Issued::Done(owned, EBADF.into());
            };
            let mut table = bindings::poll_table {
                _qproc: None,
                _key: events,
            };
            // SAFETY: The table adds no entries.
            seen = unsafe { target.poll(&mut table) } & events & EVENTS;
        }
        if seen != 0 {
            if let Some(outcome) = report(&mut owned, seen, poster) {
                owned.wakers.disarm();
                return Issued::Done(owned, outcome);
            }
            seen = 0;
        }
        match owned.release() {
            Ok(()) => return Issued::Pending,
            Err((again, Word::Cancel)) => return cancelled(again),
            Err((again, Word::Event)) => owned = again,
        }
    }
}

/// Ends a poll request, or changes it.
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

    /// `ENOENT` if there is no such request; for a change also `EALREADY` if it is being looked at.
    pub(super) fn run(&self, ring: &Core, poster: &mut Poster<'_>) -> Result {
        let request = ring
            .pending
            .round()
            .find(Some(self.old), Request::is_poll)
            .ok_or(ENOENT)?;
        if self.events.is_none() && self.user_data.is_none() {
            return cancel(request, poster);
        }
        let mut owned = Owned::try_claim(request.as_arc_borrow()).map_err(|claim| match claim {
            Claim::Done => ENOENT,
            _ => EALREADY,
        })?;
        owned.wakers.disarm();
        if let (Some(events), Op::Poll(poll)) = (self.events, &mut owned.inner().op) {
            poll.events = (poll.events & !0xffff) | (events & 0xffff) | ALWAYS;
        }
        if let Some(user_data) = self.user_data {
            owned.rename(user_data);
        }
        if let Issued::Done(mut owned, mut outcome) = issue(owned, poster) {
            if outcome.res < 0 {
                outcome = Outcome::cancelled();
            }
            owned.inner().verdict = Some(outcome);
            poster.cancel(owned);
        }
        Ok(())
    }
}
