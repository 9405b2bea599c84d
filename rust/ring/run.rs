// SPDX-License-Identifier: GPL-2.0

//! From issuing a request to the end of its chain.
//!
//! Nothing here needs issuer state, so a worker can do all of it. Only [`drive`] issues, in a loop:
//! whoever else ends a request hands the next of its chain to a workqueue, so that no chain, however
//! long or entangled, costs stack.

use super::{
    completion::{
        Entry,
        Of, //
    },
    issuer::Batch,
    notify::{
        InFlight,
        When, //
    },
    op::{
        self,
        Sequenced, //
    },
    queues::Kind,
    request::{
        Owned,
        Request,
        Step, //
    },
    shared::Cqe,
    Ring, //
};
use crate::bindings;
use kernel::{
    list::{
        List,
        ListArc, //
    },
    pr_warn_once,
    prelude::*,
    sync::Arc, //
};

/// The result of a request.
#[derive(Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) res: i32,
    /// IORING_CQE_F_*.
    pub(crate) flags: u32,
    /// Ends its chain, and is reported even with IOSQE_CQE_SKIP_SUCCESS.
    pub(crate) failed: bool,
}

impl Outcome {
    /// Failed if `res` is negative.
    pub(crate) fn new(res: i32) -> Self {
        Self {
            res,
            flags: 0,
            failed: res < 0,
        }
    }

    pub(crate) fn cancelled() -> Self {
        Self::new(ECANCELED.to_errno())
    }
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        Self::new(error.to_errno())
    }
}

/// What became of an attempt to issue a request.
pub(crate) enum Issued {
    Done(Owned, Outcome),
    /// Somebody else goes on with it.
    Pending,
}

/// Posts completions, at once or collected by a submitter.
pub(crate) struct Poster<'a> {
    ring: &'a Ring,
    in_flight: &'a InFlight<'a>,
    batch: Option<Batch<'a>>,
    /// Requests to be completed as cancelled when what cancelled them is.
    victims: List<Request, 1>,
    /// A timeout was completed without a CQE: who waits is woken when what came of its chain
    /// meanwhile is there.
    silent: bool,
}

impl<'a> Poster<'a> {
    /// Posts at once.
    pub(crate) fn direct(ring: &'a Ring, in_flight: &'a InFlight<'a>) -> Self {
        Self {
            ring,
            in_flight,
            batch: None,
            victims: List::new(),
            silent: false,
        }
    }

    /// Posts when `batch` is full, or dropped.
    pub(crate) fn collecting(
        ring: &'a Ring,
        in_flight: &'a InFlight<'a>,
        batch: Batch<'a>,
    ) -> Self {
        Self {
            ring,
            in_flight,
            batch: Some(batch),
            victims: List::new(),
            silent: false,
        }
    }

    /// Whether this is a submitter's, in the task and the address space that requests are of.
    pub(crate) fn collects(&self) -> bool {
        self.batch.is_some()
    }

    /// To post completions by.
    pub(crate) fn in_flight(&self) -> &'a InFlight<'a> {
        self.in_flight
    }

    /// Posts a completion that the batch has an entry for.
    #[inline]
    pub(crate) fn push(&mut self, cqe: Cqe) {
        let full = self
            .batch
            .as_mut()
            .is_some_and(|batch| batch.done.push(cqe));
        if full {
            self.flush();
        }
    }

    /// Posts a request's completion.
    fn post(&mut self, cqe: Cqe, of: Of, entry: Entry) {
        match &mut self.batch {
            Some(batch) => {
                if batch.spare.len() <= batch.done.len() {
                    batch.spare.put(entry);
                }
                if of == Of::Timeout {
                    batch.done.count_timeout();
                }
                self.push(cqe);
            }
            None => self
                .ring
                .post_one(self.in_flight, cqe, of, entry, When::Later),
        }
    }

    /// Posts a completion of no request of this ring, before those that were collected. It is inline
    /// if this poster is the submitter's.
    pub(crate) fn post_message(&self, cqe: Cqe, entry: Entry) {
        let when = When::of(self.collects());
        self.ring
            .post_one(self.in_flight, cqe, Of::Other, entry, when);
    }

    /// Posts a completion of a request that goes on, if there is room.
    #[must_use]
    pub(crate) fn try_post(&mut self, cqe: Cqe) -> bool {
        self.flush();
        self.ring.try_post(
            self.in_flight,
            cqe,
            Of::Other,
            When::of(self.collects()), //
        )
    }

    /// Posts what was collected, and has the stock filled.
    pub(crate) fn flush(&mut self) {
        if let Some(batch) = &mut self.batch {
            self.ring.post_batch(self.in_flight, batch);
        }
    }

    /// Whether the next SQE's completion can be taken.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        self.batch.as_ref().is_some_and(Batch::is_ready)
    }

    /// Has a request completed as cancelled when what cancels it was completed.
    pub(crate) fn cancel(&mut self, mut owned: Owned) {
        // Others neither find it nor wait for it.
        owned.ownership.finish();
        owned.remove_from_pending();
        Sequenced::remove(&owned);
        match ListArc::try_from_arc(owned.into_arc()) {
            Ok(entry) => self.victims.push_back(entry),
            // Nothing else uses these links.
            Err(_) => pr_warn_once!("a cancelled request is in a list\n"),
        }
    }

    /// Completes what was cancelled.
    #[inline]
    pub(crate) fn settle(&mut self) {
        while let Some(entry) = self.victims.pop_front() {
            // SAFETY: Only `cancel` puts requests in the list, giving up their ownership.
            let owned = unsafe { Owned::assume(entry.into_arc()) };
            end_cancelled(owned, self);
        }
    }
}

impl Drop for Poster<'_> {
    fn drop(&mut self) {
        self.settle();
        self.flush();
        if self.silent {
            self.ring.cq_wait.wake();
        }
    }
}

impl Ring {
    /// Posts a completion, wakes waiters and signals the eventfd. Any context.
    pub(crate) fn post_one(
        &self,
        in_flight: &InFlight<'_>,
        cqe: Cqe,
        of: Of,
        entry: Entry,
        when: When,
    ) {
        let published = self.completion.post_one(&self.shared, cqe, of, entry);
        self.cq_wait.wake();
        if let Some(published) = published {
            self.notify(in_flight, published, when);
        }
        // No timeout waits for one of a timeout.
        if of == Of::Other {
            self.sequenced.flush(self);
        }
    }

    /// Posts a completion, if there is room, wakes waiters and signals the eventfd. Any context.
    fn try_post(&self, in_flight: &InFlight<'_>, cqe: Cqe, of: Of, when: When) -> bool {
        let Some(published) = self.completion.try_post(&self.shared, cqe, of) else {
            return false;
        };
        self.cq_wait.wake();
        self.notify(in_flight, published, when);
        if of == Of::Other {
            self.sequenced.flush(self);
        }
        true
    }

    /// Posts what was collected, and tells everybody. May sleep.
    #[inline(always)]
    pub(super) fn post_batch(&self, in_flight: &InFlight<'_>, batch: &mut Batch<'_>) {
        if batch.done.is_empty() {
            return;
        }
        let (cqes, timeouts) = batch.done.take();
        let published = self
            .completion
            .post(&self.shared, cqes, timeouts, batch.spare);
        self.cq_wait.wake();
        if let Some(published) = published {
            self.notify(in_flight, published, When::Inline);
        }
        self.sequenced.flush(self);
        // What is short of memory stops before the next SQE: `Poster::is_ready`.
        let _ = batch.spare.refill();
    }

    /// Posts a timeout's completion, and leaves the rest to a worker. Any context. Several may be
    /// due because of one completion, so this does not look for more.
    ///
    /// If the owner was told to cancel it, that is what becomes of it.
    pub(crate) fn complete_in_irq(&self, mut owned: Owned, outcome: Outcome) {
        let outcome = if owned.ownership.try_finish() {
            outcome
        } else {
            Outcome::cancelled()
        };
        if owned.inner().next.is_some() {
            // With its chain, which is to be seen together with it.
            owned.ownership.finish();
            owned.inner().verdict = Some(outcome);
            return owned.enqueue(Step::Finish, Kind::Prompt);
        }
        let entry = owned.finish();
        let skip = owned.has(bindings::CONST_IOSQE_CQE_SKIP_SUCCESS) && !outcome.failed;
        if let (false, Some(entry)) = (skip, entry) {
            let cqe = owned.cqe(outcome.res, outcome.flags);
            let in_flight = owned.hold.in_flight();
            self.post_one(&in_flight, cqe, Of::Timeout, entry, When::Later);
        } else {
            self.sequenced.add_silent();
            self.cq_wait.wake();
        }
        owned.enqueue(
            Step::Retire {
                failed: outcome.failed,
            },
            Kind::Prompt,
        );
    }

    /// Posts a completion of a timer that goes on, if there is room. Any context.
    pub(crate) fn try_post_in_irq(&self, owned: &Owned, cqe: Cqe) -> bool {
        let in_flight = owned.hold.in_flight();
        self.try_post(&in_flight, cqe, Of::Timeout, When::Later)
    }
}

/// Issues a request, and those linked to it as each is done. Process context.
pub(crate) fn drive(mut owned: Owned, poster: &mut Poster<'_>) {
    loop {
        if owned.has(bindings::CONST_IOSQE_ASYNC) {
            return owned.issue_later();
        }
        let Issued::Done(done, outcome) = op::issue(owned, false, poster) else {
            return;
        };
        let next = end(done, outcome, poster);
        poster.settle();
        let Some(next) = next else {
            return;
        };
        // The next may be left to a worker, whose completion comes after this one.
        poster.flush();
        owned = next;
    }
}

/// Completes a request; returns the one to issue next. Process context.
#[must_use]
fn end(mut owned: Owned, outcome: Outcome, poster: &mut Poster<'_>) -> Option<Owned> {
    let entry = owned.finish();
    let skip = owned.has(bindings::CONST_IOSQE_CQE_SKIP_SUCCESS) && !outcome.failed;
    let of = owned.counts_as();
    if let (false, Some(entry)) = (skip, entry) {
        poster.post(owned.cqe(outcome.res, outcome.flags), of, entry);
    } else if of == Of::Timeout {
        // Before any of that, or it would end the next wait too.
        owned.ring.sequenced.add_silent();
        poster.silent = true;
    }
    retire(owned, outcome.failed, poster)
}

/// Completes a request as cancelled. Process context.
pub(crate) fn end_cancelled(mut owned: Owned, poster: &mut Poster<'_>) {
    let outcome = op::cancelled(&mut owned);
    if let Some(next) = end(owned, outcome, poster) {
        poster.flush();
        next.issue_later();
    }
}

/// Completes a chain that was not issued. Each request says why, or was cancelled. Process context.
pub(crate) fn end_chain(mut owned: Owned, poster: &mut Poster<'_>) {
    let outcome = op::not_issued(&mut owned);
    let quiet = owned.has(bindings::CONST_IOSQE_CQE_SKIP_SUCCESS);
    let next = owned.inner().next.take();
    let rest = end(owned, outcome, poster);
    debug_assert!(rest.is_none());
    end_links(next, quiet, poster);
}

/// Completes what was linked to a request that failed. If that was to be reported only then, these
/// are not reported.
fn end_links(mut next: Option<Owned>, quiet: bool, poster: &mut Poster<'_>) {
    while let Some(mut owned) = next {
        next = owned.inner().next.take();
        let outcome = op::not_issued(&mut owned);
        if let (false, Some(entry)) = (quiet, owned.finish()) {
            let cqe = owned.cqe(outcome.res, outcome.flags);
            poster.post(cqe, Of::Other, entry);
        }
        drained(&owned.ring, poster);
    }
}

/// Tells those that wait for a request that it was completed. Its CQE is published before: what
/// waits may be reported by a worker at once.
fn drained(ring: &Ring, poster: &mut Poster<'_>) {
    if ring.drain.is_active() {
        poster.flush();
    }
    ring.drain.done();
}

/// Forgets a request that was completed; returns the one to issue next. Process context.
#[must_use]
fn retire(mut owned: Owned, failed: bool, poster: &mut Poster<'_>) -> Option<Owned> {
    op::disarm(&mut owned);
    let ring = owned.ring.clone();
    let mut next = owned.inner().next.take();
    if failed && !owned.has(bindings::CONST_IOSQE_IO_HARDLINK) {
        owned.remove_from_pending();
        end_links(
            next.take(),
            owned.has(bindings::CONST_IOSQE_CQE_SKIP_SUCCESS),
            poster,
        );
    } else {
        owned.replace_in_pending(next.as_mut());
    }
    drained(&ring, poster);
    next
}

/// What the submitter's task does, which may be exiting. Its chain is left to a worker.
pub(crate) fn work_in_task(mut owned: Owned, step: Step) {
    let request: Arc<Request> = owned.to_arc();
    let in_flight = request.hold.in_flight();
    let mut poster = Poster::direct(&request.ring, &in_flight);
    // SAFETY: Reads a flag of the current task.
    let exiting = unsafe { bindings::miniring_current_exiting() };
    // The memory of a program executed since is not the request's.
    let goes_on = !exiting && !request.is_of_another_program();
    let issued = match step {
        Step::Issue if goes_on => op::issue(owned, false, &mut poster),
        Step::Event(events) if goes_on => op::event(owned, events, false, &mut poster),
        _ => {
            let outcome = op::cancelled(&mut owned);
            Issued::Done(owned, outcome)
        }
    };
    if let Issued::Done(owned, outcome) = issued {
        if let Some(next) = end(owned, outcome, &mut poster) {
            next.issue_later();
        }
    }
}

/// What a worker does.
pub(crate) fn work(mut owned: Owned, step: Step) {
    let request: Arc<Request> = owned.to_arc();
    let in_flight = request.hold.in_flight();
    let blocking = owned.may_block(step);
    let mut poster = Poster::direct(&request.ring, &in_flight);
    let issued = match step {
        Step::Issue => op::issue(owned, blocking, &mut poster),
        Step::Event(events) => op::event(owned, events, blocking, &mut poster),
        Step::Rearm => op::rearm(owned),
        Step::Finish => {
            let outcome = op::cancelled(&mut owned);
            Issued::Done(owned, outcome)
        }
        Step::Retire { failed } => {
            if let Some(next) = retire(owned, failed, &mut poster) {
                drive(next, &mut poster);
            }
            return;
        }
    };
    if let Issued::Done(owned, outcome) = issued {
        let next = end(owned, outcome, &mut poster);
        poster.settle();
        if let Some(next) = next {
            drive(next, &mut poster);
        }
    }
}
