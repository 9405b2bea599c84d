// SPDX-License-Identifier: GPL-2.0

//! Calls that are deferred to an RCU callback, because they are not allowed in the caller's
//! context.
//!
//! io_uring also defers a signal that `eventfd_signal_allowed()` forbids: `call_rcu_hurry()` may be
//! called in any context and needs no memory.

use crate::rcu::{
    Callback,
    Head,
    Pace,
    Shared, //
};
use core::{
    marker::PhantomData,
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

/// A value with a deferred function.
pub trait Deferred: Send + Sync + 'static {
    /// Runs the deferred call. Context: softirq; must not sleep.
    fn run(&self);
}

/// A value and the head for its deferred call.
pub struct Deferrable<T> {
    /// In the RCU callback list while `queued` is set.
    head: Head,
    queued: AtomicFlag,
    value: T,
}

impl<T> Deferrable<T> {
    /// Wraps `value` with a head that is not queued.
    #[inline]
    pub fn new(value: T) -> impl Init<Self> {
        init!(Self {
            head: Head::new(),
            queued: AtomicFlag::new(false),
            value,
        })
    }
}

impl<T> Deref for Deferrable<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: Deferred> Deferrable<T> {
    /// Queues a call of [`Deferred::run`], in softirq context. The callback drops the reference.
    ///
    /// A call that is still queued covers this call too. Context: any; does not sleep.
    pub fn defer(this: Shared<Self>) {
        if this.queued.xchg(true, Full) {
            return;
        }
        let this = Shared::into_raw(this);
        // SAFETY:
        // - The value is alive: the callback gets the reference.
        // - The head is not queued: the flag was clear, and stays set until the callback has begun.
        // - A `Shared` comes from an `Unpublished`, whose constructor called `ready()`.
        unsafe { Head::queue::<Run<T>>(&raw const (*this).head, Pace::Hurry) };
    }
}

/// Runs the call that [`Deferrable::defer`] queued.
struct Run<T>(PhantomData<T>);

impl<T: Deferred> Callback for Run<T> {
    unsafe fn run(head: *mut Head) {
        // SAFETY: `head` is the field of a `Deferrable<T>`: only `Deferrable::defer` queues this
        // callback.
        let this = unsafe { head.byte_sub(offset_of!(Deferrable<T>, head)) };
        // SAFETY: The reference came from `Shared::into_raw`, and this callback owns it.
        let this = unsafe { Shared::from_raw(this.cast_const().cast::<Deferrable<T>>()) };
        // Clear the flag before running, with a full barrier. This run also does the work of a
        // caller that still saw the flag set; a later caller queues a new run. `loom_rcu.rs` shows
        // what a plain store, without the barrier, misses.
        this.queued.xchg(false, Full);
        this.value.run();
    }
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
            // Not zero if the value was dropped before the call.
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
            // The first call is still queued, and covers the second call too.
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
