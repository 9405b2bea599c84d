// SPDX-License-Identifier: GPL-2.0

//! Issues and completes requests, up to the end of a chain.
//!
//! These functions need no issuer state, so a worker can run them. Only [`drive`] issues requests,
//! in a loop. Other code that ends a request queues the next request of the chain on a workqueue,
//! so a long chain uses no stack.

use super::{
    core::Core,
    outcome::Outcome,
    poster::Poster,
    request::{
        Issued,
        Owned,
        Request,
        Step, //
    }, //
};
use crate::{
    bindings,
    ring::cq::completion::Of, //
};
use kernel::sync::{
    atomic::ordering::Relaxed,
    Arc, //
};

/// Issues a request, and then each linked request when the request before completes. Context:
/// process.
pub(crate) fn drive(mut owned: Owned, poster: &mut Poster<'_>) {
    loop {
        if owned.has(bindings::CONST_IOSQE_ASYNC) {
            return owned.issue_later();
        }
        let Issued::Done(done, outcome) = owned.issue(false, poster) else {
            return;
        };
        let next = end(done, outcome, poster);
        poster.settle();
        let Some(next) = next else {
            return;
        };
        // A worker may complete the next request, so post this CQE first.
        poster.flush();
        owned = next;
    }
}

/// Completes a request. Returns the linked request to issue next. Context: process.
#[must_use]
fn end(mut owned: Owned, outcome: Outcome, poster: &mut Poster<'_>) -> Option<Owned> {
    let entry = owned.finish();
    let skip = owned.has(bindings::CONST_IOSQE_CQE_SKIP_SUCCESS) && !outcome.failed;
    let of = owned.counts_as();
    if let (false, Some(entry)) = (skip, entry) {
        let cqe = owned.cqe(outcome.res, outcome.flags);
        poster.post(&owned, cqe, of, entry);
    } else if of == Of::Timeout {
        // Wake waiters before the rest of the chain completes. A later wake-up could end their next
        // wait too.
        poster.skip_timeout(&owned);
    }
    retire(owned, outcome.failed, poster)
}

/// Completes a request as cancelled. Context: process.
pub(crate) fn end_cancelled(mut owned: Owned, poster: &mut Poster<'_>) {
    let outcome = owned.cancelled();
    if let Some(next) = end(owned, outcome, poster) {
        poster.flush();
        next.issue_later();
    }
}

/// Completes a chain that was not issued, each request with its own error or as cancelled. Context:
/// process.
pub(crate) fn end_chain(mut owned: Owned, poster: &mut Poster<'_>) {
    let outcome = owned.not_issued();
    let quiet = owned.has(bindings::CONST_IOSQE_CQE_SKIP_SUCCESS);
    let next = owned.inner().next.take();
    let rest = end(owned, outcome, poster);
    debug_assert!(rest.is_none());
    end_links(next, quiet, poster);
}

/// Completes the requests linked to a failed request. If that had IOSQE_CQE_SKIP_SUCCESS, `quiet`
/// is true and the linked requests post no CQEs.
fn end_links(mut next: Option<Owned>, quiet: bool, poster: &mut Poster<'_>) {
    while let Some(mut owned) = next {
        next = owned.inner().next.take();
        let outcome = owned.not_issued();
        if let (false, Some(entry)) = (quiet, owned.finish()) {
            let cqe = owned.cqe(outcome.res, outcome.flags);
            poster.post(&owned, cqe, Of::Other, entry);
        }
        drained(&owned.ring, poster);
    }
}

/// Reports a completed request to the drain. Publishes its CQE first, because a worker may complete
/// a waiting request at once.
fn drained(ring: &Core, poster: &mut Poster<'_>) {
    if ring.drain.is_active() {
        poster.flush();
    }
    ring.drain.done();
}

/// Disarms a completed request, and removes the request from the table. Returns the linked request
/// to issue next. Context: process.
#[must_use]
fn retire(mut owned: Owned, failed: bool, poster: &mut Poster<'_>) -> Option<Owned> {
    owned.disarm();
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

/// Continues a request in the submitter's task. If the task exits, or has executed another program
/// since, a worker issues the rest of the chain.
pub(crate) fn work_in_task(mut owned: Owned, step: Step) {
    let request: Arc<Request> = owned.to_arc();
    let in_flight = request.hold.in_flight();
    let mut poster = Poster::direct(&request.ring, &in_flight);
    // SAFETY: Only reads a flag of the current task.
    let exiting = unsafe { bindings::miniring_current_exiting() };
    // After an exec the task no longer has the memory of the request, and the exec does not find the
    // linked request.
    let executed = request.is_of_another_program();
    if executed {
        request.left.store(true, Relaxed);
    }
    let goes_on = !exiting && !executed;
    let issued = match step {
        Step::Issue if goes_on => owned.issue(false, &mut poster),
        Step::Event(events) if goes_on => owned.event(events, false, &mut poster),
        _ => {
            let outcome = owned.cancelled();
            Issued::Done(owned, outcome)
        }
    };
    if let Issued::Done(owned, outcome) = issued {
        let next = end(owned, outcome, &mut poster);
        poster.settle();
        match next {
            Some(next) if goes_on => drive(next, &mut poster),
            Some(next) => next.issue_later(),
            None => (),
        }
    }
}

/// Continues a request in a worker. May sleep.
pub(crate) fn work(mut owned: Owned, step: Step) {
    let request: Arc<Request> = owned.to_arc();
    let in_flight = request.hold.in_flight();
    let blocking = owned.may_block(step);
    let mut poster = Poster::direct(&request.ring, &in_flight);
    let issued = match step {
        Step::Issue => owned.issue(blocking, &mut poster),
        Step::Event(events) => owned.event(events, blocking, &mut poster),
        Step::Finish => {
            let outcome = owned.cancelled();
            Issued::Done(owned, outcome)
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
