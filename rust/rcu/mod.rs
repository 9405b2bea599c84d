// SPDX-License-Identifier: GPL-2.0

//! Owning pointers protected by RCU.
//!
//! [`Rcu<T>`] owns at most one `T`. Readers borrow the value under an RCU read lock. An updater
//! swaps in another value atomically, so updaters need no lock and do not wait for readers.
//! `call_rcu()` drops the old value after a grace period, with a head inside the same allocation. A
//! reader that needs the value for longer takes a reference ([`Borrowed::to_shared`]).
//!
//! # Requirements
//!
//! The compiler checks all requirements: `T: Send + Sync + 'static`, and a value is published once.
//! The callback that drops a `T` is code of the module that defines `T`. So the callback must
//! return before that module is freed; [`callback`] waits for the callbacks of all modules. The
//! types that were posted for the kernel crate leave this to each module:
//!
//! | | `Rcu<P>` (RFC, November 2024) | `RcuBox` (May and June 2026) | here |
//! | --- | --- | --- | --- |
//! | of the type | `ForeignOwnable` | `'static`; `Sync` was asked for in review | `Send + Sync + 'static` |
//! | an update | sleeps: `synchronize_rcu()` | `call_rcu()` | `call_rcu()` |
//! | of a module with a `T` of its own | nothing: no callback is left | to call `rcu_barrier()` on exit; neither documented nor checked | nothing |
//!
//! A value is dropped in softirq context, so dropping it must not sleep. The compiler does not
//! check this rule, but `CONFIG_DEBUG_ATOMIC_SLEEP` does. Memory safety does not depend on this
//! rule.
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

use crate::kmalloc::SizedKmalloc;
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
        aref::{
            ARef,
            AlwaysRefCounted, //
        },
        atomic::{
            ordering::Full,
            Atomic, //
        },
        rcu::Guard,
        Refcount, //
    }, //
};

/// The allocation that an [`Rcu`] points to: the value, and the head for its callback.
///
/// # Invariants
///
/// A node is allocated as a [`NodeBox`]. It is shared, from then on until `refs` is 0.
struct Node<T> {
    refs: Refcount,
    /// Queued once, when the value is retired.
    retire: Head,
    value: T,
}

/// A node without other references. Not an [`Arc`](kernel::sync::Arc), which allocates with
/// `krealloc()`.
type NodeBox<T> = Box<Node<T>, SizedKmalloc>;

// SAFETY: `dec_ref` frees the node when the count is 0, and each reference is counted.
unsafe impl<T> AlwaysRefCounted for Node<T> {
    fn inc_ref(&self) {
        self.refs.inc();
    }

    unsafe fn dec_ref(node: ptr::NonNull<Self>) {
        // SAFETY: The caller owns a reference.
        if unsafe { node.as_ref() }.refs.dec_and_test() {
            // SAFETY: The node is allocated as a `NodeBox` (type invariant), and this was the last
            // reference.
            drop(unsafe { NodeBox::from_raw(node.as_ptr()) });
        }
    }
}

/// Returns a pointer that owns the only reference to `node`.
fn share<T>(node: NodeBox<T>) -> ptr::NonNull<Node<T>> {
    ptr::NonNull::from(NodeBox::leak(node))
}

/// A value that can be published in an [`Rcu`], once.
pub struct Unpublished<T>(NodeBox<T>);

impl<T> Unpublished<T> {
    /// Allocates a node for `value`, with the head of the callback that will free it.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no memory, `ENODEV` if no [`Callbacks`] exists to wait for the
    /// callback.
    #[inline(always)]
    pub fn new(value: impl Init<T>, flags: Flags) -> Result<Self> {
        callback::ready()?;
        // In place: on the way through the stack, memory that is not initialised is copied too. Not
        // `NodeBox::init()`, which is a call of its own.
        let node = NodeBox::new_uninit(flags)?;
        Ok(Self(node.write_init(init!(Node {
            refs: Refcount::new(1),
            retire: Head::new(),
            value <- value,
        }))?))
    }

    /// Turns the value into a reference, which cannot be published.
    pub fn into_shared(self) -> Shared<T> {
        // SAFETY: The pointer owns a reference.
        Shared(unsafe { ARef::from_raw(share(self.0)) })
    }
}

/// An owning pointer to a `T`, or null, that RCU readers may follow.
///
/// The last reference drops the value in any context, mostly in the RCU callback, in softirq
/// context. So dropping a `T` must not sleep.
///
/// # Invariants
///
/// `ptr` is null or owns a reference to a node. The reference is dropped a grace period after `ptr`
/// was replaced, or later.
pub struct Rcu<T: Send + Sync + 'static> {
    ptr: Atomic<*mut Node<T>>,
    _owns: PhantomData<ARef<Node<T>>>,
}

impl<T: Send + Sync + 'static> Rcu<T> {
    /// Makes a null pointer.
    pub const fn null() -> Self {
        Self {
            ptr: Atomic::new(ptr::null_mut()),
            _owns: PhantomData,
        }
    }

    /// Borrows the value, until `guard` is dropped. Returns `None` if the pointer is null.
    ///
    /// Context: any; does not sleep.
    pub fn load<'a>(&'a self, _guard: &'a Guard) -> Option<Borrowed<'a, T>> {
        // SAFETY:
        // - `ptr` is null or owns a reference (type invariant).
        // - The reference lives until a grace period after `ptr` was replaced (type invariant),
        //   which cannot end before the guard is dropped.
        // - No `NodeBox` of the node exists: publishing consumes an `Unpublished`.
        unsafe { self.dereference().as_ref() }.map(Borrowed)
    }

    /// Returns whether the pointer is null now. Context: any; does not sleep.
    pub fn is_null(&self) -> bool {
        self.dereference().is_null()
    }

    /// Loads the pointer, like `rcu_dereference()`: later accesses through the pointer are ordered
    /// by dependency.
    ///
    /// The atomic load of the kernel crate would cost readers the call of a C helper.
    #[inline]
    fn dereference(&self) -> *mut Node<T> {
        // SAFETY: The pointer is valid and aligned, and every other access to it is atomic. A
        // volatile load of a word is atomic in the kernel's memory model.
        unsafe { self.ptr.as_ptr().read_volatile() }
    }

    /// Publishes `new` if the pointer is null. Does not sleep, allocate or wait.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the pointer is not null; `new` is dropped.
    #[inline(always)]
    pub fn publish(&self, new: Unpublished<T>) -> Result {
        let new = share(new.0);
        // INVARIANT: `new` owns a reference, and replaces null.
        if self
            .ptr
            .cmpxchg(ptr::null_mut(), new.as_ptr(), Full)
            .is_err()
        {
            // SAFETY: `new` was not published, so it still owns its reference.
            drop(unsafe { ARef::from_raw(new) });
            return Err(EBUSY);
        }
        Ok(())
    }

    /// Publishes `new`, or null for `None`, and returns the old value.
    ///
    /// A reader finds either the old or the new value. Does not sleep, allocate or wait.
    pub fn replace(&self, new: Option<Unpublished<T>>) -> Option<Retired<T>> {
        let new = new.map_or(ptr::null_mut(), |new| share(new.0).as_ptr());
        // INVARIANT: `new` is null or owns a reference. The reference of `old` is passed to
        // `Retired`, which keeps it for a grace period.
        let old = self.ptr.xchg(new, Full);
        ptr::NonNull::new(old).map(Retired)
    }
}

impl<T: Send + Sync + 'static> Drop for Rcu<T> {
    fn drop(&mut self) {
        // No reader is left, because readers borrow the pointer. The grace period is not needed,
        // but the dropping task does not wait for it.
        drop(self.replace(None));
    }
}

/// A value that is borrowed under an RCU read lock.
pub struct Borrowed<'a, T>(&'a Node<T>);

impl<T> Borrowed<'_, T> {
    /// Takes a reference, which keeps the value after the read lock is released.
    pub fn to_shared(&self) -> Shared<T> {
        Shared(ARef::from(self.0))
    }
}

impl<T> Deref for Borrowed<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

/// A value taken out of an [`Rcu`]. Dropping it drops the pointer's reference, after a grace
/// period.
///
/// # Invariants
///
/// Owns a reference to a node whose `retire` head is not queued.
pub struct Retired<T: Send + Sync + 'static>(ptr::NonNull<Node<T>>);

impl<T: Send + Sync + 'static> Deref for Retired<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: The node is alive: `self` owns a reference (type invariant).
        &unsafe { self.0.as_ref() }.value
    }
}

impl<T: Send + Sync + 'static> Drop for Retired<T> {
    fn drop(&mut self) {
        // SAFETY:
        // - The node is alive and its head is not queued (type invariant): a node is published and
        //   retired once.
        // - `Unpublished::new` called `ready()`.
        // - The callback gets the reference that `self` owns.
        unsafe {
            let head = &raw const (*self.0.as_ptr()).retire;
            Head::queue::<Retire<T>>(head, Pace::Lazy);
        }
    }
}

/// Drops the reference of a retired node.
struct Retire<T>(PhantomData<T>);

impl<T> Callback for Retire<T> {
    unsafe fn run(head: *mut Head) {
        // SAFETY: `head` is the field `retire` of a `Node<T>`: only `Retired<T>` queues this
        // callback.
        let node = unsafe { head.byte_sub(offset_of!(Node<T>, retire)) }.cast::<Node<T>>();
        // SAFETY: The node is not null, and this callback owns the reference that `Retired` gave
        // up.
        unsafe { Node::dec_ref(ptr::NonNull::new_unchecked(node)) };
    }
}

/// A reference to a value that is, or was, published in an [`Rcu`].
pub struct Shared<T>(ARef<Node<T>>);

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
    /// Turns the reference into a pointer to the value that owns the reference.
    pub fn into_raw(self) -> *const T {
        let node = ARef::into_raw(self.0);
        // SAFETY: The node is alive: `node` owns a reference.
        unsafe { &raw const (*node.as_ptr()).value }
    }

    /// Makes a `Shared` of a pointer that [`Shared::into_raw`] returned.
    ///
    /// # Safety
    ///
    /// `value` came from [`Shared::into_raw`], and owns a reference.
    pub unsafe fn from_raw(value: *const T) -> Self {
        // SAFETY: `value` is the field `value` of a node: it came from `Shared::into_raw` (caller).
        let node = unsafe { value.byte_sub(offset_of!(Node<T>, value)) };
        // SAFETY: `node` is not null, and owns a reference (caller).
        Self(unsafe {
            let node = node.cast::<Node<T>>().cast_mut();
            ARef::from_raw(ptr::NonNull::new_unchecked(node))
        })
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
        },
        Arc, //
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
    fn documented_example_of_rcu_passes() -> Result {
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
        // Longer than a grace period lasts on an idle machine.
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
    fn publish_does_not_replace_a_value() -> Result {
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

    /// A value that on drop publishes and retires another link, `left` times in all.
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
