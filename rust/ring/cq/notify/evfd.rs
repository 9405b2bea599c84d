// SPDX-License-Identifier: GPL-2.0

//! A registered eventfd, and the rules for signalling it.

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

/// The time at which a completion is posted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// During the call that submits its request: the submitter finds the CQE when the call returns.
    Inline,
    /// At any other time.
    Later,
}

impl When {
    /// Returns `Inline` if a submission is collecting completions (`inline`).
    pub(crate) fn of(inline: bool) -> Self {
        if inline {
            Self::Inline
        } else {
            Self::Later
        }
    }
}

/// CQEs that a caller has posted, and for which it signals.
#[derive(Clone, Copy)]
pub(super) struct Posted<'a> {
    /// The memory of the CQEs' ring.
    pub(super) shared: &'a shared::Shared,
    /// Number of CQEs published up to the last of these CQEs, inclusive.
    pub(super) published: Published,
    /// Tells whether the CQEs are inline with their submission.
    pub(super) when: When,
}

/// A registered eventfd.
pub(crate) struct EvFd {
    eventfd: EventFd,
    /// IORING_REGISTER_EVENTFD_ASYNC: signal only for completions that come [later](When::Later).
    async_only: bool,
    /// Number of CQEs published before the registration.
    since: Published,
}

/// A registration as the models store it: with room for a deferred signal.
pub(super) type Registered = Deferrable<EvFd>;

impl EvFd {
    pub(crate) fn new(eventfd: EventFd, async_only: bool, since: Published) -> Self {
        Self {
            eventfd,
            async_only,
            since,
        }
    }

    /// Signals the eventfd if `posted` requires a signal. Defers a signal that the context does not
    /// allow: `reference` returns the reference for the callback. Context: any.
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

    /// Returns whether `posted` requires a signal.
    #[inline(always)]
    fn is_due(&self, posted: Posted<'_>) -> bool {
        posted.published > self.since
            && (posted.when == When::Later || !self.async_only)
            && posted.shared.cq_flags() & bindings::IORING_CQ_EVENTFD_DISABLED == 0
    }

    /// Signals the eventfd. Returns false where a signal is not allowed.
    #[must_use]
    fn signal(&self) -> bool {
        self.eventfd
            .signal_if_allowed(bindings::CONST_EPOLL_URING_WAKE)
    }
}

/// Defers a signal to a callback. Out of line, because deferring is rare.
#[cold]
#[inline(never)]
fn defer(reference: impl FnOnce() -> Shared<Registered>) {
    Deferrable::defer(reference());
}

impl Deferred for EvFd {
    fn run(&self) {
        // The callback never runs inside the wake-up of an eventfd, so the signal is allowed.
        let _allowed = self.signal();
    }
}
