// SPDX-License-Identifier: GPL-2.0

//! The context of preparing an operation, and a trait of operations that end when they are issued.

use crate::{
    bindings,
    ring::{
        abi::sqe::Sqe,
        req::{
            core::{
                Core,
                RingOf,
                Target, //
            },
            operation::{
                Operation,
                OwnedOf, //
            },
            outcome::Outcome,
            poster::Poster,
            request::{
                Issued,
                Request, //
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
    pub(super) compat: bool,
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
    pub(super) fn buffer(&self, index: u16) -> Result<Arc<Buffer>> {
        self.buffers.get(index)
    }

    /// Returns the file that `sqe` is about. `None` for a bad descriptor and for a registered file.
    pub(super) fn target(&self, sqe: &Sqe) -> Option<Target> {
        if u32::from(sqe.flags) & bindings::CONST_IOSQE_FIXED_FILE != 0 {
            return None;
        }
        Target::get(sqe.fd, self.ring_of)
    }
}

/// An operation that ends when it is issued.
pub(super) trait AtOnce: Send + Sized + 'static {
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
