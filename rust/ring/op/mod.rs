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

pub(crate) use self::nop::plain_nop;

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
            operation::{
                Data,
                Operation,
                OwnedOf, //
            },
            outcome::{
                Issued,
                Outcome, //
            },
            poster::Poster,
            request::Request,
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

/// An operation that is over when it is issued.
trait AtOnce: Send + Sized + 'static {
    /// Returns the file that the operation is about.
    fn target(&self) -> Option<&Target> {
        None
    }

    /// Carries out the operation, on behalf of `this` if it has a request. Returns the result.
    fn run(&mut self, ring: &Core, this: Option<&Request>, poster: &mut Poster<'_>) -> Result<i32>;
}

impl<T: AtOnce> Operation for T {
    fn target(&self) -> Option<&Target> {
        AtOnce::target(self)
    }

    fn run_now(&mut self, ring: &Core, poster: &mut Poster<'_>) -> Option<Outcome> {
        Some(Outcome::of(self.run(ring, None, poster)))
    }

    fn issue(mut request: OwnedOf<Self>, _blocking: bool, poster: &mut Poster<'_>) -> Issued {
        let (op, this) = request.parts();
        let result = op.run(&this.ring, Some(this), poster);
        request.done(Outcome::of(result))
    }
}

/// An SQE that was not in order, in a chain.
struct Failed(Error);

impl Operation for Failed {
    fn issue(mut request: OwnedOf<Self>, _blocking: bool, _poster: &mut Poster<'_>) -> Issued {
        let error = request.op().0;
        request.done(error)
    }

    fn cancelled(&self) -> Outcome {
        self.0.into()
    }
}

/// An operation that was found to be in order.
///
/// The most frequent ones are variants, so that issuing one costs no indirect call.
pub(crate) enum Op {
    Nop(Nop),
    Rw(Rw),
    Other(Data),
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
            bindings::IORING_OP_POLL_ADD => other(Poll::prepare(sqe, context)),
            bindings::IORING_OP_POLL_REMOVE => other(poll::Update::prepare(sqe)),
            bindings::IORING_OP_TIMEOUT => other(Timeout::prepare(sqe)),
            bindings::IORING_OP_TIMEOUT_REMOVE => other(timeout::Update::prepare(sqe)),
            bindings::IORING_OP_ASYNC_CANCEL => other(Cancel::prepare(sqe, context)),
            bindings::IORING_OP_MSG_RING => other(Message::prepare(sqe, context)),
            _ => Err(EINVAL),
        }
    }

    /// The operation of an SQE that was not in order.
    pub(crate) fn failed(error: Error) -> Self {
        Self::Other(Data::new(Failed(error)))
    }

    /// The result if nothing more is done: none if nothing was yet.
    pub(crate) fn so_far(&self) -> Option<Outcome> {
        match self {
            Self::Rw(rw) => rw.so_far(),
            _ => None,
        }
    }

    /// Carries out an operation that is over at once. None if it needs a request to wait.
    pub(crate) fn run_now(&mut self, ring: &Core, poster: &mut Poster<'_>) -> Option<Outcome> {
        match self {
            Self::Rw(rw) => rw.try_now(),
            Self::Nop(nop) => nop.run_now(ring, poster),
            Self::Other(other) => other.run_now(ring, poster),
        }
    }

    /// Returns what a request keeps of the operation.
    pub(crate) fn into_data(self) -> Data {
        match self {
            Self::Rw(mut rw) => {
                rw.identify();
                Data::new(rw)
            }
            Self::Nop(nop) => Data::new(nop),
            Self::Other(data) => data,
        }
    }
}

fn other(op: Result<impl Operation>) -> Result<Op> {
    op.map(Data::new).map(Op::Other)
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
