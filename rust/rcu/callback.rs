// SPDX-License-Identifier: GPL-2.0

//! RCU callbacks: what is queued, and who waits for it.

use crate::bindings;
use kernel::{
    sync::rcu::rcu_barrier,
    types::Opaque, //
};

/// Room for one callback in the object that the callback is about.
#[repr(transparent)]
pub struct Head(Opaque<bindings::callback_head>);

// SAFETY: Only `call_rcu()` and its callback access it, under the rules of `Head::queue`.
unsafe impl Send for Head {}
// SAFETY: As above; there is nothing to do with a reference.
unsafe impl Sync for Head {}

/// When a callback is called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Some time after a grace period: `call_rcu()`.
    Lazy,
    /// Soon after a grace period: `call_rcu_hurry()`.
    Hurry,
}

/// Called in softirq context with the head that was queued. Must not sleep.
pub type Callback = unsafe extern "C" fn(*mut bindings::callback_head);

impl Head {
    /// Makes a head that is not queued.
    pub const fn new() -> Self {
        Self(Opaque::uninit())
    }

    /// Queues `callback`, to be called with `this` after a grace period. Any context; does not sleep.
    ///
    /// # Safety
    ///
    /// * `this` is valid until the callback is called, and is not queued.
    /// * The module that has the code of the callback waits for it before it goes.
    /// * The callback may be called with `this`.
    pub unsafe fn queue(this: *const Self, callback: Callback, pace: Pace) {
        let head = Opaque::cast_into(this.cast::<Opaque<bindings::callback_head>>());
        // SAFETY: By the safety requirements.
        unsafe {
            match pace {
                Pace::Lazy => bindings::call_rcu(head, Some(callback)),
                Pace::Hurry => bindings::miniring_call_rcu_hurry(head, Some(callback)),
            }
        }
    }
}

impl Default for Head {
    fn default() -> Self {
        Self::new()
    }
}

/// Stands for the callbacks of a module that may be pending: see [`Reclaimed`](super::Reclaimed).
/// Dropping it waits for them.
#[derive(Default)]
pub struct Callbacks(());

impl Drop for Callbacks {
    fn drop(&mut self) {
        rcu_barrier();
    }
}
