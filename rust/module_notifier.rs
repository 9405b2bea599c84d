// SPDX-License-Identifier: GPL-2.0

//! Notifications of modules: a module is initialised, or it goes.
//!
//! A module goes after its last own code has run and before its memory is freed, also when its
//! initialisation failed. Every subscriber is called for each event, in the order of the priorities.
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

/// What a module announces.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// It is initialised. Its `__ro_after_init` data becomes read-only behind this.
    Live,
    /// It goes.
    Going,
}

/// What is to be done then.
pub(crate) trait OnModule {
    /// Those with a higher one are called first.
    const PRIORITY: c_int;

    /// Called with the module that announces `event`. May sleep.
    fn event(module: &Announced, event: Event);
}

/// A module that announces something.
///
/// # Invariants
///
/// It is still there.
pub(crate) struct Announced(*const bindings::module);

impl Announced {
    /// Whether `address` is in it.
    pub(crate) fn has(&self, address: usize) -> bool {
        let address = core::ptr::without_provenance(address);
        // SAFETY: By the invariant. What is at the address is not accessed.
        unsafe { helpers::miniring_within_module(address, self.0.cast()) }
    }

    /// Whether `address` is in its `__ro_after_init` data.
    pub(crate) fn seals(&self, address: usize) -> bool {
        // SAFETY: By the invariant.
        unsafe { helpers::miniring_within_ro_after_init(address, self.0.cast()) }
    }

    /// Tells it from other modules while it is there.
    pub(crate) fn id(&self) -> usize {
        self.0.addr()
    }

    /// The reverse of [`Announced::id`].
    ///
    /// # Safety
    ///
    /// `id` is that of a module that is there as long as the result.
    pub(crate) unsafe fn from_id(id: usize) -> Self {
        // INVARIANT: By the safety requirements.
        Self(core::ptr::with_exposed_provenance(id))
    }
}

/// What the kernel keeps of that; for a `static`.
pub(crate) struct Block<T>(Opaque<bindings::notifier_block>, PhantomData<T>);

// SAFETY: Only the kernel accesses it, under the lock of the list it is in.
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

    /// # Safety
    ///
    /// `data` is the module that `state` is about.
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
        // INVARIANT: By the requirement, and it stays until this returns.
        T::event(&Announced(data.cast()), event);
        bindings::NOTIFY_OK as c_int
    }
}

/// The proof that modules are being watched, until it is dropped.
pub(crate) struct Registration(*mut bindings::notifier_block);

// SAFETY: It is a handle that any thread can end the watch with.
unsafe impl Send for Registration {}
// SAFETY: As above; there is nothing to do with a reference.
unsafe impl Sync for Registration {}

impl Registration {
    /// Starts to watch. Fails with `EEXIST` if `block` is in use.
    pub(crate) fn new<T: OnModule>(block: &'static Block<T>) -> Result<Self> {
        // SAFETY: It is static, and the function does not put it in the list twice.
        to_result(unsafe { bindings::register_module_notifier(block.0.get()) })?;
        Ok(Self(block.0.get()))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: It is registered, as `self` exists.
        unsafe { bindings::unregister_module_notifier(self.0) };
    }
}
