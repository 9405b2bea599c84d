// SPDX-License-Identifier: GPL-2.0

//! Posts completions, and tells waiters, the eventfd and the timeouts that wait for completions.

use super::{
    core::Core,
    request::{
        Owned,
        Request, //
    },
    run::end_cancelled,
    sequenced::Sequenced, //
};
use crate::ring::{
    abi::shared::Cqe,
    cq::{
        completion::{
            Entry,
            Of, //
        },
        notify::{
            InFlight,
            When, //
        }, //
    },
    sq::gate::Batch, //
};
use core::ptr;
use kernel::{
    list::{
        List,
        ListArc, //
    },
    pr_warn_once, //
};

/// Posts completions, at once or collected by a submitter.
pub(crate) struct Poster<'a> {
    ring: &'a Core,
    in_flight: &'a InFlight<'a>,
    batch: Option<Batch<'a>>,
    /// Cancelled requests, completed after the request that cancelled them.
    victims: List<Request, 1>,
    /// A timeout completed without a CQE. Waiters are woken after its chain was handled.
    silent: bool,
}

impl<'a> Poster<'a> {
    /// Makes a poster that posts each completion at once.
    pub(crate) fn direct(ring: &'a Core, in_flight: &'a InFlight<'a>) -> Self {
        Self {
            ring,
            in_flight,
            batch: None,
            victims: List::new(),
            silent: false,
        }
    }

    /// Makes a poster that posts when `batch` is full, or when dropped.
    pub(crate) fn collecting(
        ring: &'a Core,
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

    /// Returns whether this poster belongs to the submitter, and the caller runs in its task.
    pub(crate) fn collects(&self) -> bool {
        self.batch.is_some()
    }

    /// Returns the `InFlight` to post completions with.
    pub(crate) fn in_flight(&self) -> &'a InFlight<'a> {
        self.in_flight
    }

    /// Posts a completion that the batch has room for.
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

    /// Posts a completion of `owned` to its ring.
    pub(super) fn post(&mut self, owned: &Owned, cqe: Cqe, of: Of, entry: Entry) {
        if !self.is_of(owned) {
            return Self::post_elsewhere(owned, cqe, of, entry);
        }
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

    /// Posts a completion that belongs to no request, before the collected completions. The CQE is
    /// inline if this poster belongs to the submitter.
    pub(crate) fn post_message(&self, cqe: Cqe, entry: Entry) {
        let when = When::of(self.collects());
        self.ring
            .post_one(self.in_flight, cqe, Of::Other, entry, when);
    }

    /// Returns whether `owned` is a request of this poster's ring.
    #[inline]
    fn is_of(&self, owned: &Owned) -> bool {
        ptr::eq::<Core>(&*owned.ring, self.ring)
    }

    /// Posts a completion of another ring's request at once.
    #[cold]
    fn post_elsewhere(owned: &Owned, cqe: Cqe, of: Of, entry: Entry) {
        let in_flight = owned.hold.in_flight();
        owned.ring.post_one(&in_flight, cqe, of, entry, When::Later);
    }

    /// Notes that `owned`, a timeout, is completed without a CQE.
    pub(super) fn skip_timeout(&mut self, owned: &Owned) {
        owned.ring.sequenced.add_silent();
        if self.is_of(owned) {
            self.silent = true;
        } else {
            owned.ring.cq_wait.wake();
        }
    }

    /// Posts a completion of `owned`, which stays in flight. Returns false if the CQ is full.
    #[must_use]
    pub(crate) fn try_post(&mut self, owned: &Owned, cqe: Cqe, of: Of) -> bool {
        if !self.is_of(owned) {
            let in_flight = owned.hold.in_flight();
            return owned.ring.try_post(&in_flight, cqe, of, When::Later);
        }
        self.flush();
        let when = When::of(self.collects());
        self.ring.try_post(self.in_flight, cqe, of, when)
    }

    /// Posts the collected completions, and refills the stock of entries.
    pub(crate) fn flush(&mut self) {
        if let Some(batch) = &mut self.batch {
            self.ring.post_batch(self.in_flight, batch);
        }
    }

    /// Returns whether there is room for the next SQE's completion.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        self.batch.as_ref().is_some_and(Batch::is_ready)
    }

    /// Queues a request to complete as cancelled, after the request that cancels it.
    pub(crate) fn cancel(&mut self, mut owned: Owned) {
        // From here on no search finds the request, and no canceller waits for its owner.
        owned.mark_finished();
        owned.remove_from_pending();
        Sequenced::remove(&owned);
        match ListArc::try_from_arc(owned.into_arc()) {
            Ok(entry) => self.victims.push_back(entry),
            // A completed request is in no other list with these links.
            Err(_) => pr_warn_once!("a cancelled request is in a list\n"),
        }
    }

    /// Completes the cancelled requests.
    #[inline]
    pub(crate) fn settle(&mut self) {
        while let Some(entry) = self.victims.pop_front() {
            // SAFETY: Only `cancel` puts requests in the list, and gives up the ownership.
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

impl Core {
    /// Posts a completion, wakes waiters and signals the eventfd. Context:
    /// process.
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
        // A completion of a timeout makes no other timeout due.
        if of == Of::Other {
            self.sequenced.flush(self);
        }
    }

    /// Posts a completion if the CQ has room, wakes waiters and signals the eventfd. Context:
    /// process.
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

    /// Posts the collected completions, wakes waiters and signals the eventfd. May sleep.
    #[inline(always)]
    pub(crate) fn post_batch(&self, in_flight: &InFlight<'_>, batch: &mut Batch<'_>) {
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
        // Without memory, the submitter stops before the next SQE: see `Poster::is_ready`.
        let _ = batch.spare.refill();
    }
}
