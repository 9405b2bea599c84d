// SPDX-License-Identifier: GPL-2.0

//! RCU callbacks, and the wait for them when a module is unloaded.
//!
//! A callback is code of the module that queued it, so a module must not be freed before its
//! callbacks have returned. A C module calls `rcu_barrier()` in its exit function. Here
//! [`Callbacks`] waits for all modules, in a module notifier: after the exit function of a module
//! and before its memory is freed. Each of these modules depends on this one, because it calls the
//! function `queue`. So this module, which has the notifier, is unloaded last, and then waits for
//! its own callbacks.
//!
//! One `rcu_barrier()` does not wait for a callback that another callback queues. The callbacks that
//! callbacks queue are counted, and the notifier repeats the barrier until the count is 0. So
//! callbacks must not queue each other for ever.

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
            Atomic, //
        },
        rcu::rcu_barrier, //
    },
    types::Opaque, //
};

/// 1 while a [`Callbacks`] exists.
static READY: Atomic<i32> = Atomic::new(0);

/// Number of callbacks queued in softirq context that have not returned. The number includes every
/// callback that another callback queued.
static NESTED: Atomic<i32> = Atomic::new(0);

/// An RCU callback.
pub trait Callback {
    /// Runs after a grace period. Context: softirq; must not sleep.
    ///
    /// # Safety
    ///
    /// `head` was queued by [`Head::queue`] for this callback.
    unsafe fn run(head: *mut Head);
}

/// An RCU callback as `call_rcu()` takes it.
type Function = unsafe extern "C" fn(*mut bindings::callback_head);

/// The delay before a callback is called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Some time after a grace period: `call_rcu()`.
    Lazy,
    /// Soon after a grace period: `call_rcu_hurry()`.
    Hurry,
}

/// The head of one callback, embedded in the object that the callback gets.
#[repr(transparent)]
pub struct Head(Opaque<bindings::callback_head>);

// SAFETY: A head is queued once at a time. Only `queue`, `call_rcu()` and the callback access a
// head, one after the other.
unsafe impl Send for Head {}
// SAFETY: A shared reference gives no access to the field.
unsafe impl Sync for Head {}

impl Head {
    /// Makes a head that is not queued.
    pub const fn new() -> Self {
        Self(Opaque::uninit())
    }

    /// Queues the callback `C`, to be run with `this` after a grace period.
    ///
    /// Context: any; does not sleep.
    ///
    /// # Safety
    ///
    /// * `this` is not queued, is valid until the callback runs, and is in an object whose
    ///   constructor called [`ready`].
    /// * `C` may run with `this`.
    #[inline]
    pub unsafe fn queue<C: Callback>(this: *const Self, pace: Pace) {
        // SAFETY: `this` is in such an object and not queued, and both functions run `C`, which may
        // run with `this` (caller).
        unsafe { queue(this, run::<C>, run_nested::<C>, pace) }
    }
}

impl Default for Head {
    fn default() -> Self {
        Self::new()
    }
}

/// Queues `callback`, or in softirq context `nested`.
///
/// # Safety
///
/// As [`Head::queue`], for both functions.
// Not generic and not inlined: other modules must call this copy, to hold a reference to this
// module.
#[inline(never)]
unsafe fn queue(this: *const Head, callback: Function, nested: Function, pace: Pace) {
    // SAFETY: `this` is valid (caller).
    let rcu = Opaque::cast_into(unsafe { &raw const (*this).0 });
    // SAFETY: Only reads the preemption count.
    let function = if unsafe { bindings::miniring_in_softirq() } {
        NESTED.fetch_add(1, Relaxed);
        nested
    } else {
        callback
    };
    // SAFETY: The head is valid and not queued, and the function may be called with it (caller).
    unsafe {
        match pace {
            Pace::Lazy => bindings::call_rcu(rcu, Some(function)),
            Pace::Hurry => bindings::miniring_call_rcu_hurry(rcu, Some(function)),
        }
    }
}

/// Runs a callback.
///
/// # Safety
///
/// `head` was queued by [`Head::queue`] for `C`.
unsafe extern "C" fn run<C: Callback>(head: *mut bindings::callback_head) {
    // SAFETY: `head` is a `Head` that was queued for `C` (caller).
    unsafe { C::run(head.cast()) };
}

/// Runs a callback that was queued in softirq context, and decrements the count.
///
/// # Safety
///
/// As [`run`].
unsafe extern "C" fn run_nested<C: Callback>(head: *mut bindings::callback_head) {
    // SAFETY: `head` was queued for `C` (caller). It is not used after this call, which may free the
    // object that has `head`.
    unsafe { run::<C>(head) };
    NESTED.fetch_sub(1, Release);
}

/// Checks that a [`Callbacks`] exists, for the constructor of each type that queues callbacks.
///
/// # Errors
///
/// `ENODEV` if none exists.
#[inline]
pub(super) fn ready() -> Result {
    // Not the atomic load of the kernel crate, which costs the call of a C helper.
    //
    // SAFETY: The pointer is valid and aligned, and every other access to it is atomic. So is a
    // volatile load of a word, in the kernel's memory model.
    if unsafe { READY.as_ptr().read_volatile() } != 0 {
        Ok(())
    } else {
        Err(ENODEV)
    }
}

/// Waits for the callbacks of code that queues no more, and for callbacks that those callbacks
/// queue. May sleep.
pub(super) fn wait() {
    loop {
        rcu_barrier();
        // A callback that queues another callback increments the count before it returns.
        if NESTED.load(Acquire) == 0 {
            break;
        }
    }
    // `run_nested()` may still run after it decremented the count.
    rcu_barrier();
}

/// Waits for the callbacks of a module that is being unloaded.
struct Wait;

static WAIT: Block<Wait> = Block::new();

impl OnModule for Wait {
    // Runs after the notifiers that may still queue a callback of the module.
    const PRIORITY: c_int = c_int::MIN;

    fn event(_: &Announced, event: Event) {
        // Wait for every module: a callback of a user of this module may call code of a module that
        // is no user.
        if event == Event::Going {
            wait();
        }
    }
}

/// Waits for the callbacks of each module that is unloaded; on drop, for those of this module.
pub(crate) struct Callbacks {
    _notifier: Registration,
}

impl Callbacks {
    /// Registers the notifier, and lets [`ready`] succeed. May sleep.
    ///
    /// # Errors
    ///
    /// `EEXIST` if a `Callbacks` exists.
    ///
    /// # Safety
    ///
    /// The caller is the module that has this code, and drops the value as the last part of its
    /// state.
    pub(crate) unsafe fn new() -> Result<Self> {
        let callbacks = Self {
            _notifier: Registration::new(&WAIT)?,
        };
        READY.store(1, Relaxed);
        Ok(callbacks)
    }
}

impl Drop for Callbacks {
    fn drop(&mut self) {
        READY.store(0, Relaxed);
        wait();
    }
}
