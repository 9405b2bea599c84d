// SPDX-License-Identifier: GPL-2.0

//! Submission: taking SQEs off the queue and issuing them.

use super::{
    completion::Published,
    issuer::Access,
    notify::InFlight,
    op::Request,
    shared::Cqe,
    sqe::Sqe,
    Ring, //
};
use crate::{
    bindings,
    pure::geometry, //
};
use kernel::prelude::*;

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
        &self,
        access: &mut Access<'_>,
        in_flight: &InFlight<'_>,
        to_submit: u32,
    ) -> Result<u32> {
        access.count_submit();
        let entries = self.config.geometry.sq_entries();
        let ready = geometry::sq_ready(access.sq_head, self.shared.sq_tail(), entries);
        let wanted = ready.min(to_submit);
        if wanted == 0 {
            return Ok(0);
        }
        let mut submitted = 0;
        let mut published = None;
        let mut refilled = access.spare.refill();
        while submitted < wanted && refilled.is_ok() {
            let head = access.sq_head;
            access.sq_head = head.wrapping_add(1);
            let index = self.shared.sq_index(head);
            if index >= entries {
                access.sq_dropped = access.sq_dropped.wrapping_add(1);
                self.shared.set_sq_dropped(access.sq_dropped);
                break;
            }
            let sqe = self.shared.copy_sqe(index);
            submitted += 1;
            let (cqe, in_order) = run(&sqe);
            if let Some(cqe) = cqe {
                if access.done.push(cqe) {
                    published = self.post_done(access).or(published);
                    refilled = access.spare.refill();
                }
            }
            if !in_order && !self.config.has(bindings::IORING_SETUP_SUBMIT_ALL) {
                break;
            }
        }
        published = self.post_done(access).or(published);
        self.sq_head_seen(access.sq_head);
        if let Some(published) = published {
            self.notify(in_flight, published, false);
        }
        if submitted == 0 && refilled.is_err() {
            return Err(EAGAIN);
        }
        Ok(submitted)
    }

    /// Posts the completions that were collected, and wakes who waits for them. Returns how many
    /// CQEs were published by now, if any of these were.
    fn post_done(&self, access: &mut Access<'_>) -> Option<Published> {
        let issuer = &mut **access;
        if issuer.done.is_empty() {
            return None;
        }
        let published = self
            .completion
            .post(&self.shared, issuer.done.take(), &mut issuer.spare);
        self.cq_wait.wake();
        published
    }
}

/// Issues an SQE. Returns its completion, unless that is to be skipped, and whether the SQE was in
/// order.
#[inline]
fn run(sqe: &Sqe) -> (Option<Cqe>, bool) {
    let (res, in_order) = match Request::prepare(sqe) {
        Ok(request) => (request.issue(), true),
        Err(error) => (error.to_errno(), false),
    };
    let skip = res >= 0 && u32::from(sqe.flags) & bindings::CONST_IOSQE_CQE_SKIP_SUCCESS != 0;
    let cqe = Cqe {
        user_data: sqe.user_data,
        res,
        flags: 0,
    };
    ((!skip).then_some(cqe), in_order)
}
