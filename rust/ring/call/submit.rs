// SPDX-License-Identifier: GPL-2.0

//! Submission: taking SQEs off the queue and issuing them.
//!
//! An operation that is over at once costs no allocation: its completion is collected. Any other
//! becomes a [`crate::ring::req::request::Request`], as does each of a chain of links.

use super::device::core_of;
use crate::{
    bindings,
    pure::geometry,
    ring::{
        abi::{
            shared::Cqe,
            sqe::Sqe, //
        },
        cq::notify::InFlight,
        op::{
            plain_nop,
            Context,
            Op,
            Row, //
        },
        req::{
            poster::Poster,
            request::{
                Owned,
                Room, //
            },
            run::{
                drive,
                end_chain, //
            }, //
        },
        sq::{
            buffers::Table,
            gate::{
                Access,
                Batch,
                Issuer, //
            }, //
        },
        Ring, //
    }, //
};
use core::ptr;
use kernel::{
    prelude::*,
    sync::{
        atomic::ordering::Relaxed,
        Arc, //
    },
    task::Task, //
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
#[derive(Default)]
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
    /// None as long as nothing was linked: dropping even an empty vector is a call of the allocator.
    chain: Option<Chain>,
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
    /// NOPs that ask for nothing are dealt with here, up to the first SQE that is something else:
    /// they need nothing of what a [`Submission`] is made of, whose making and dropping takes longer
    /// than they do. What they cost is what the ring costs, and is measured.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if there is no memory to go on and nothing was consumed.
    pub(crate) fn submit(
        self: &Arc<Self>,
        access: &mut Access<'_>,
        in_flight: &InFlight<'_>,
        to_submit: u32,
    ) -> Result<u32> {
        access.count_submit();
        let entries = self.shared.geometry().sq_entries();
        let issuer: &mut Issuer = access;
        let ready = geometry::sq_ready(issuer.sq.head, self.shared.sq_tail(), entries);
        let wanted = ready.min(to_submit);
        if wanted == 0 {
            return Ok(0);
        }
        let mut submitted = 0;
        let mut no_memory = issuer.spare.refill().is_err();
        // NOPs do not change that, and nobody else can.
        let apart = issuer.drain_next || self.drain.is_active();
        while submitted < wanted {
            if !issuer.batch().is_ready() {
                self.make_ready(in_flight, issuer);
                if !issuer.batch().is_ready() {
                    no_memory = true;
                    break;
                }
            }
            let Some(sqe) = issuer.sq.next(&self.shared) else {
                break;
            };
            let (Some(res), false) = (plain_nop(&sqe), apart) else {
                let short;
                (submitted, short) = self.submit_others(issuer, in_flight, sqe, submitted, wanted);
                no_memory |= short;
                break;
            };
            submitted += 1;
            let skip = u32::from(sqe.flags) & bindings::CONST_IOSQE_CQE_SKIP_SUCCESS != 0;
            issuer.has_skipped |= skip;
            if skip && res >= 0 {
                continue;
            }
            issuer.done.push(Cqe {
                user_data: sqe.user_data,
                res,
                flags: 0,
            });
        }
        self.post_batch(in_flight, &mut issuer.batch());
        self.sq_head_seen(issuer.sq.head);
        if submitted == 0 && no_memory {
            return Err(EAGAIN);
        }
        Ok(submitted)
    }

    /// Posts what was collected, for room for more.
    #[cold]
    #[inline(never)]
    fn make_ready(&self, in_flight: &InFlight<'_>, issuer: &mut Issuer) {
        self.post_batch(in_flight, &mut issuer.batch());
    }

    /// Goes on with `sqe`, which was taken, and what is behind it, of any kind. Returns how many of
    /// the `wanted` SQEs were consumed, and whether that ended for want of memory.
    #[inline(never)]
    fn submit_others(
        self: &Arc<Self>,
        issuer: &mut Issuer,
        in_flight: &InFlight<'_>,
        mut sqe: Sqe,
        mut submitted: u32,
        wanted: u32,
    ) -> (u32, bool) {
        let mut no_memory = false;
        // A wake-up of a request that is issued here reads it: see `defer::go_on`.
        self.issuing.store(Task::current_raw(), Relaxed);
        let mut submission = Submission {
            ring: self,
            poster: Poster::collecting(
                &self.core,
                in_flight,
                Batch {
                    done: &mut issuer.done,
                    spare: &mut issuer.spare,
                },
            ),
            buffers: &issuer.buffers,
            chain: None,
            drain_next: &mut issuer.drain_next,
            has_skipped: &mut issuer.has_skipped,
        };
        loop {
            match submission.take(&sqe) {
                Taken::InOrder => submitted += 1,
                Taken::Refused => {
                    submitted += 1;
                    if !self.config.has(bindings::IORING_SETUP_SUBMIT_ALL) {
                        break;
                    }
                }
                Taken::NoMemory => {
                    issuer.sq.put_back();
                    no_memory = true;
                    break;
                }
            }
            if submitted == wanted {
                break;
            }
            if !submission.poster.is_ready() {
                no_memory = true;
                break;
            }
            match issuer.sq.next(&self.shared) {
                Some(next) => sqe = next,
                None => break,
            }
        }
        submission.end_of_chain();
        self.issuing.store(ptr::null_mut(), Relaxed);
        (submitted, no_memory)
    }
}

impl Submission<'_> {
    fn prepare(&mut self, sqe: &Sqe) -> Result<Op> {
        let row = Row::of(sqe)?;
        let has = |flag| u32::from(sqe.flags) & flag != 0;
        *self.has_skipped |= has(bindings::CONST_IOSQE_CQE_SKIP_SUCCESS);
        if *self.has_skipped && has(bindings::CONST_IOSQE_IO_DRAIN) {
            return Err(EOPNOTSUPP);
        }
        row.prepare(
            sqe,
            &Context::new(self.buffers, self.ring.config.compat, core_of),
        )
    }

    fn take(&mut self, sqe: &Sqe) -> Taken {
        let mut op = self.prepare(sqe);
        let skip = u32::from(sqe.flags) & bindings::CONST_IOSQE_CQE_SKIP_SUCCESS != 0;
        let linked = self
            .chain
            .as_ref()
            .is_some_and(|chain| !chain.requests.is_empty());
        let apart = linked || *self.drain_next || self.ring.drain.is_active();
        if apart || u32::from(sqe.flags) & APART != 0 {
            return self.take_apart(sqe, op);
        }
        // An operation is large, and moved only if it has to wait.
        let (outcome, taken) = match &mut op {
            Ok(op) => (
                op.run_now(&self.ring.core, &mut self.poster),
                Taken::InOrder,
            ),
            Err(error) => (Some((*error).into()), Taken::Refused),
        };
        let Some(outcome) = outcome else {
            return op.map_or(Taken::Refused, |op| self.issue(sqe, op));
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
            // What was transferred cannot be taken back, and so is the result.
            let Some(outcome) = op.so_far() else {
                return Taken::NoMemory;
            };
            self.poster.push(Cqe {
                user_data: sqe.user_data,
                res: outcome.res,
                flags: 0,
            });
            return Taken::InOrder;
        };
        let request = room.fill(
            &self.ring.core,
            self.poster.in_flight(),
            sqe,
            op.into_data(),
        );
        if let Some(request) = self.ring.drain.admit(request) {
            drive(request, &mut self.poster);
        }
        Taken::InOrder
    }

    /// Takes an SQE whose request is, or may be, issued later.
    fn take_apart(&mut self, sqe: &Sqe, op: Result<Op>) -> Taken {
        let flags = u32::from(sqe.flags);
        let chain = self.chain.get_or_insert_default();
        let (Ok(room), Ok(())) = (Room::new(), chain.requests.reserve(1, GFP_KERNEL_ACCOUNT))
        else {
            return Taken::NoMemory;
        };
        let drain = flags & bindings::CONST_IOSQE_IO_DRAIN != 0;
        let (op, refused) = match op {
            Ok(op) => (op, false),
            Err(error) => (Op::failed(error), true),
        };
        let request = room.fill(
            &self.ring.core,
            self.poster.in_flight(),
            sqe,
            op.into_data(),
        );
        match chain.requests.first() {
            Some(head) if drain && !refused => {
                head.drain.store(true, Relaxed);
                *self.drain_next = true;
            }
            None if core::mem::take(self.drain_next) => request.drain.store(true, Relaxed),
            _ => (),
        }
        chain.failed |= refused;
        // There is room.
        let _ = chain.requests.push_within_capacity(request);
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
        let Some(chain) = &mut self.chain else {
            return;
        };
        let links = chain.requests.len();
        let may_keep_rings = |request: &Owned| request.may_keep_rings.load(Relaxed);
        if chain.requests.iter().any(may_keep_rings) {
            for request in &chain.requests {
                request.may_keep_rings.store(true, Relaxed);
            }
        }
        let mut next = None;
        while let Some(mut request) = chain.requests.pop() {
            request.inner().next = next;
            next = Some(request);
        }
        let failed = core::mem::take(&mut chain.failed);
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
