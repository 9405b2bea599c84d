// SPDX-License-Identifier: GPL-2.0

//! Forgetting what belongs to a module that goes away.
//!
//! A module announces that it is going after its last own code has run and before its memory is
//! freed, and also when its initialisation failed. Waiting for the apply that is under way means
//! that no key of the module is in use when the announcement returns.

use super::{
    apply::APPLY,
    queue::QUEUE,
    stats::STATS, //
};
use crate::bindings as helpers;
use core::marker::PhantomData;
use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    types::Opaque, //
};

/// What is to be done when a module goes.
pub(crate) trait OnGoing {
    /// Called with that module. May sleep.
    fn going(module: &Going);
}

/// A module that goes.
///
/// # Invariants
///
/// It is still there.
pub(crate) struct Going(*const bindings::module);

impl Going {
    /// Whether `address` is in it.
    pub(crate) fn has(&self, address: usize) -> bool {
        let address = core::ptr::without_provenance(address);
        // SAFETY: By the invariant. What is at the address is not accessed.
        unsafe { helpers::miniring_within_module(address, self.0.cast()) }
    }
}

/// What the kernel keeps of that; for a `static`.
pub(crate) struct Block<T>(Opaque<bindings::notifier_block>, PhantomData<T>);

// SAFETY: Only the kernel accesses it, under the lock of the list it is in.
unsafe impl<T> Sync for Block<T> {}

impl<T: OnGoing> Block<T> {
    pub(crate) const fn new() -> Self {
        Self(
            Opaque::new(bindings::notifier_block {
                notifier_call: Some(Self::on_module),
                next: core::ptr::null_mut(),
                priority: 0,
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
        if state == bindings::module_state_MODULE_STATE_GOING as c_ulong {
            // INVARIANT: By the requirement, and it stays until this returns.
            T::going(&Going(data.cast()));
        }
        bindings::NOTIFY_OK as c_int
    }
}

/// The requests for its keys.
pub(super) struct Requests;

/// Forgets the requests for the keys of a module.
pub(super) static FORGET: Block<Requests> = Block::new();

impl OnGoing for Requests {
    fn going(module: &Going) {
        let _apply = APPLY.lock();
        let dropped = QUEUE.lock().drop_within(module);
        STATS.dropped.add(dropped);
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
    pub(crate) fn new<T: OnGoing>(block: &'static Block<T>) -> Result<Self> {
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
