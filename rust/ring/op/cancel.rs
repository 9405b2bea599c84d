// SPDX-License-Identifier: GPL-2.0

//! IORING_OP_ASYNC_CANCEL, and the cancellation of all that a ring or a process has in flight.

use super::common::{
    AtOnce,
    Context, //
};
use crate::{
    bindings,
    pure::ownership::Claim,
    ring::{
        abi::sqe::Sqe,
        req::{
            core::{
                Core,
                Target, //
            },
            operation::Wait,
            poster::Poster,
            request::{
                Owned,
                Request, //
            },
            run::{
                end_cancelled,
                end_chain, //
            },
            sequenced::Sequenced,
            target::Files, //
        }, //
    }, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::ordering::Relaxed,
        Arc, //
    }, //
};

/// Cancels requests.
pub(crate) struct Cancel {
    flags: u32,
    user_data: u64,
    opcode: u32,
    /// `None` without IORING_ASYNC_CANCEL_FD, or without such a file.
    target: Option<Target>,
}

impl Cancel {
    pub(super) fn prepare(sqe: &Sqe, context: &Context<'_>) -> Result<Self> {
        if u32::from(sqe.flags) & bindings::CONST_IOSQE_BUFFER_SELECT != 0
            || sqe.off != 0
            || sqe.file_index != 0
        {
            return Err(EINVAL);
        }
        let flags = sqe.op_flags;
        let known = bindings::IORING_ASYNC_CANCEL_ALL
            | bindings::IORING_ASYNC_CANCEL_FD
            | bindings::IORING_ASYNC_CANCEL_ANY
            | bindings::IORING_ASYNC_CANCEL_FD_FIXED
            | bindings::IORING_ASYNC_CANCEL_USERDATA
            | bindings::IORING_ASYNC_CANCEL_OP;
        let has = |flag| flags & flag != 0;
        let keyed = has(bindings::IORING_ASYNC_CANCEL_FD) || has(bindings::IORING_ASYNC_CANCEL_OP);
        if flags & !known != 0 || keyed && has(bindings::IORING_ASYNC_CANCEL_ANY) {
            return Err(EINVAL);
        }
        if has(bindings::IORING_ASYNC_CANCEL_OP) && sqe.len >= bindings::IORING_OP_LAST {
            return Err(EINVAL);
        }
        let fixed = has(bindings::IORING_ASYNC_CANCEL_FD_FIXED);
        Ok(Self {
            flags,
            user_data: sqe.addr,
            opcode: sqe.len,
            target: if has(bindings::IORING_ASYNC_CANCEL_FD) && !fixed {
                context.target(sqe)
            } else {
                None
            },
        })
    }

    fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    fn matches_user_data(&self) -> bool {
        let keys = bindings::IORING_ASYNC_CANCEL_FD | bindings::IORING_ASYNC_CANCEL_OP;
        !self.has(bindings::IORING_ASYNC_CANCEL_ANY)
            && (!self.has(keys) || self.has(bindings::IORING_ASYNC_CANCEL_USERDATA))
    }

    fn matches(&self, request: &Request) -> bool {
        if self.has(bindings::IORING_ASYNC_CANCEL_ANY) {
            return true;
        }
        if let Some(target) = &self.target {
            if request.target != target.id() {
                return false;
            }
        }
        !self.has(bindings::IORING_ASYNC_CANCEL_OP) || u32::from(request.opcode) == self.opcode
    }
}

impl AtOnce for Cancel {
    fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    /// Returns the number of requests found, with IORING_ASYNC_CANCEL_ALL or _ANY; otherwise 0.
    ///
    /// `ENOENT` if there is no such request, `EALREADY` if the request has an owner that does not
    /// heed a cancel; `EBADF`.
    fn run(&mut self, ring: &Core, this: Option<&Request>, poster: &mut Poster<'_>) -> Result<i32> {
        if self.has(bindings::IORING_ASYNC_CANCEL_FD) && self.target.is_none() {
            return Err(EBADF);
        }
        let all = self.has(bindings::IORING_ASYNC_CANCEL_ALL | bindings::IORING_ASYNC_CANCEL_ANY);
        let user_data = self.matches_user_data().then_some(self.user_data);
        let round = ring.pending.round();
        let mut count = 0;
        while let Some(request) = round.find(user_data, |request| {
            !this.is_some_and(|this| core::ptr::eq(this, request)) && self.matches(request)
        }) {
            let result = cancel(request, poster);
            if result == Err(ENOENT) {
                continue;
            }
            if !all {
                return result.map(|()| 0);
            }
            count += 1;
        }
        if all {
            Ok(count)
        } else {
            Err(ENOENT)
        }
    }
}

/// Cancels one request.
///
/// `ENOENT` if the request has completed, `EALREADY` if a worker runs the request. A poll request
/// with an owner is told to cancel: the owner ends the request, perhaps with the events just seen.
pub(super) fn cancel(request: Arc<Request>, poster: &mut Poster<'_>) -> Result {
    if request.waits_for(Wait::Time) {
        poster.cancel(Owned::cancel_after_owner(request).ok_or(ENOENT)?);
        return Ok(());
    }
    // The owner of a poll checks for a cancel before it waits again or completes the poll.
    let heeds = request.waits_for(Wait::Events);
    match Owned::cancel(request) {
        Ok(owned) => poster.cancel(owned),
        Err(Claim::Done) => return Err(ENOENT),
        Err(Claim::Told) if heeds => (),
        Err(Claim::Again) if heeds => return Err(ENOENT),
        Err(_) => return Err(EALREADY),
    }
    Ok(())
}

impl Core {
    /// Cancels all requests, and the rest of their chains. Context: process.
    pub(crate) fn shut_down(&self) {
        self.pending.close();
        self.cancel_each(|_| true);
    }

    /// Cancels the requests for which `wanted` is true. Others may be added. Context: process.
    pub(crate) fn cancel_those(&self, wanted: impl Fn(&Request) -> bool) {
        self.cancel_each(wanted);
    }

    /// Cancels the requests of the descriptor table `files` whose file may keep rings. The table
    /// has no descriptor of the ring left, or its last task exits. Such a request and the ring
    /// would keep each other for ever. Another process may still use the other requests. Context:
    /// process.
    pub(crate) fn leave(&self, files: Files) {
        self.cancel_each(|request| {
            let goes = request.files == files && request.may_keep_rings.load(Relaxed);
            if goes {
                request.left.store(true, Relaxed);
            }
            goes
        });
    }

    fn cancel_each(&self, wanted: impl Fn(&Request) -> bool) {
        // Fail the drained chains first: otherwise the end of a request in flight would issue them.
        self.drain
            .fail_those(&wanted, |chain| self.with(chain, end_chain));
        let round = self.pending.round();
        while let Some(request) = round.find(None, &wanted) {
            if let Ok(owned) = Owned::cancel(request) {
                Sequenced::remove(&owned);
                self.with(owned, end_cancelled);
            }
        }
    }

    /// Calls `end` to complete a request.
    fn with(&self, owned: Owned, end: impl FnOnce(Owned, &mut Poster<'_>)) {
        let request = owned.to_arc();
        let in_flight = request.hold.in_flight();
        end(owned, &mut Poster::direct(self, &in_flight));
    }
}
