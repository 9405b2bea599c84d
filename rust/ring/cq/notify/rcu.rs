// SPDX-License-Identifier: GPL-2.0

//! The `rcu` model, the proposal: the registration is a pointer that RCU protects.
//!
//! * A poster loads the pointer once, in an RCU read-side critical section, and signals the
//!   registration that it found. The poster takes no lock and, except in the last case, no
//!   reference.
//! * REGISTER publishes a registration by one compare-and-exchange with null. UNREGISTER replaces
//!   the pointer by null. Neither call waits or takes the ring's mutex.
//! * A poster that found a registration may still signal it after UNREGISTER has returned. The
//!   eventfd is put after a grace period, so it exists until the signal.
//! * Inside the wake-up of another eventfd a signal is not allowed. There the poster takes a
//!   reference to the registration, and a callback of `call_rcu_hurry()` signals.
//!
//! The other models are in [`super::spinlock`] and [`super::quiesce`].

use super::evfd::{
    Posted,
    Register,
    Registered, //
};
use crate::{
    deferred::Deferrable,
    rcu::{
        Rcu,
        Unpublished, //
    }, //
};
use kernel::{
    prelude::*,
    sync::rcu::read_lock, //
};

/// The registration of a ring, or null.
pub(super) struct Slot(Rcu<Registered>);

impl Slot {
    /// Makes a slot without an eventfd.
    pub(super) const fn new() -> Self {
        Self(Rcu::null())
    }

    /// Signals the registered eventfd, if any, for `posted`. Context: any; does not sleep.
    #[inline(always)]
    pub(super) fn signal(&self, posted: Posted<'_>) {
        // Most rings have no eventfd: skip the RCU read lock.
        if self.0.is_null() {
            return;
        }
        let guard = read_lock();
        if let Some(evfd) = self.0.load(&guard) {
            evfd.signal_for(posted, || evfd.to_shared());
        }
    }

    /// Returns whether an eventfd is registered at this moment.
    pub(super) fn is_registered(&self) -> bool {
        !self.0.is_null()
    }

    /// Registers an eventfd. Does not wait for posters.
    ///
    /// # Errors
    ///
    /// `EBUSY` if an eventfd is registered; `ENOMEM`; those of [`Register::evfd`].
    #[inline(always)]
    pub(super) fn register(&self, args: &impl Register) -> Result {
        if self.is_registered() {
            return Err(EBUSY);
        }
        self.0
            .publish(Unpublished::new(Deferrable::new(args.evfd()?), GFP_KERNEL)?)
    }

    /// Removes the registration. Does not wait for posters.
    ///
    /// # Errors
    ///
    /// `ENXIO` if no eventfd is registered.
    #[inline(always)]
    pub(super) fn unregister(&self) -> Result {
        self.0.replace(None).map(drop).ok_or(ENXIO)
    }
}
