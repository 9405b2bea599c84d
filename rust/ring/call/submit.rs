// SPDX-License-Identifier: GPL-2.0

//! Submission: takes SQEs off the queue and issues their requests.
//!
//! An operation that ends at once costs no allocation: its completion is collected. Any other
//! operation becomes a [`crate::ring::req::request::Request`], and so does each operation of a
//! chain.

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

/// SQE flags that link the next request to this one.
const LINKS: u32 = bindings::CONST_IOSQE_IO_LINK | bindings::CONST_IOSQE_IO_HARDLINK;

/// SQE flags of a request that is not issued at once.
const APART: u32 = LINKS | bindings::CONST_IOSQE_IO_DRAIN | bindings::CONST_IOSQE_ASYNC;

/// The result of taking an SQE.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    InOrder,
    /// The SQE had an error, which was posted.
    Refused,
    /// There is no memory for the SQE, which was not consumed.
    NoMemory,
}

/// Requests linked so far.
#[derive(Default)]
struct Chain {
    requests: KVec<Owned>,
    /// An SQE of the chain was refused.
    failed: bool,
}

/// A submission under way.
struct Submission<'a> {
    ring: &'a Arc<Ring>,
    poster: Poster<'a>,
    buffers: &'a Table,
    /// `None` until a request is linked: dropping even an empty vector calls the allocator.
    chain: Option<Chain>,
    /// The request after the chain is drained, because one in the chain was.
    drain_next: &'a mut bool,
    /// A request had IOSQE_CQE_SKIP_SUCCESS. Later requests must not be drained: skipped CQEs
    /// cannot be counted.
    has_skipped: &'a mut bool,
}

impl Ring {
    /// Consumes up to `to_submit` SQEs. Returns their number.
    ///
    /// Stops after a refused SQE, unless the ring has IORING_SETUP_SUBMIT_ALL. Drops an SQE whose
    /// index is out of range, and stops there.
    ///
    /// Plain NOPs are handled here, up to the first other SQE. Making and dropping a [`Submission`]
    /// would take longer than a NOP. The benchmarks use NOPs to measure the ring itself.
    ///
    /// # Errors
    ///
    /// `EAGAIN` without memory, if no SQE was consumed.
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
        // NOPs do not change these, and the caller has exclusion.
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

    /// Posts the collected completions, to make room.
    #[cold]
    #[inline(never)]
    fn make_ready(&self, in_flight: &InFlight<'_>, issuer: &mut Issuer) {
        self.post_batch(in_flight, &mut issuer.batch());
    }

    /// Submits `sqe`, which was taken, and the SQEs behind `sqe`. Returns the number of consumed
    /// SQEs, of `wanted`, and whether memory ran out.
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
        // Read by the wake-up of a request that is issued here: see `defer::go_on`.
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
        // An operation is large, so it is moved only if it has to wait.
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

    /// Issues an operation that did not end at once, as a request.
    fn issue(&mut self, sqe: &Sqe, op: Op) -> Taken {
        let Ok(room) = Room::new() else {
            // A partial transfer cannot be undone, so the short result is reported.
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

    /// Takes an SQE whose request is not issued at once: linked, drained, ASYNC, or behind such a
    /// request.
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
        // Reserved above.
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

    /// Issues the chain, if there is one.
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
            // A drained chain also waits for the collected completions.
            self.poster.flush();
        }
        if let Some(chain) = self.ring.drain.admit(chain) {
            drive(chain, &mut self.poster);
        }
    }
}
