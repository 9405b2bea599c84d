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
use kernel::prelude::*;

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

/// The arguments of a registration.
///
/// Not a closure, whose body is not inlined where it has more than one caller.
pub(crate) trait Register {
    /// Makes the registration. Called once, and only if no eventfd is registered.
    ///
    /// # Errors
    ///
    /// Those of reading the arguments, and of [`EventFd::from_fd`].
    fn evfd(&self) -> Result<EvFd>;
}

/// A registered eventfd.
pub(crate) struct EvFd {
    eventfd: EventFd,
    since: Since,
}

/// The completions for which a registration is signalled.
///
/// The number of CQEs published before the registration, times 2. Plus 1 for
/// IORING_REGISTER_EVENTFD_ASYNC: only completions that come [later](When::Later). One word, so
/// that an allocated registration has at most 64 bytes: more cost 32 instructions to clear (x86-64).
#[derive(Clone, Copy)]
struct Since(Published);

impl Since {
    fn new(published: Published, async_only: bool) -> Self {
        Self(published << 1 | Published::from(async_only))
    }

    fn published(self) -> Published {
        self.0 >> 1
    }

    fn async_only(self) -> bool {
        self.0 & 1 != 0
    }
}

/// A registration as the models store it: with room for a deferred signal.
pub(super) type Registered = Deferrable<EvFd>;

impl EvFd {
    pub(crate) fn new(eventfd: EventFd, async_only: bool, published: Published) -> Self {
        Self {
            eventfd,
            since: Since::new(published, async_only),
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
        posted.published > self.since.published()
            && (posted.when == When::Later || !self.since.async_only())
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
