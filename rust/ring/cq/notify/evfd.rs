// SPDX-License-Identifier: GPL-2.0

//! A registered eventfd, and when it is signalled.

use super::super::completion::Published;
use crate::{
    bindings,
    deferred::{
        Deferrable,
        Deferred, //
    },
    eventfd::EventFd,
    rcu::Shared,
    ring::abi::shared, //
};

/// When a completion is posted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// By the submission that its request is part of: the submitter finds it when the call returns.
    Inline,
    /// At any other time.
    Later,
}

impl When {
    /// `inline` tells that a submission is collecting completions.
    pub(crate) fn of(inline: bool) -> Self {
        if inline {
            Self::Inline
        } else {
            Self::Later
        }
    }
}

/// The CQEs that a caller has posted, and that it signals for.
#[derive(Clone, Copy)]
pub(super) struct Posted<'a> {
    /// The ring that they are in.
    pub(super) shared: &'a shared::Shared,
    /// How many CQEs were published when the last of them was.
    pub(super) published: Published,
    /// Whether they are inline with their submission.
    pub(super) when: When,
}

/// A registered eventfd.
pub(crate) struct EvFd {
    eventfd: EventFd,
    /// IORING_REGISTER_EVENTFD_ASYNC: signal only for completions that come [later](When::Later).
    async_only: bool,
    /// How many CQEs were published before the registration.
    since: Published,
}

/// A registration as the models keep it: with room for a deferred signal.
pub(super) type Registered = Deferrable<EvFd>;

impl EvFd {
    pub(crate) fn new(eventfd: EventFd, async_only: bool, since: Published) -> Self {
        Self {
            eventfd,
            async_only,
            since,
        }
    }

    /// Signals for `posted`, if this registration is to be signalled for that. Where a signal is not
    /// allowed, it is deferred: `reference` gives the reference that it needs. Any context.
    #[inline(always)]
    pub(super) fn signal_for(
        &self,
        posted: Posted<'_>,
        reference: impl FnOnce() -> Shared<Registered>,
    ) {
        if self.is_due(posted) && !self.signal() {
            defer(reference);
        }
    }

    /// Returns whether a poster of these CQEs is to signal.
    #[inline(always)]
    fn is_due(&self, posted: Posted<'_>) -> bool {
        posted.published > self.since
            && (posted.when == When::Later || !self.async_only)
            && posted.shared.cq_flags() & bindings::IORING_CQ_EVENTFD_DISABLED == 0
    }

    /// Returns false where a signal is not allowed.
    #[must_use]
    fn signal(&self) -> bool {
        self.eventfd
            .signal_if_allowed(bindings::CONST_EPOLL_URING_WAKE)
    }
}

/// Defers a signal to a callback, which is rare.
#[cold]
#[inline(never)]
fn defer(reference: impl FnOnce() -> Shared<Registered>) {
    Deferrable::defer(reference());
}

impl Deferred for EvFd {
    fn run(&self) {
        // The callback interrupts no wake-up of an eventfd, so the signal is allowed.
        let _allowed = self.signal();
    }
}
