// SPDX-License-Identifier: GPL-2.0

//! Calls that are deferred to an RCU callback, since the caller may not make them where it is.
//!
//! io_uring does the same for a signal that `eventfd_signal_allowed()` forbids: `call_rcu_hurry()`
//! is a way out of any context that needs no memory.

use crate::{
    bindings,
    rcu::{
        Head,
        Pace,
        Shared, //
    }, //
};
use core::{
    mem::offset_of,
    ops::Deref, //
};
use kernel::{
    prelude::*,
    sync::atomic::{
        ordering::Full,
        AtomicFlag, //
    }, //
};

/// What a deferred call does.
pub trait Deferred: Send + Sync + 'static {
    /// Called in softirq context; must not sleep.
    fn run(&self);
}

/// A value and the head for its deferred call.
pub struct Deferrable<T> {
    /// Queued while `queued` is set.
    head: Head,
    queued: AtomicFlag,
    value: T,
}

impl<T> Deferrable<T> {
    /// Makes room for the deferred call of `value`.
    pub const fn new(value: T) -> Self {
        Self {
            head: Head::new(),
            queued: AtomicFlag::new(false),
            value,
        }
    }
}

impl<T> Deref for Deferrable<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Deferred> Deferrable<T> {
    /// Has [`Deferred::run`] called soon, in softirq context. The reference goes with the call.
    ///
    /// A call that is still queued covers this one too. Any context; does not sleep.
    pub fn defer(this: Shared<Self>) {
        if this.queued.xchg(true, Full) {
            return;
        }
        let this = Shared::into_raw(this);
        // SAFETY:
        // - The value is alive: the callback gets the reference.
        // - The head is not queued: the flag was clear, and stays set until the callback has begun.
        // - A `Shared` comes from an `Unpublished`, whose constructor checked that it may queue
        //   callbacks.
        unsafe { Head::queue(&raw const (*this).head, run::<T>, Pace::Hurry) };
    }
}

/// Makes the call that [`Deferrable::defer`] queued.
///
/// # Safety
///
/// `head` is that of a `Deferrable<T>`, and the caller owns the reference that
/// [`Deferrable::defer`] gave up to it.
unsafe extern "C" fn run<T: Deferred>(head: *mut bindings::callback_head) {
    // SAFETY: By the safety requirements.
    let this = unsafe { head.byte_sub(offset_of!(Deferrable<T>, head)) };
    // SAFETY: By the safety requirements this reference came from `Shared::into_raw`.
    let this = unsafe { Shared::from_raw(this.cast_const().cast::<Deferrable<T>>()) };
    // Clear the flag before running, with a full barrier: a caller that still saw it set is covered
    // by this run; a later caller queues a new one. A mere store does not do: see `loom_rcu.rs`.
    this.queued.xchg(false, Full);
    this.value.run();
}

#[kunit_tests(miniring_deferred)]
mod tests {
    use super::*;
    use crate::rcu::{
        Rcu,
        Unpublished, //
    };
    use kernel::sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        rcu::{
            self,
            rcu_barrier, //
        },
        Arc, //
    };

    /// Counts its drops and its deferred calls.
    struct Counted {
        drops: Arc<Atomic<u32>>,
        runs: Arc<Atomic<u32>>,
    }

    impl Drop for Counted {
        fn drop(&mut self) {
            self.drops.fetch_add(1, Relaxed);
        }
    }

    impl Deferred for Counted {
        fn run(&self) {
            // A value that was dropped would have counted it already.
            kernel::kunit_assert_eq!("run", c"rust/deferred.rs", 0, self.drops.load(Relaxed), 0);
            self.runs.fetch_add(1, Relaxed);
        }
    }

    fn counter() -> Result<Arc<Atomic<u32>>> {
        Ok(Arc::new(Atomic::new(0), GFP_KERNEL)?)
    }

    fn counted(
        drops: &Arc<Atomic<u32>>,
        runs: &Arc<Atomic<u32>>,
    ) -> Result<Unpublished<Deferrable<Counted>>> {
        let value = Counted {
            drops: drops.clone(),
            runs: runs.clone(),
        };
        Unpublished::new(Deferrable::new(value), GFP_KERNEL)
    }

    #[test]
    fn deferred_call_runs_though_the_value_was_retired() -> Result {
        let (drops, runs) = (counter()?, counter()?);
        let slot = Rcu::null();
        drop(slot.replace(Some(counted(&drops, &runs)?)));
        {
            let guard = rcu::read_lock();
            Deferrable::defer(slot.load(&guard).ok_or(ENOENT)?.to_shared());
            // Outstanding: stands for this one too.
            Deferrable::defer(slot.load(&guard).ok_or(ENOENT)?.to_shared());
        }
        drop(slot);
        rcu_barrier();
        assert_eq!(runs.load(Relaxed), 1);
        assert_eq!(drops.load(Relaxed), 1);
        Ok(())
    }

    #[test]
    fn deferred_call_can_be_made_again() -> Result {
        let (drops, runs) = (counter()?, counter()?);
        let shared = counted(&drops, &runs)?.into_shared();
        for round in 1..=3 {
            Deferrable::defer(shared.clone());
            rcu_barrier();
            assert_eq!(runs.load(Relaxed), round);
        }
        drop(shared);
        assert_eq!(drops.load(Relaxed), 1);
        Ok(())
    }
}
