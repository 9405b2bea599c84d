// SPDX-License-Identifier: GPL-2.0

//! The `rcu` model, which is the proposal: the registration is a pointer that RCU protects.
//!
//! * A poster follows the pointer in an RCU read-side critical section, decides by what it finds
//!   there alone, and signals. It takes neither a lock nor a reference.
//! * REGISTER publishes a registration if there is none, by one compare-and-exchange. UNREGISTER
//!   replaces it by null. Both return at once; neither takes the ring's mutex.
//! * A poster that found a registration just before may still signal it after UNREGISTER has
//!   returned. The eventfd is put after a grace period, so it is there for that signal.
//! * A signal that is not allowed in the poster's context takes a reference, and is made by
//!   `call_rcu_hurry()`.
//!
//! The other models are in [`super::spinlock`] and [`super::quiesce`].

use super::evfd::{
    EvFd,
    Posted,
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

    /// Signals the eventfd, if there is one, for `posted`. Any context; does not sleep.
    #[inline(always)]
    pub(super) fn signal(&self, posted: Posted<'_>) {
        // Mostly there is none, and each poster checks.
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

    /// Registers `evfd`. Does not wait for posters.
    ///
    /// # Errors
    ///
    /// `EBUSY` if an eventfd is registered, `ENOMEM`.
    pub(super) fn register(&self, evfd: EvFd) -> Result {
        self.0
            .publish(Unpublished::new(Deferrable::new(evfd), GFP_KERNEL)?)
    }

    /// Removes the registration. Does not wait for posters.
    ///
    /// # Errors
    ///
    /// `ENXIO` if no eventfd is registered.
    pub(super) fn unregister(&self) -> Result {
        self.0.replace(None).map(drop).ok_or(ENXIO)
    }
}
