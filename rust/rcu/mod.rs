// SPDX-License-Identifier: GPL-2.0

//! Owning pointers protected by RCU.
//!
//! [`Rcu<T>`] owns at most one `T`. Readers borrow it under an RCU read lock and cost an updater
//! nothing; an updater swaps in another value, atomically, so that updaters need no lock either,
//! and what came out is dropped after a grace period, by `call_rcu()` with a head inside the same
//! allocation. A reader that needs the value for longer takes a reference
//! ([`Borrowed::to_shared`]).
//!
//! # What it demands of its user
//!
//! Nothing that the compiler does not check: `T: Send + Sync + 'static`, and a value is published
//! once. The callback that drops a `T` is code of the module that has the `T`, so somebody has to
//! wait for it when that module is unloaded; that is [`callback`], for all modules. The types that
//! were posted for the kernel crate leave it open:
//!
//! | | `Rcu<P>` (RFC, November 2024) | `RcuBox` (May and June 2026) | here |
//! | --- | --- | --- | --- |
//! | of the type | `ForeignOwnable` | `'static`; `Sync` was asked for in review | `Send + Sync + 'static` |
//! | an update | sleeps: `synchronize_rcu()` | `call_rcu()` | `call_rcu()` |
//! | of a module with a `T` of its own | nothing: no callback is left | to call `rcu_barrier()` when it goes, which nothing says or checks | nothing |
//!
//! A value is dropped in softirq context, so dropping it must not sleep. The compiler does not check
//! that; the kernel does, with `CONFIG_DEBUG_ATOMIC_SLEEP`. It is no question of memory safety.
//!
//! C header: [`include/linux/rcupdate.h`](srctree/include/linux/rcupdate.h)
//!
//! # Examples
//!
//! ```ignore
#![doc = include_str!("example.rs")]
//! ```

pub mod callback;

pub(crate) use callback::Callbacks;
pub use callback::{
    Callback,
    Head,
    Pace, //
};

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
            Atomic, //
        },
        rcu::Guard,
        Arc,
        ArcBorrow,
        UniqueArc, //
    }, //
};

/// What an [`Rcu`] points at: the value, and the head that its callback needs.
struct Node<T> {
    /// Queued once, when the value leaves the pointer that owns it.
    retire: Head,
    value: T,
}

/// A value that can be published in an [`Rcu`], once.
pub struct Unpublished<T>(Pin<UniqueArc<Node<T>>>);

impl<T> Unpublished<T> {
    /// Allocates room for `value` and for the callbacks that will free it.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no memory, `ENODEV` if nothing waits for [callbacks](callback).
    pub fn new(value: T, flags: Flags) -> Result<Self> {
        callback::ready()?;
        let node = Node {
            retire: Head::new(),
            value,
        };
        Ok(Self(UniqueArc::new(node, flags)?.into()))
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
pub struct Rcu<T: Send + Sync + 'static> {
    ptr: Atomic<*mut Node<T>>,
    _owns: PhantomData<Arc<Node<T>>>,
}

impl<T: Send + Sync + 'static> Rcu<T> {
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

impl<T: Send + Sync + 'static> Drop for Rcu<T> {
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
pub struct Retired<T: Send + Sync + 'static>(ptr::NonNull<Node<T>>);

impl<T: Send + Sync + 'static> Deref for Retired<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: By the type invariants the node is alive.
        &unsafe { self.0.as_ref() }.value
    }
}

impl<T: Send + Sync + 'static> Drop for Retired<T> {
    fn drop(&mut self) {
        // SAFETY:
        // - By the type invariants the node is alive and its head not queued: a node is retired
        //   once in its life, because it is published once.
        // - `Unpublished::new` checked that it may queue callbacks.
        // - The callback gets the reference that is given up here.
        unsafe {
            let head = &raw const (*self.0.as_ptr()).retire;
            Head::queue(head, retired::<T>, Pace::Lazy);
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

impl<T> Shared<T> {
    /// Turns the reference into a pointer to the value, which owns it.
    pub fn into_raw(self) -> *const T {
        let node = Arc::into_raw(self.0);
        // SAFETY: The node is alive: `node` owns a reference.
        unsafe { &raw const (*node).value }
    }

    /// Takes the reference back that [`Shared::into_raw`] gave up.
    ///
    /// # Safety
    ///
    /// `value` came from [`Shared::into_raw`], and owns a reference.
    pub unsafe fn from_raw(value: *const T) -> Self {
        // SAFETY: By the safety requirements the value is that of a node.
        let node = unsafe { value.byte_sub(offset_of!(Node<T>, value)) };
        // SAFETY: By the safety requirements this reference came from `Arc::into_raw`.
        Self(unsafe { Arc::from_raw(node.cast::<Node<T>>()) })
    }
}

#[kunit_tests(miniring_rcu)]
mod tests {
    use super::*;
    use kernel::sync::{
        atomic::ordering::Relaxed,
        rcu::{
            self,
            rcu_barrier, //
        }, //
    };

    include!("example.rs");

    /// Counts its drops.
    struct Counted {
        drops: Arc<Atomic<u32>>,
    }

    impl Drop for Counted {
        fn drop(&mut self) {
            self.drops.fetch_add(1, Relaxed);
        }
    }

    fn counter() -> Result<Arc<Atomic<u32>>> {
        Ok(Arc::new(Atomic::new(0), GFP_KERNEL)?)
    }

    fn counted(drops: &Arc<Atomic<u32>>) -> Result<Unpublished<Counted>> {
        let drops = drops.clone();
        Unpublished::new(Counted { drops }, GFP_KERNEL)
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
        let drops = counter()?;
        let slot = Rcu::null();
        drop(slot.replace(Some(counted(&drops)?)));
        drop(slot.replace(Some(counted(&drops)?)));
        rcu_barrier();
        assert_eq!(drops.load(Relaxed), 1);
        drop(slot.replace(None));
        rcu_barrier();
        assert_eq!(drops.load(Relaxed), 2);
        Ok(())
    }

    #[test]
    fn reader_keeps_a_replaced_value_alive() -> Result {
        let drops = counter()?;
        let slot = Rcu::null();
        drop(slot.replace(Some(counted(&drops)?)));
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
        let drops = counter()?;
        let slot = Rcu::null();
        assert!(slot.publish(counted(&drops)?).is_ok());
        assert!(slot.publish(counted(&drops)?) == Err(EBUSY));
        assert_eq!(drops.load(Relaxed), 1);
        drop(slot);
        rcu_barrier();
        assert_eq!(drops.load(Relaxed), 2);
        Ok(())
    }

    #[test]
    fn pointer_drops_its_value() -> Result {
        let drops = counter()?;
        let slot = Rcu::null();
        drop(slot.replace(Some(counted(&drops)?)));
        drop(slot);
        rcu_barrier();
        assert_eq!(drops.load(Relaxed), 1);
        Ok(())
    }

    #[test]
    fn unpublished_value_is_dropped_at_once() -> Result {
        let drops = counter()?;
        drop(counted(&drops)?);
        assert_eq!(drops.load(Relaxed), 1);
        Ok(())
    }

    #[test]
    fn reference_keeps_a_retired_value_alive() -> Result {
        let drops = counter()?;
        let slot = Rcu::null();
        drop(slot.replace(Some(counted(&drops)?)));
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

    static CHAIN: Rcu<Link> = Rcu::null();

    /// When it is dropped, publishes and retires a link with one less to come.
    struct Link {
        left: u32,
        drops: Arc<Atomic<u32>>,
    }

    impl Drop for Link {
        fn drop(&mut self) {
            self.drops.fetch_add(1, Relaxed);
            let Some(left) = self.left.checked_sub(1) else {
                return;
            };
            let drops = self.drops.clone();
            if let Ok(next) = Unpublished::new(Link { left, drops }, GFP_ATOMIC) {
                drop(CHAIN.replace(Some(next)));
                drop(CHAIN.replace(None));
            }
        }
    }

    #[test]
    fn wait_covers_callbacks_that_callbacks_queue() -> Result {
        let drops = counter()?;
        let first = Link {
            left: 4,
            drops: drops.clone(),
        };
        drop(CHAIN.replace(Some(Unpublished::new(first, GFP_KERNEL)?)));
        drop(CHAIN.replace(None));
        callback::wait();
        assert_eq!(drops.load(Relaxed), 5);
        Ok(())
    }
}
