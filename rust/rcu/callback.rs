// SPDX-License-Identifier: GPL-2.0

//! RCU callbacks, and who waits for them when a module goes.
//!
//! A callback is code of the module that queued it, so a module must not be freed before its
//! callbacks have returned. C asks each module to call `rcu_barrier()` in its exit function. Here
//! [`Callbacks`] does it for all modules: by a notifier, which is called when a module goes, behind
//! its exit function and before its memory is freed. A module that queues a callback uses
//! [`Head::queue`], so it keeps the module that has the notifier.
//!
//! One `rcu_barrier()` does not wait for a callback that another callback queues. Those are counted,
//! and the notifier repeats the barrier until there are none. A callback must not queue another one
//! without end.

use crate::{
    bindings,
    module_notifier::{
        Announced,
        Block,
        Event,
        OnModule,
        Registration, //
    }, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            ordering::{
                Acquire,
                Relaxed,
                Release, //
            },
            Atomic,
            AtomicFlag, //
        },
        rcu::rcu_barrier, //
    },
    types::Opaque, //
};

/// A [`Callbacks`] exists.
static READY: AtomicFlag = AtomicFlag::new(false);

/// Callbacks that were queued in softirq context and have not returned: all those that a callback
/// queued are among them.
static NESTED: Atomic<i32> = Atomic::new(0);

/// Called in softirq context with the head that was queued. Must not sleep.
pub type Callback = unsafe extern "C" fn(*mut bindings::callback_head);

/// When a callback is called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Some time after a grace period: `call_rcu()`.
    Lazy,
    /// Soon after a grace period: `call_rcu_hurry()`.
    Hurry,
}

/// Room for one callback in the object that the callback is about.
#[repr(C)]
pub struct Head {
    rcu: Opaque<bindings::callback_head>,
    /// Written before the head is queued with [`run_nested`].
    callback: Opaque<Callback>,
}

// SAFETY: Only `queue`, `call_rcu()` and the callback access it, one after the other: it is queued
// once at a time.
unsafe impl Send for Head {}
// SAFETY: As above; there is nothing to do with a reference.
unsafe impl Sync for Head {}

impl Head {
    /// Makes a head that is not queued.
    pub const fn new() -> Self {
        Self {
            rcu: Opaque::uninit(),
            callback: Opaque::uninit(),
        }
    }

    /// Queues `callback`, to be called with `this` after a grace period. Any context; does not sleep.
    ///
    /// # Safety
    ///
    /// * `this` came from an object that [`ready`] allowed, is valid until the callback is called,
    ///   and is not queued.
    /// * The callback may be called with `this`.
    // Not generic and not inlined: other modules must call this module's.
    #[inline(never)]
    pub unsafe fn queue(this: *const Self, callback: Callback, pace: Pace) {
        // SAFETY: `this` is valid (caller).
        let (rcu, stored) = unsafe { (&raw const (*this).rcu, &raw const (*this).callback) };
        let rcu = Opaque::cast_into(rcu);
        // SAFETY: It only reads the preemption count.
        let nested = unsafe { bindings::miniring_in_softirq() };
        let called = if nested {
            NESTED.fetch_add(1, Relaxed);
            // SAFETY: The head is not queued (caller), so nothing else accesses it.
            unsafe { Opaque::cast_into(stored).write(callback) };
            run_nested
        } else {
            callback
        };
        // SAFETY: The head is valid and not queued, and may be given to the callback (caller).
        unsafe {
            match pace {
                Pace::Lazy => bindings::call_rcu(rcu, Some(called)),
                Pace::Hurry => bindings::miniring_call_rcu_hurry(rcu, Some(called)),
            }
        }
    }
}

impl Default for Head {
    fn default() -> Self {
        Self::new()
    }
}

/// Calls a callback that was queued in softirq context, and notes its end.
///
/// # Safety
///
/// `head` was queued by [`Head::queue`], which stored the callback.
unsafe extern "C" fn run_nested(head: *mut bindings::callback_head) {
    // SAFETY: `head` is the first field of a `Head`, in which the callback was stored (caller).
    unsafe {
        let stored = &raw const (*head.cast::<Head>()).callback;
        let callback = Opaque::cast_into(stored).read();
        // The object may be gone behind this.
        callback(head);
    }
    NESTED.fetch_sub(1, Release);
}

/// Checks that a [`Callbacks`] waits for what is queued. For the constructor of each type that
/// queues callbacks.
///
/// # Errors
///
/// `ENODEV` if there is none.
#[inline(never)]
pub(super) fn ready() -> Result {
    if READY.load(Relaxed) {
        Ok(())
    } else {
        Err(ENODEV)
    }
}

/// Waits for the callbacks of code that queues no more of them, and for those that they queue.
/// Sleeps.
pub(super) fn wait() {
    loop {
        rcu_barrier();
        // A callback that queues another one counts it before it ends itself.
        if NESTED.load(Acquire) == 0 {
            break;
        }
    }
}

/// Waits for the callbacks of a module that goes.
struct Wait;

static WAIT: Block<Wait> = Block::new();

impl OnModule for Wait {
    // Behind the notifiers that may still make a callback of it.
    const PRIORITY: c_int = c_int::MIN;

    fn event(_: &Announced, event: Event) {
        // Not for modules that use this one alone: one that does not may have its code called by
        // one that does.
        if event == Event::Going {
            wait();
        }
    }
}

/// Waits for the callbacks of all modules that go, and when it is dropped for those of this one.
pub(crate) struct Callbacks {
    _notifier: Registration,
}

impl Callbacks {
    /// Starts to wait for callbacks. Without it, nothing can be made that queues one.
    ///
    /// # Errors
    ///
    /// `EEXIST` if there is one.
    ///
    /// # Safety
    ///
    /// The caller is the module that has this code. It drops the value, behind everything else that
    /// it has.
    pub(crate) unsafe fn new() -> Result<Self> {
        let callbacks = Self {
            _notifier: Registration::new(&WAIT)?,
        };
        READY.store(true, Relaxed);
        Ok(callbacks)
    }
}

impl Drop for Callbacks {
    fn drop(&mut self) {
        READY.store(false, Relaxed);
        wait();
        // `run_nested()` is code of this module, and may be behind its count but not at its end.
        rcu_barrier();
    }
}
