// SPDX-License-Identifier: GPL-2.0

//! The `spinlock` model: posters and updaters share a lock, as in the patch of February 2022.
//!
//! Locking: the lock is held while the eventfd is signalled; only the eventfd's lock nests inside.
//! The flaw of this model: a CQE posted from the wake-up of the ring's own eventfd would deadlock.
//! No code posts a CQE in that wake-up.

use super::evfd::{
    Posted,
    Register,
    Registered, //
};
use crate::{
    deferred::Deferrable,
    rcu::{
        Shared,
        Unpublished, //
    }, //
};
use kernel::{
    new_spinlock,
    prelude::*,
    sync::SpinLock, //
};

/// The registration of a ring, under its lock.
pub(super) struct Slot(Pin<KBox<SpinLock<Option<Shared<Registered>>>>>);

impl Slot {
    /// Makes a slot without an eventfd.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new() -> Result<Self> {
        let lock = new_spinlock!(None, "miniring::Notifier");
        Ok(Self(KBox::pin_init(lock, GFP_KERNEL)?))
    }

    /// Signals the registered eventfd, if any, for `posted`. Context: process, outside of the
    /// eventfd's wake-up.
    pub(super) fn signal(&self, posted: Posted<'_>) {
        // A deferred signal runs without the lock.
        if let Some(evfd) = &*self.0.lock() {
            evfd.signal_for(posted, || evfd.clone());
        }
    }

    /// Returns whether an eventfd is registered at this moment.
    pub(super) fn is_registered(&self) -> bool {
        self.0.lock().is_some()
    }

    /// Registers an eventfd.
    ///
    /// # Errors
    ///
    /// `EBUSY` if an eventfd is registered; `ENOMEM`; those of [`Register::evfd`].
    pub(super) fn register(&self, args: &impl Register) -> Result {
        if self.is_registered() {
            return Err(EBUSY);
        }
        let new = Unpublished::new(Deferrable::new(args.evfd()?), GFP_KERNEL)?.into_shared();
        let mut slot = self.0.lock();
        if slot.is_some() {
            drop(slot);
            return Err(EBUSY);
        }
        *slot = Some(new);
        Ok(())
    }

    /// Removes the registration.
    ///
    /// # Errors
    ///
    /// `ENXIO` if no eventfd is registered.
    pub(super) fn unregister(&self) -> Result {
        let old = self.0.lock().take();
        // The eventfd is put after the lock is released.
        old.map(drop).ok_or(ENXIO)
    }
}
