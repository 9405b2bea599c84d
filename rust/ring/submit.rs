// SPDX-License-Identifier: GPL-2.0

//! Submission: taking SQEs off the queue and issuing them.
//!
//! An operation that is over at once costs no allocation: its completion is collected. Any other
//! becomes a [`super::request::Request`], as does each of a chain of links.

use super::{
    buffers::Table,
    issuer::{
        Access,
        Batch,
        Issuer, //
    },
    notify::InFlight,
    op::{
        plain_nop,
        Context,
        Op, //
    },
    request::{
        Owned,
        Room, //
    },
    run::{
        drive,
        end_chain,
        Poster, //
    },
    shared::Cqe,
    sqe::Sqe,
    trace,
    Ring, //
};
use crate::{
    bindings,
    pure::geometry, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::ordering::Relaxed,
        Arc, //
    }, //
};

/// SQE flags of a request that others are linked to.
const LINKS: u32 = bindings::CONST_IOSQE_IO_LINK | bindings::CONST_IOSQE_IO_HARDLINK;

/// SQE flags of a request that cannot be issued where it is.
const APART: u32 = LINKS | bindings::CONST_IOSQE_IO_DRAIN | bindings::CONST_IOSQE_ASYNC;

/// What became of an SQE.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    InOrder,
    /// It had an error, which was posted.
    Refused,
    /// There is no memory for it. It was not consumed.
    NoMemory,
}

/// Requests linked so far.
struct Chain {
    requests: KVec<Owned>,
    /// One of them was not in order.
    failed: bool,
}

/// A submission under way.
struct Submission<'a> {
    ring: &'a Arc<Ring>,
    poster: Poster<'a>,
    buffers: &'a Table,
    chain: Chain,
    /// The request after the chain is to be drained, because one in it was.
    drain_next: &'a mut bool,
    /// A request had IOSQE_CQE_SKIP_SUCCESS: none may be drained, since nobody could count.
    has_skipped: &'a mut bool,
}

impl Ring {
    /// Consumes up to `to_submit` SQEs; returns how many.
    ///
    /// Stops after an SQE that is not in order, unless the ring has IORING_SETUP_SUBMIT_ALL, and at
    /// one whose index is out of range, which is dropped.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if there is no memory to go on and nothing was consumed.
    pub(super) fn submit(
        self: &Arc<Self>,
        access: &mut Access<'_>,
        in_flight: &InFlight<'_>,
        to_submit: u32,
    ) -> Result<u32> {
        access.count_submit();
        let entries = self.config.geometry.sq_entries();
        let issuer: &mut Issuer = access;
        let ready = geometry::sq_ready(issuer.sq_head, self.shared.sq_tail(), entries);
        let wanted = ready.min(to_submit);
        if wanted == 0 {
            return Ok(0);
        }
        let mut submitted = 0;
        let mut no_memory = issuer.spare.refill().is_err();
        let mut submission = Submission {
            ring: self,
            poster: Poster::collecting(
                self,
                in_flight,
                Batch {
                    done: &mut issuer.done,
                    spare: &mut issuer.spare,
                },
            ),
            buffers: &issuer.buffers,
            chain: Chain {
                requests: KVec::new(),
                failed: false,
            },
            drain_next: &mut issuer.drain_next,
            has_skipped: &mut issuer.has_skipped,
        };
        while submitted < wanted {
            if !submission.poster.is_ready() {
                no_memory = true;
                break;
            }
            let head = issuer.sq_head;
            issuer.sq_head = head.wrapping_add(1);
            let index = self.shared.sq_index(head);
            if index >= entries {
                issuer.sq_dropped = issuer.sq_dropped.wrapping_add(1);
                self.shared.set_sq_dropped(issuer.sq_dropped);
                break;
            }
            let sqe = self.shared.copy_sqe(index);
            trace::submit_req(&self.shared, &sqe);
            match submission.take(&sqe) {
                Taken::InOrder => submitted += 1,
                Taken::Refused => {
                    submitted += 1;
                    if !self.config.has(bindings::IORING_SETUP_SUBMIT_ALL) {
                        break;
                    }
                }
                Taken::NoMemory => {
                    issuer.sq_head = head;
                    no_memory = true;
                    break;
                }
            }
        }
        submission.end_of_chain();
        drop(submission);
        self.sq_head_seen(issuer.sq_head);
        if submitted == 0 && no_memory {
            return Err(EAGAIN);
        }
        Ok(submitted)
    }
}

impl Submission<'_> {
    #[inline]
    fn take(&mut self, sqe: &Sqe) -> Taken {
        let apart =
            !self.chain.requests.is_empty() || *self.drain_next || self.ring.drain.is_active();
        let skip = u32::from(sqe.flags) & bindings::CONST_IOSQE_CQE_SKIP_SUCCESS != 0;
        if let (Some(res), false) = (plain_nop(sqe), apart) {
            *self.has_skipped |= skip;
            if !skip || res < 0 {
                self.poster.push(Cqe {
                    user_data: sqe.user_data,
                    res,
                    flags: 0,
                });
            }
            return Taken::InOrder;
        }
        self.take_other(sqe, apart, skip)
    }

    /// Takes an SQE that is not a NOP without ado.
    fn take_other(&mut self, sqe: &Sqe, apart: bool, skip: bool) -> Taken {
        let op = Op::prepare(sqe, &Context::new(self.buffers));
        *self.has_skipped |= skip;
        if apart || u32::from(sqe.flags) & APART != 0 {
            return self.take_apart(sqe, op);
        }
        let (outcome, taken) = match op {
            Ok(mut op) => match op.run(self.ring, 0, &mut self.poster) {
                Some(outcome) => (outcome, Taken::InOrder),
                None => return self.issue(sqe, op),
            },
            Err(error) => (error.into(), Taken::Refused),
        };
        if !skip || outcome.failed {
            self.poster.push(Cqe {
                user_data: sqe.user_data,
                res: outcome.res,
                flags: 0,
            });
        }
        self.poster.settle();
        taken
    }

    /// Issues a request that is not over at once.
    fn issue(&mut self, sqe: &Sqe, op: Op) -> Taken {
        let Ok(room) = Room::new() else {
            return Taken::NoMemory;
        };
        let request = room.fill(self.ring, self.poster.in_flight(), sqe, op);
        if let Some(request) = self.ring.drain.admit(request) {
            drive(request, &mut self.poster);
        }
        Taken::InOrder
    }

    /// Takes an SQE whose request is, or may be, issued later.
    fn take_apart(&mut self, sqe: &Sqe, op: Result<Op>) -> Taken {
        let flags = u32::from(sqe.flags);
        let (Ok(room), Ok(())) = (
            Room::new(),
            self.chain.requests.reserve(1, GFP_KERNEL_ACCOUNT),
        ) else {
            return Taken::NoMemory;
        };
        let drain = flags & bindings::CONST_IOSQE_IO_DRAIN != 0;
        let op = op.and_then(|op| {
            if drain && *self.has_skipped {
                Err(EOPNOTSUPP)
            } else {
                Ok(op)
            }
        });
        let (op, refused) = match op {
            Ok(op) => (op, false),
            Err(error) => (Op::Failed(error), true),
        };
        let request = room.fill(self.ring, self.poster.in_flight(), sqe, op);
        match self.chain.requests.first() {
            Some(head) if drain && !refused => {
                head.drain.store(true, Relaxed);
                *self.drain_next = true;
            }
            None if core::mem::take(self.drain_next) => request.drain.store(true, Relaxed),
            _ => (),
        }
        self.chain.failed |= refused;
        // There is room.
        let _ = self.chain.requests.push_within_capacity(request);
        if flags & LINKS != 0 {
            return Taken::InOrder;
        }
        self.end_of_chain();
        if refused {
            Taken::Refused
        } else {
            Taken::InOrder
        }
    }

    /// Issues what was linked.
    fn end_of_chain(&mut self) {
        let links = self.chain.requests.len();
        let about_ring = |request: &Owned| request.about_ring.load(Relaxed);
        if self.chain.requests.iter().any(about_ring) {
            for request in &self.chain.requests {
                request.about_ring.store(true, Relaxed);
            }
        }
        let mut next = None;
        while let Some(mut request) = self.chain.requests.pop() {
            request.inner().next = next;
            next = Some(request);
        }
        let failed = core::mem::take(&mut self.chain.failed);
        let Some(chain) = next else {
            return;
        };
        chain.links.store(links, Relaxed);
        if failed {
            self.ring.drain.pass(&chain);
            end_chain(chain, &mut self.poster);
            return;
        }
        if chain.drain.load(Relaxed) || self.ring.drain.is_active() {
            // What it has to wait for includes these.
            self.poster.flush();
        }
        if let Some(chain) = self.ring.drain.admit(chain) {
            drive(chain, &mut self.poster);
        }
    }
}
