// SPDX-License-Identifier: GPL-2.0

//! Eventfd notification of completions, in the three models that the mailing-list thread compared
//! (Documentation/review/eventfd-rcu.rst). A ring has one [`Notifier`]; SETUP chooses its model.
//!
//! | model | poster | updater |
//! | --- | --- | --- |
//! | [`rcu`], the proposal | RCU read lock | one atomic operation |
//! | [`spinlock`] | the lock, also while it signals | the lock |
//! | [`quiesce`] | reference of its submission or request | waits until there is none |
//!
//! A poster of completions holds an [`InFlight`], which is empty except in the `quiesce` model, and
//! calls [`Notifier::signal`].

mod evfd;
mod quiesce;
mod rcu;
mod spinlock;

pub(crate) use evfd::{
    EvFd,
    Register,
    When, //
};

use super::completion::Published;
use crate::{
    bindings,
    ring::abi::shared, //
};
use evfd::Posted;
use kernel::{
    prelude::*,
    sync::Arc, //
};
use quiesce::Quiesce;

/// The registration of a ring, in its model.
enum Slot {
    Rcu(rcu::Slot),
    Other(Other),
}

/// The registration in a model that the `rcu` model is compared with. Calls for these models are
/// not inlined.
enum Other {
    Spinlock(spinlock::Slot),
    Quiesce(Arc<Quiesce>),
}

/// Notifies a registered eventfd of completions.
pub(crate) struct Notifier(Slot);

/// Keeps an updater of the `quiesce` model waiting while completions may be posted.
pub(crate) struct InFlight<'a>(Option<quiesce::Entered<'a>>);

/// Keeps an updater waiting for a request in flight: an [`InFlight`] that outlives its call.
pub(crate) struct Hold(Option<quiesce::Kept>);

impl Notifier {
    /// Makes a notifier without an eventfd; `model` is one of MINIRING_NOTIFY_*. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an unknown model; `ENOMEM`.
    pub(crate) fn new(model: u32) -> Result<Self> {
        Ok(Self(match model {
            bindings::MINIRING_NOTIFY_RCU => Slot::Rcu(rcu::Slot::new()),
            bindings::MINIRING_NOTIFY_SPINLOCK => {
                Slot::Other(Other::Spinlock(spinlock::Slot::new()?))
            }
            bindings::MINIRING_NOTIFY_QUIESCE => {
                Slot::Other(Other::Quiesce(Arc::pin_init(Quiesce::new(), GFP_KERNEL)?))
            }
            _ => return Err(EINVAL),
        }))
    }

    /// Announces that completions may be posted.
    ///
    /// Context: process; sleeps only in the `quiesce` model, while the registration changes.
    ///
    /// # Errors
    ///
    /// `EINTR` if a signal interrupts the wait.
    #[inline]
    pub(crate) fn in_flight(&self) -> Result<InFlight<'_>> {
        Ok(InFlight(match &self.0 {
            Slot::Other(Other::Quiesce(quiesce)) => Some(Quiesce::enter(quiesce.as_arc_borrow())?),
            _ => None,
        }))
    }

    /// Returns whether [`Notifier::in_flight`], or a change of the registration, may wait.
    #[inline]
    pub(crate) fn may_wait(&self) -> bool {
        matches!(self.0, Slot::Other(Other::Quiesce(_)))
    }

    /// Announces that completions may be posted. Returns `None` where [`Notifier::in_flight`] would
    /// wait. Context: any.
    pub(crate) fn try_in_flight(&self) -> Option<InFlight<'_>> {
        Some(InFlight(match &self.0 {
            Slot::Other(Other::Quiesce(quiesce)) => {
                Some(Quiesce::try_enter(quiesce.as_arc_borrow())?)
            }
            _ => None,
        }))
    }

    /// Signals the registered eventfd, if any, for CQEs that the caller posted. `published` is the
    /// count of CQEs after the last posted CQE. CQEs published before the registration are not
    /// signalled. `when` tells whether the CQEs are inline with their submission.
    ///
    /// Context: any; in the `spinlock` model process, outside of the wake-up of the eventfd.
    ///
    /// Each posting caller signals once, so the eventfd's count never changes without a new CQE.
    #[inline(always)]
    pub(crate) fn signal(
        &self,
        in_flight: &InFlight<'_>,
        shared: &shared::Shared,
        published: Published,
        when: When,
    ) {
        let posted = Posted {
            shared,
            published,
            when,
        };
        match &self.0 {
            Slot::Rcu(slot) => slot.signal(posted),
            Slot::Other(slot) => slot.signal(in_flight, posted),
        }
    }

    /// Returns whether an eventfd is registered, for readers of the registration. Returns false if
    /// a signal interrupts the wait for an updater.
    pub(crate) fn has_eventfd(&self) -> bool {
        match &self.0 {
            Slot::Rcu(slot) => slot.is_registered(),
            Slot::Other(Other::Spinlock(slot)) => slot.is_registered(),
            Slot::Other(Other::Quiesce(quiesce)) => {
                Quiesce::enter(quiesce.as_arc_borrow()).is_ok_and(|entered| entered.is_registered())
            }
        }
    }

    /// Registers an eventfd, to be signalled for completions that are posted later.
    ///
    /// Context: process; waits only in the `quiesce` model, until nothing is in flight.
    ///
    /// # Errors
    ///
    /// `EBUSY` if an eventfd is registered; `ENOMEM`; those of [`Register::evfd`]. In the `quiesce`
    /// model `EINTR` if a signal interrupts the wait, and `ERESTARTNOHAND` if the task has work that
    /// only its return to userspace can run.
    #[inline(always)]
    pub(crate) fn register(&self, args: &impl Register) -> Result {
        match &self.0 {
            Slot::Rcu(slot) => slot.register(args),
            Slot::Other(slot) => slot.register(args),
        }
    }

    /// Removes the registration. A concurrent poster may still signal the eventfd, which is put
    /// after its last user. Completions posted later do not signal the eventfd.
    ///
    /// Context: as [`Notifier::register`].
    ///
    /// # Errors
    ///
    /// `ENXIO` if no eventfd is registered; in the `quiesce` model those of the wait, as
    /// [`Notifier::register`].
    #[inline(always)]
    pub(crate) fn unregister(&self) -> Result {
        match &self.0 {
            Slot::Rcu(slot) => slot.unregister(),
            Slot::Other(slot) => slot.unregister(),
        }
    }
}

impl Other {
    #[inline(never)]
    fn signal(&self, in_flight: &InFlight<'_>, posted: Posted<'_>) {
        match (self, &in_flight.0) {
            (Self::Spinlock(slot), _) => slot.signal(posted),
            (Self::Quiesce(_), Some(entered)) => entered.signal(posted),
            (Self::Quiesce(_), None) => (),
        }
    }

    #[inline(never)]
    fn register(&self, args: &impl Register) -> Result {
        match self {
            Self::Spinlock(slot) => slot.register(args),
            Self::Quiesce(quiesce) => quiesce.exclude()?.register(args),
        }
    }

    #[inline(never)]
    fn unregister(&self) -> Result {
        match self {
            Self::Spinlock(slot) => slot.unregister(),
            Self::Quiesce(quiesce) => quiesce.exclude()?.unregister(),
        }
    }
}

impl InFlight<'_> {
    /// Announces that a request will post completions after this value is gone.
    pub(crate) fn hold(&self) -> Hold {
        Hold(self.0.as_ref().map(quiesce::Entered::keep))
    }
}

impl Hold {
    /// Returns an [`InFlight`] to post completions with. Context: any.
    pub(crate) fn in_flight(&self) -> InFlight<'_> {
        InFlight(self.0.as_ref().map(quiesce::Kept::enter))
    }
}
