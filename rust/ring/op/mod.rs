// SPDX-License-Identifier: GPL-2.0

//! Operations: each has a file, and a row in [`table`].
//!
//! An operation is prepared under the ring's `Access`, and takes references to the submitter's
//! files and to issuer state. The submitter or a worker then issues the operation without the
//! `Access`.

mod cancel;
mod message;
mod nop;
mod poll;
mod rw;
mod table;
mod timeout;
mod transfer;

pub(crate) use self::{
    nop::plain_nop,
    table::{
        supported,
        Row, //
    }, //
};

use self::{
    nop::Nop,
    rw::Rw, //
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

/// The parts of a ring that preparing an operation may use.
pub(crate) struct Context<'a> {
    buffers: &'a Table,
    /// The ring belongs to a 32-bit program.
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

    /// Returns the registered buffer `index`; `EFAULT` if there is no such buffer.
    fn buffer(&self, index: u16) -> Result<Arc<Buffer>> {
        self.buffers.get(index)
    }

    /// Returns the file that `sqe` is about. `None` for a bad descriptor and for a registered file.
    fn target(&self, sqe: &Sqe) -> Option<Target> {
        if u32::from(sqe.flags) & bindings::CONST_IOSQE_FIXED_FILE != 0 {
            return None;
        }
        Target::get(sqe.fd, self.ring_of)
    }
}

/// An operation that ends when it is issued.
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

/// An invalid SQE in a chain.
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

/// A valid operation.
///
/// NOP, reads and writes are variants, so that issuing them costs no indirect call.
pub(crate) enum Op {
    Nop(Nop),
    Rw(Rw),
    Other(Data),
}

impl Op {
    /// Makes the operation of an SQE that was invalid.
    pub(crate) fn failed(error: Error) -> Self {
        Self::Other(Data::new(Failed(error)))
    }

    /// Returns the result of the bytes transferred so far; `None` if none were.
    pub(crate) fn so_far(&self) -> Option<Outcome> {
        match self {
            Self::Rw(rw) => rw.so_far(),
            _ => None,
        }
    }

    /// Carries out an operation that ends at once. Returns `None` if the operation needs a request
    /// to wait.
    pub(crate) fn run_now(&mut self, ring: &Core, poster: &mut Poster<'_>) -> Option<Outcome> {
        match self {
            Self::Rw(rw) => rw.try_now(),
            Self::Nop(nop) => nop.run_now(ring, poster),
            Self::Other(other) => other.run_now(ring, poster),
        }
    }

    /// Converts the operation into the data of a request.
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
