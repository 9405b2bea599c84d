// SPDX-License-Identifier: GPL-2.0

//! Module notifiers, for modules that become live or are unloaded.
//!
//! GOING is notified after the exit function of a module and before its memory is freed, also when
//! its init function failed. All notifiers are called for each event, in the order of their
//! priorities.
//!
//! C source: `register_module_notifier()` in `kernel/module/main.c`.

use crate::bindings as helpers;
use core::marker::PhantomData;
use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    types::Opaque, //
};

/// A state change of a module.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// The module is initialised. Its `__ro_after_init` data becomes read-only after the notifiers.
    Live,
    /// The module is being unloaded.
    Going,
}

/// A notifier.
pub(crate) trait OnModule {
    /// Notifiers with a higher priority are called first.
    const PRIORITY: c_int;

    /// Handles `event` of `module`. May sleep.
    fn event(module: &Announced, event: Event);
}

/// The module of an event.
///
/// # Invariants
///
/// The module exists.
pub(crate) struct Announced(*const bindings::module);

impl Announced {
    /// Returns whether `address` is in the module.
    pub(crate) fn has(&self, address: usize) -> bool {
        let address = core::ptr::without_provenance(address);
        // SAFETY: The module exists (type invariant). The memory at `address` is not accessed.
        unsafe { helpers::miniring_within_module(address, self.0.cast()) }
    }

    /// Returns whether `address` is in the `__ro_after_init` data of the module.
    pub(crate) fn seals(&self, address: usize) -> bool {
        // SAFETY: The module exists (type invariant).
        unsafe { helpers::miniring_within_ro_after_init(address, self.0.cast()) }
    }

    /// Returns a number that identifies the module while it exists.
    pub(crate) fn id(&self) -> usize {
        self.0.addr()
    }

    /// Makes an `Announced` of a number that [`Announced::id`] returned.
    ///
    /// # Safety
    ///
    /// The module with the number `id` exists as long as the result.
    pub(crate) unsafe fn from_id(id: usize) -> Self {
        // INVARIANT: The module exists as long as the result (caller).
        Self(core::ptr::with_exposed_provenance(id))
    }
}

/// The notifier block of `T`, for a `static`.
pub(crate) struct Block<T>(Opaque<bindings::notifier_block>, PhantomData<T>);

// SAFETY: Only the kernel accesses the block, under the lock of the notifier list.
unsafe impl<T> Sync for Block<T> {}

impl<T: OnModule> Block<T> {
    pub(crate) const fn new() -> Self {
        Self(
            Opaque::new(bindings::notifier_block {
                notifier_call: Some(Self::on_module),
                next: core::ptr::null_mut(),
                priority: T::PRIORITY,
            }),
            PhantomData,
        )
    }

    /// Calls [`OnModule::event`] for the states LIVE and GOING.
    ///
    /// # Safety
    ///
    /// `data` is the module, which has the state `state`.
    unsafe extern "C" fn on_module(
        _: *mut bindings::notifier_block,
        state: c_ulong,
        data: *mut c_void,
    ) -> c_int {
        let event = match state as bindings::module_state {
            bindings::module_state_MODULE_STATE_LIVE => Event::Live,
            bindings::module_state_MODULE_STATE_GOING => Event::Going,
            _ => return bindings::NOTIFY_OK as c_int,
        };
        data.expose_provenance();
        // INVARIANT: `data` is a module (caller), which stays until the notifier returns.
        T::event(&Announced(data.cast()), event);
        bindings::NOTIFY_OK as c_int
    }
}

/// A registered notifier, unregistered on drop.
pub(crate) struct Registration(*mut bindings::notifier_block);

// SAFETY: Any task may unregister the notifier.
unsafe impl Send for Registration {}
// SAFETY: No function takes a `&Registration`.
unsafe impl Sync for Registration {}

impl Registration {
    /// Registers the notifier. May sleep.
    ///
    /// # Errors
    ///
    /// `EEXIST` if `block` is registered already.
    pub(crate) fn new<T: OnModule>(block: &'static Block<T>) -> Result<Self> {
        // SAFETY: `block` is static, and the function does not add it to the list twice.
        to_result(unsafe { bindings::register_module_notifier(block.0.get()) })?;
        Ok(Self(block.0.get()))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: The block is registered: `new()` registered it, and only this drop unregisters
        // it.
        unsafe { bindings::unregister_module_notifier(self.0) };
    }
}
