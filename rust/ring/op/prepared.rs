// SPDX-License-Identifier: GPL-2.0

//! An operation before it has a request.

use super::{
    nop::Nop,
    rw::Rw, //
};
use crate::ring::req::{
    core::Core,
    operation::{
        Data,
        Operation,
        OwnedOf, //
    },
    outcome::Outcome,
    poster::Poster,
    request::Issued, //
};
use kernel::prelude::*;

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
