// SPDX-License-Identifier: GPL-2.0

//! Operations, a file for each: from an SQE to its result.
//!
//! An operation is prepared under the ring's `Access`, and takes what it needs of the submitter and
//! of issuer state then. It is issued without, by the submitter or by a worker.

mod cancel;
mod message;
mod nop;
mod poll;
mod rw;
mod timeout;
mod transfer;

use self::{
    cancel::Cancel,
    message::Message,
    nop::Nop,
    poll::Poll,
    rw::Rw,
    timeout::Timeout, //
};
use crate::{
    bindings,
    ring::{
        abi::sqe::Sqe,
        req::{
            core::Core,
            outcome::{
                Issued,
                Outcome, //
            },
            poster::Poster,
            request::Owned,
            sequenced::Sequenced,
            target::{
                RingOf,
                Target, //
            }, //
        },
        sq::buffers::{
            Buffer,
            Table, //
        }, //
    }, //
};
use kernel::{
    prelude::*,
    sync::Arc, //
};

/// SQE flags (`IOSQE_*`) that there are.
const SQE_FLAGS: u32 = bindings::CONST_IOSQE_FIXED_FILE
    | bindings::CONST_IOSQE_IO_DRAIN
    | bindings::CONST_IOSQE_IO_LINK
    | bindings::CONST_IOSQE_IO_HARDLINK
    | bindings::CONST_IOSQE_ASYNC
    | bindings::CONST_IOSQE_BUFFER_SELECT
    | bindings::CONST_IOSQE_CQE_SKIP_SUCCESS;

/// Whether there is an operation `opcode` (`IORING_OP_*`).
pub(crate) fn supported(opcode: u8) -> bool {
    matches!(
        u32::from(opcode),
        bindings::IORING_OP_NOP
            | bindings::IORING_OP_READV
            | bindings::IORING_OP_WRITEV
            | bindings::IORING_OP_READ_FIXED
            | bindings::IORING_OP_WRITE_FIXED
            | bindings::IORING_OP_READ
            | bindings::IORING_OP_WRITE
            | bindings::IORING_OP_POLL_ADD
            | bindings::IORING_OP_POLL_REMOVE
            | bindings::IORING_OP_TIMEOUT
            | bindings::IORING_OP_TIMEOUT_REMOVE
            | bindings::IORING_OP_ASYNC_CANCEL
            | bindings::IORING_OP_MSG_RING
    )
}

/// What preparing an operation may take of its ring.
pub(crate) struct Context<'a> {
    buffers: &'a Table,
    /// It is the ring of a 32-bit program.
    compat: bool,
    ring_of: RingOf,
}

impl<'a> Context<'a> {
    pub(crate) fn new(buffers: &'a Table, compat: bool, ring_of: RingOf) -> Self {
        Self {
            buffers,
            compat,
            ring_of,
        }
    }

    /// The registered buffer `index`; `EFAULT` if there is none.
    fn buffer(&self, index: u16) -> Result<Arc<Buffer>> {
        self.buffers.get(index)
    }

    /// Returns the file that `sqe` is about, if that is one of the current task's.
    fn target(&self, sqe: &Sqe) -> Option<Target> {
        if u32::from(sqe.flags) & bindings::CONST_IOSQE_FIXED_FILE != 0 {
            return None;
        }
        Target::get(sqe.fd, self.ring_of)
    }
}

/// The result of a NOP that asks for nothing else, and what nobody needs to know about others.
#[inline]
pub(super) fn plain_nop(sqe: &Sqe) -> Option<i32> {
    let plain = u32::from(sqe.opcode) == bindings::IORING_OP_NOP
        && sqe.op_flags & !bindings::IORING_NOP_INJECT_RESULT == 0
        && u32::from(sqe.flags) & !bindings::CONST_IOSQE_CQE_SKIP_SUCCESS == 0
        && sqe.ioprio | sqe.personality == 0;
    plain.then_some(if sqe.op_flags != 0 { sqe.len as i32 } else { 0 })
}

/// An operation that was found to be in order.
pub(crate) enum Op {
    Nop(Nop),
    Rw(Rw),
    Poll(Poll),
    PollUpdate(poll::Update),
    Timeout(Timeout),
    TimeoutUpdate(timeout::Update),
    Cancel(Cancel),
    Message(Message),
    /// An SQE that was not in order, in a chain.
    Failed(Error),
}

impl Op {
    /// Checks the operation and the flags of an SQE.
    ///
    /// # Errors
    ///
    /// `EINVAL` for one that is not supported; `EOPNOTSUPP` for IOSQE_BUFFER_SELECT where that makes
    /// no sense.
    pub(crate) fn check(sqe: &Sqe) -> Result {
        if !supported(sqe.opcode) {
            return Err(EINVAL);
        }
        if sqe.flags != 0 {
            check_flags(sqe)?;
        }
        Ok(())
    }

    /// Goes on with an SQE that is [in order](Self::check) so far.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a field that is not supported, and what the operation says.
    pub(crate) fn prepare(sqe: &Sqe, context: &Context<'_>) -> Result<Self> {
        if sqe.personality != 0 || sqe.ioprio != 0 && !is_rw(sqe.opcode) {
            return Err(EINVAL);
        }
        if is_rw(sqe.opcode) {
            return Rw::prepare(sqe, context).map(Self::Rw);
        }
        match u32::from(sqe.opcode) {
            bindings::IORING_OP_NOP => Nop::prepare(sqe, context).map(Self::Nop),
            bindings::IORING_OP_POLL_ADD => Poll::prepare(sqe, context).map(Self::Poll),
            bindings::IORING_OP_POLL_REMOVE => poll::Update::prepare(sqe).map(Self::PollUpdate),
            bindings::IORING_OP_TIMEOUT => Timeout::prepare(sqe).map(Self::Timeout),
            bindings::IORING_OP_TIMEOUT_REMOVE => {
                timeout::Update::prepare(sqe).map(Self::TimeoutUpdate)
            }
            bindings::IORING_OP_ASYNC_CANCEL => Cancel::prepare(sqe, context).map(Self::Cancel),
            bindings::IORING_OP_MSG_RING => Message::prepare(sqe, context).map(Self::Message),
            _ => Err(EINVAL),
        }
    }

    /// What it is about, for comparison.
    pub(crate) fn target(&self) -> usize {
        match self {
            Self::Poll(poll) => poll.target.as_ref().map_or(0, Target::id),
            Self::Rw(rw) => rw.target.as_ref().map_or(0, Target::id),
            _ => 0,
        }
    }

    /// Whether it is about a file that [may keep rings](Target::may_keep_rings).
    pub(crate) fn may_keep_rings(&self) -> bool {
        let target = match self {
            Self::Poll(poll) => &poll.target,
            Self::Rw(rw) => &rw.target,
            Self::Message(message) => &message.target,
            Self::Cancel(cancel) => &cancel.target,
            _ => return false,
        };
        target.as_ref().is_some_and(Target::may_keep_rings)
    }

    /// The result if nothing more is done: none if nothing was yet.
    pub(crate) fn so_far(&self) -> Option<Outcome> {
        match self {
            Self::Rw(rw) => rw.so_far(),
            _ => None,
        }
    }

    /// Carries out an operation that is over at once, on behalf of the request `this` if there is
    /// one. None if it needs a request to wait.
    pub(crate) fn run(
        &mut self,
        ring: &Core,
        this: usize,
        poster: &mut Poster<'_>,
    ) -> Option<Outcome> {
        let result = match self {
            // A request has more ways to go about it.
            Self::Rw(rw) => return if this == 0 { rw.try_now() } else { None },
            Self::Nop(nop) => return (this != 0 || !nop.deferred).then(|| nop.run()),
            Self::PollUpdate(update) => update.run(ring, poster).map(|()| 0),
            Self::TimeoutUpdate(update) => update.run(ring, poster).map(|()| 0),
            Self::Cancel(cancel) => cancel.run(ring, this, poster),
            Self::Message(message) => message.run(ring, poster).map(|()| 0),
            Self::Failed(error) => Err(*error),
            Self::Poll(_) | Self::Timeout(_) => return None,
        };
        Some(result.map_or_else(Outcome::from, Outcome::new))
    }
}

/// Whether it reads or writes.
fn is_rw(opcode: u8) -> bool {
    matches!(
        u32::from(opcode),
        bindings::IORING_OP_READV
            | bindings::IORING_OP_WRITEV
            | bindings::IORING_OP_READ_FIXED
            | bindings::IORING_OP_WRITE_FIXED
            | bindings::IORING_OP_READ
            | bindings::IORING_OP_WRITE
    )
}

fn check_flags(sqe: &Sqe) -> Result {
    let flags = u32::from(sqe.flags);
    if flags & !SQE_FLAGS != 0 {
        return Err(EINVAL);
    }
    let reads = matches!(
        u32::from(sqe.opcode),
        bindings::IORING_OP_READ | bindings::IORING_OP_READV
    );
    if flags & bindings::CONST_IOSQE_BUFFER_SELECT != 0 && !reads {
        return Err(EOPNOTSUPP);
    }
    Ok(())
}

/// Issues a request. `blocking` if it may block: then it is a worker's, with nothing behind it.
pub(super) fn issue(mut owned: Owned, blocking: bool, poster: &mut Poster<'_>) -> Issued {
    let ring = owned.ring.clone();
    let this = core::ptr::from_ref(&*owned) as usize;
    if let Some(outcome) = owned.inner().op.run(&ring, this, poster) {
        return Issued::Done(owned, outcome);
    }
    match &owned.inner().op {
        Op::Rw(_) => rw::issue(owned, blocking, poster),
        Op::Poll(_) => poll::issue(owned, poster),
        _ => timeout::issue(owned),
    }
}

/// Continues a request after an event. `blocking` as for [`issue`].
pub(super) fn event(
    mut owned: Owned,
    events: u32,
    blocking: bool,
    poster: &mut Poster<'_>,
) -> Issued {
    match owned.inner().op {
        Op::Rw(_) => rw::event(owned, blocking, poster),
        _ => poll::event(owned, events, poster),
    }
}

/// Reports that a timer has expired. Any context.
pub(super) fn expired(owned: Owned) {
    timeout::expire(owned);
}

/// Goes on with a timer that was reported.
pub(super) fn rearm(owned: Owned) -> Issued {
    timeout::rearm(owned)
}

/// Makes sure that nothing comes for a request that was completed. Process context.
pub(super) fn disarm(owned: &mut Owned) {
    match owned.inner().op {
        Op::Poll(_) | Op::Rw(_) => owned.wakers.disarm(),
        Op::Timeout(_) => {
            Sequenced::remove(owned);
            owned.timer.stop();
        }
        _ => (),
    }
}

/// The result of a request that is cancelled.
pub(super) fn cancelled(owned: &mut Owned) -> Outcome {
    disarm(owned);
    let inner = owned.inner();
    if let Some(verdict) = inner.verdict.take() {
        return verdict;
    }
    match &inner.op {
        Op::Rw(rw) => rw.cancelled(),
        _ => Outcome::cancelled(),
    }
}

/// The result of a request that is not going to be issued.
pub(super) fn not_issued(owned: &mut Owned) -> Outcome {
    match owned.inner().op {
        Op::Failed(error) => error.into(),
        _ => Outcome::cancelled(),
    }
}
