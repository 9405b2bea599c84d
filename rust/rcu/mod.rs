// SPDX-License-Identifier: GPL-2.0

//! Owning pointers protected by RCU.
//!
//! [`Rcu<T>`] owns at most one `T`. Readers borrow it under an RCU read lock and cost an updater
//! nothing; an updater swaps in another value, atomically, so that updaters need no lock either,
//! and what came out is dropped after a grace period, by `call_rcu()` with a head inside the same
//! allocation. A reader that needs the value for longer takes a reference
//! ([`Borrowed::to_shared`]), and one that may not act where it stands leaves it to a callback
//! ([`Shared::defer`]).
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)
//!
//! # Examples
//!
//! ```ignore
#![doc = include_str!("example.rs")]
//! ```

use crate::bindings;
use core::{
    marker::PhantomData,
    mem::offset_of,
    ops::Deref,
    ptr, //
};
use kernel::{
    alloc::Flags,
    prelude::*,
    sync::{
        atomic::{
            ordering::Full,
            Atomic,
            AtomicFlag, //
        },
        rcu::{
            rcu_barrier,
            Guard, //
        },
        Arc,
        ArcBorrow,
        UniqueArc, //
    },
    types::Opaque, //
};

/// A type whose values may be dropped, or used, by an RCU callback.
///
/// The callback is code of the module that the type is in. `RcuBox` and `Rcu<P>`, as posted for the
/// kernel crate, ask their users for a `'static` type only. Nothing there waits for the callbacks
/// when a module goes that is such a user.
///
/// # Safety
///
/// The module that has the type keeps a [`Callbacks`] in its state, and drops that after all else
/// that may let go of such a value.
pub unsafe trait Reclaimed: Send + Sync + 'static {}

/// What an [`Rcu`] points at: the value, and all that its callbacks need.
#[pin_data]
struct Node<T> {
    /// Queued once, when the value leaves the pointer that owns it.
    #[pin]
    retire: Opaque<bindings::callback_head>,
    /// Queued by [`Shared::defer`], while `deferred` is set.
    #[pin]
    defer: Opaque<bindings::callback_head>,
    deferred: AtomicFlag,
    value: T,
}

// SAFETY: The heads are touched only by `call_rcu()` and its callbacks, under the rules of
// `Retired` and `Shared::defer`; the value may be sent.
unsafe impl<T: Send> Send for Node<T> {}
// SAFETY: As above; the value may be shared.
unsafe impl<T: Sync> Sync for Node<T> {}

/// A value that can be published in an [`Rcu`], once.
pub struct Unpublished<T>(Pin<UniqueArc<Node<T>>>);

impl<T> Unpublished<T> {
    /// Allocates room for `value` and for the callbacks that will free it.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no memory.
    pub fn new(value: T, flags: Flags) -> Result<Self> {
        let node = UniqueArc::pin_init(
            pin_init!(Node {
                retire: Opaque::uninit(),
                defer: Opaque::uninit(),
                deferred: AtomicFlag::new(false),
                value,
            }),
            flags,
        )?;
        Ok(Self(node))
    }

    /// Gives up the ability to publish the value, for one that is shared in another way.
    pub fn into_shared(self) -> Shared<T> {
        Shared(Arc::from(self.0))
    }
}

/// An owning pointer to a `T`, or null, that RCU readers may follow.
///
/// The last reference drops the value, in any context: mostly that of the RCU callback, in softirq
/// context. So dropping a `T` must not sleep.
///
/// # Invariants
///
/// `ptr` is null or came from [`Arc::into_raw`], and owns that reference. The reference is given
/// up no sooner than a grace period after `ptr` stopped holding it.
pub struct Rcu<T: Reclaimed> {
    ptr: Atomic<*mut Node<T>>,
    _owns: PhantomData<Arc<Node<T>>>,
}

impl<T: Reclaimed> Rcu<T> {
    /// A pointer to nothing.
    pub const fn null() -> Self {
        Self {
            ptr: Atomic::new(ptr::null_mut()),
            _owns: PhantomData,
        }
    }

    /// Follows the pointer. The value stays until `guard` goes.
    ///
    /// Any context; does not sleep.
    pub fn load<'a>(&'a self, _guard: &'a Guard) -> Option<Borrowed<'a, T>> {
        let ptr = self.dereference();
        if ptr.is_null() {
            return None;
        }
        // SAFETY: By the type invariants `ptr` came from `Arc::into_raw`, and the reference that
        // this pointer owned when it was loaded lives until a grace period after it was replaced,
        // which cannot end before the guard is dropped. Nobody has a `UniqueArc` of it, since a
        // `Unpublished` is consumed by publishing it.
        Some(Borrowed(unsafe { ArcBorrow::from_raw(ptr) }))
    }

    /// Whether the pointer is null at this moment.
    pub fn is_null(&self) -> bool {
        self.dereference().is_null()
    }

    /// `rcu_dereference()`: one load, which what is reached through it depends on. The kernel
    /// crate's atomic load is a call of a C helper, which readers would pay for.
    #[inline]
    fn dereference(&self) -> *mut Node<T> {
        // SAFETY: The pointer is valid and aligned; every other access is atomic, and a volatile
        // load of a word is one in the kernel's memory model.
        unsafe { self.ptr.as_ptr().read_volatile() }
    }

    /// Publishes `new` if the pointer is null.
    ///
    /// Does not sleep, allocate or wait.
    ///
    /// # Errors
    ///
    /// `EBUSY` if it points at something; `new` is dropped.
    pub fn publish(&self, new: Unpublished<T>) -> Result {
        let new = Arc::into_raw(Arc::from(new.0)).cast_mut();
        // INVARIANT: `new` owns a reference from `into_raw`, and what it replaces is null.
        if self.ptr.cmpxchg(ptr::null_mut(), new, Full).is_err() {
            // SAFETY: `new` came from `into_raw`, and was not published.
            drop(unsafe { Arc::from_raw(new) });
            return Err(EBUSY);
        }
        Ok(())
    }

    /// Publishes `new`, or nothing, and returns what was there before.
    ///
    /// Readers find either value, whole. Does not sleep, allocate or wait.
    pub fn replace(&self, new: Option<Unpublished<T>>) -> Option<Retired<T>> {
        let new = new.map_or(ptr::null_mut(), |new| {
            Arc::into_raw(Arc::from(new.0)).cast_mut()
        });
        // INVARIANT: `new` is null or owns a reference from `into_raw`; the one that came out is
        // handed to `Retired`, which keeps it for a grace period.
        let old = self.ptr.xchg(new, Full);
        ptr::NonNull::new(old).map(Retired)
    }
}

impl<T: Reclaimed> Drop for Rcu<T> {
    fn drop(&mut self) {
        // Readers borrow the pointer, so there is none left; but a grace period is also what
        // `Retired` promises, and costs the dropping thread nothing.
        drop(self.replace(None));
    }
}

/// A value found under an RCU read lock.
pub struct Borrowed<'a, T>(ArcBorrow<'a, Node<T>>);

impl<T> Borrowed<'_, T> {
    /// Takes a reference, which keeps the value beyond the read lock.
    pub fn to_shared(&self) -> Shared<T> {
        Shared(self.0.into())
    }
}

impl<T> Deref for Borrowed<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

/// A value taken out of an [`Rcu`]. Dropping it starts the grace period at whose end the reference
/// that the pointer held goes.
///
/// # Invariants
///
/// Owns a reference from [`Arc::into_raw`] to a node whose `retire` head is not queued.
pub struct Retired<T: Reclaimed>(ptr::NonNull<Node<T>>);

impl<T: Reclaimed> Deref for Retired<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: By the type invariants the node is alive.
        &unsafe { self.0.as_ref() }.value
    }
}

impl<T: Reclaimed> Drop for Retired<T> {
    fn drop(&mut self) {
        // SAFETY:
        // - By the type invariants the node is alive and its head not queued: a node is retired
        //   once in its life, because it is published once.
        // - The module of `T` waits for the callback before it goes (`Reclaimed`).
        unsafe {
            let head = Opaque::cast_into(&raw const (*self.0.as_ptr()).retire);
            bindings::call_rcu(head, Some(retired::<T>));
        }
    }
}

/// Drops the reference of a retired node; a grace period has passed.
///
/// # Safety
///
/// `head` is the `retire` head of a `Node<T>`, and the caller owns the reference that `Retired`
/// gave up to it.
unsafe extern "C" fn retired<T>(head: *mut bindings::callback_head) {
    // SAFETY: By the safety requirements.
    let node = unsafe { head.byte_sub(offset_of!(Node<T>, retire)) }.cast::<Node<T>>();
    // SAFETY: By the safety requirements this reference came from `Arc::into_raw`.
    drop(unsafe { Arc::from_raw(node.cast_const()) });
}

/// What to do with a value later, in softirq context.
pub trait Deferred: Reclaimed {
    /// Called in softirq context; may not sleep.
    fn run(&self);
}

/// A reference to a value that is, or was, published in an [`Rcu`].
pub struct Shared<T>(Arc<Node<T>>);

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

impl<T: Deferred> Shared<T> {
    /// Has [`Deferred::run`] called soon, from a place of its own. The reference goes with it.
    ///
    /// A call that is still outstanding stands for this one too. Any context; does not sleep.
    pub fn defer(self) {
        if self.0.deferred.xchg(true, Full) {
            return;
        }
        let node = Arc::into_raw(self.0);
        // SAFETY:
        // - The node is alive: the reference goes to the callback.
        // - The head is not queued: the flag was clear, and stays set until the callback has begun.
        // - The module of `T` waits for the callback before it goes (`Reclaimed`).
        unsafe {
            let head = Opaque::cast_into(&raw const (*node).defer);
            bindings::miniring_call_rcu_hurry(head, Some(deferred::<T>));
        }
    }
}

/// Runs what [`Shared::defer`] left to do.
///
/// # Safety
///
/// `head` is the `defer` head of a `Node<T>`, and the caller owns the reference that
/// [`Shared::defer`] gave up to it.
unsafe extern "C" fn deferred<T: Deferred>(head: *mut bindings::callback_head) {
    // SAFETY: By the safety requirements.
    let node = unsafe { head.byte_sub(offset_of!(Node<T>, defer)) }.cast::<Node<T>>();
    // SAFETY: By the safety requirements this reference came from `Arc::into_raw`.
    let node = unsafe { Arc::from_raw(node.cast_const()) };
    // What is asked for from here on needs a run of its own. Who found the flag set before is seen
    // by this one: not after a mere store, see `loom_rcu.rs`.
    node.deferred.xchg(false, Full);
    node.value.run();
}

/// Stands for the callbacks of a module that may be pending: see [`Reclaimed`]. Dropping it waits for
/// them.
#[derive(Default)]
pub struct Callbacks(());

impl Drop for Callbacks {
    fn drop(&mut self) {
        rcu_barrier();
    }
}

#[kunit_tests(miniring_rcu)]
mod tests {
    use super::*;
    use kernel::sync::{
        atomic::ordering::Relaxed,
        rcu, //
    };

    include!("example.rs");

    /// Counts its drops, and the runs of what was deferred.
    struct Counted {
        drops: Arc<Atomic<u32>>,
        runs: Arc<Atomic<u32>>,
    }

    // SAFETY: `Miniring` keeps a `Callbacks`, and drops it last.
    unsafe impl Reclaimed for Counted {}

    impl Drop for Counted {
        fn drop(&mut self) {
            self.drops.fetch_add(1, Relaxed);
        }
    }

    impl Deferred for Counted {
        fn run(&self) {
            // A value that was dropped would have counted it already.
            kernel::kunit_assert_eq!("run", c"rust/rcu/mod.rs", 0, self.drops.load(Relaxed), 0);
            self.runs.fetch_add(1, Relaxed);
        }
    }

    fn counter() -> Result<Arc<Atomic<u32>>> {
        Ok(Arc::new(Atomic::new(0), GFP_KERNEL)?)
    }

    fn counted(drops: &Arc<Atomic<u32>>, runs: &Arc<Atomic<u32>>) -> Result<Unpublished<Counted>> {
        let value = Counted {
            drops: drops.clone(),
            runs: runs.clone(),
        };
        Unpublished::new(value, GFP_KERNEL)
    }

    #[test]
    fn example_of_the_documentation_holds() -> Result {
        assert_eq!(limit(), None);
        set_limit(7)?;
        assert_eq!(limit(), Some(7));
        set_limit(8)?;
        assert_eq!(limit(), Some(8));
        drop(LIMIT.replace(None));
        assert_eq!(limit(), None);
        Ok(())
    }

    #[test]
    fn replaced_value_is_dropped_once() -> Result {
        let (drops, runs) = (counter()?, counter()?);
        let slot = Rcu::null();
        drop(slot.replace(Some(counted(&drops, &runs)?)));
        drop(slot.replace(Some(counted(&drops, &runs)?)));
        rcu_barrier();
        assert_eq!(drops.load(Relaxed), 1);
        drop(slot.replace(None));
        rcu_barrier();
        assert_eq!(drops.load(Relaxed), 2);
        Ok(())
    }

    #[test]
    fn reader_keeps_a_replaced_value_alive() -> Result {
        let (drops, runs) = (counter()?, counter()?);
        let slot = Rcu::null();
        drop(slot.replace(Some(counted(&drops, &runs)?)));
        let guard = rcu::read_lock();
        let value = slot.load(&guard).ok_or(ENOENT)?;
        drop(slot.replace(None));
        assert!(slot.load(&guard).is_none());
        // Longer than a grace period would last on an idle machine.
        for _ in 0..100_000 {
            core::hint::spin_loop();
        }
        assert_eq!(value.drops.load(Relaxed), 0);
        drop(guard);
        rcu_barrier();
        assert_eq!(drops.load(Relaxed), 1);
        Ok(())
    }

    #[test]
    fn publish_does_not_replace() -> Result {
        let (drops, runs) = (counter()?, counter()?);
        let slot = Rcu::null();
        assert!(slot.publish(counted(&drops, &runs)?).is_ok());
        assert!(slot.publish(counted(&drops, &runs)?) == Err(EBUSY));
        assert_eq!(drops.load(Relaxed), 1);
        drop(slot);
        rcu_barrier();
        assert_eq!(drops.load(Relaxed), 2);
        Ok(())
    }

    #[test]
    fn pointer_drops_its_value() -> Result {
        let (drops, runs) = (counter()?, counter()?);
        let slot = Rcu::null();
        drop(slot.replace(Some(counted(&drops, &runs)?)));
        drop(slot);
        rcu_barrier();
        assert_eq!(drops.load(Relaxed), 1);
        Ok(())
    }

    #[test]
    fn unpublished_value_is_dropped_at_once() -> Result {
        let (drops, runs) = (counter()?, counter()?);
        drop(counted(&drops, &runs)?);
        assert_eq!(drops.load(Relaxed), 1);
        Ok(())
    }

    #[test]
    fn reference_keeps_a_retired_value_alive() -> Result {
        let (drops, runs) = (counter()?, counter()?);
        let slot = Rcu::null();
        drop(slot.replace(Some(counted(&drops, &runs)?)));
        let shared = {
            let guard = rcu::read_lock();
            slot.load(&guard).ok_or(ENOENT)?.to_shared()
        };
        drop(slot);
        rcu_barrier();
        assert_eq!(drops.load(Relaxed), 0);
        drop(shared);
        assert_eq!(drops.load(Relaxed), 1);
        Ok(())
    }

    #[test]
    fn deferred_call_runs_though_the_value_was_retired() -> Result {
        let (drops, runs) = (counter()?, counter()?);
        let slot = Rcu::null();
        drop(slot.replace(Some(counted(&drops, &runs)?)));
        {
            let guard = rcu::read_lock();
            slot.load(&guard).ok_or(ENOENT)?.to_shared().defer();
            // Outstanding: stands for this one too.
            slot.load(&guard).ok_or(ENOENT)?.to_shared().defer();
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
            shared.clone().defer();
            rcu_barrier();
            assert_eq!(runs.load(Relaxed), round);
        }
        drop(shared);
        assert_eq!(drops.load(Relaxed), 1);
        Ok(())
    }
}
