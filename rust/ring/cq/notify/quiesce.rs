// SPDX-License-Identifier: GPL-2.0

//! The `quiesce` model: an updater waits for every submission and request in flight, as in old
//! versions of io_uring.
//!
//! A submission holds a reference as an [`Entered`], a request as a [`Kept`]. An updater kills the
//! reference count, waits until the count is zero, changes the registration and resurrects the
//! count ([`Excluded`]). Meanwhile new submissions wait. There is one updater at a time.
//!
//! Locking: an updater keeps a mutex locked, which it takes with no other lock held.

use super::evfd::{
    Posted,
    Register,
    Registered, //
};
use crate::{
    bindings,
    deferred::Deferrable,
    rcu::{
        Shared,
        Unpublished, //
    },
    ring::sys::{
        task_work,
        wait::{
            Sleep,
            WaitQueue, //
        }, //
    }, //
};
use core::cell::UnsafeCell;
use kernel::{
    error::to_result,
    new_mutex,
    prelude::*,
    sync::{
        lock::{
            mutex::MutexBackend,
            Guard, //
        },
        rcu::rcu_barrier,
        Arc,
        ArcBorrow,
        Mutex, //
    },
    types::Opaque, //
};

/// A registration, and the reference count of submissions and requests in flight.
///
/// # Invariants
///
/// `refs` is initialised, and dying only while an [`Excluded`] is being made or exists.
#[pin_data(PinnedDrop)]
pub(super) struct Quiesce {
    #[pin]
    refs: Opaque<bindings::percpu_ref>,
    /// Woken when `refs` drops to zero, and when `refs` is resurrected.
    #[pin]
    changed: WaitQueue,
    /// Held by an [`Excluded`].
    #[pin]
    change: Mutex<()>,
    slot: UnsafeCell<Option<Shared<Registered>>>,
}

// SAFETY: `refs` and `changed` may be used from any task, and `slot` may be sent.
unsafe impl Send for Quiesce {}
// SAFETY: Only the one `Excluded` of this value writes `slot`. Readers hold that `Excluded`, or an
// `Entered`, which excludes it.
unsafe impl Sync for Quiesce {}

impl Quiesce {
    /// Makes a registration without an eventfd.
    pub(super) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            changed <- WaitQueue::new(c"miniring::Quiesce", kernel::static_lock_class!()),
            change <- new_mutex!((), "miniring::Quiesce"),
            slot: UnsafeCell::new(None),
            refs <- Opaque::try_ffi_init(|refs| {
                // SAFETY: `refs` is memory for a reference count. `drained` finds the `Quiesce` by
                // the field's offset.
                to_result(unsafe {
                    bindings::percpu_ref_init(
                        refs,
                        Some(Self::drained),
                        bindings::PERCPU_REF_ALLOW_REINIT,
                        bindings::GFP_KERNEL,
                    )
                })
            }),
        })
    }

    /// # Safety
    ///
    /// `refs` is the field of a `Quiesce`.
    unsafe extern "C" fn drained(refs: *mut bindings::percpu_ref) {
        let offset = core::mem::offset_of!(Self, refs);
        // SAFETY: `refs` is the field of a `Quiesce` (caller).
        let this = unsafe { &*refs.byte_sub(offset).cast::<Self>() };
        this.changed.wake();
    }

    /// Takes another reference. The caller holds a reference, so the count is not zero.
    fn get(&self) {
        // SAFETY: `refs` is initialised (type invariants).
        unsafe { bindings::miniring_percpu_ref_get(self.refs.get()) }
    }

    fn put(&self) {
        // SAFETY: `refs` is initialised (type invariants), and the caller gives up a reference that
        // it holds.
        unsafe { bindings::miniring_percpu_ref_put(self.refs.get()) }
    }

    /// Takes a reference, unless an updater is waiting or active. Context: any.
    #[inline]
    pub(super) fn try_enter(this: ArcBorrow<'_, Self>) -> Option<Entered<'_>> {
        // SAFETY: `refs` is initialised (type invariants).
        let entered = unsafe { bindings::miniring_percpu_ref_tryget_live(this.refs.get()) };
        // INVARIANT: The reference was just taken.
        entered.then(|| Entered(this))
    }

    /// Takes a reference. Sleeps while an updater is waiting or active.
    ///
    /// # Errors
    ///
    /// `EINTR` if a signal interrupts the wait.
    #[inline]
    pub(super) fn enter(this: ArcBorrow<'_, Self>) -> Result<Entered<'_>> {
        let quiesce: &Self = &this;
        loop {
            if let Some(entered) = Self::try_enter(this) {
                return Ok(entered);
            }
            quiesce.changed.wait(Sleep::default(), || {
                // SAFETY: `refs` is initialised (type invariants).
                !unsafe { bindings::miniring_percpu_ref_is_dying(quiesce.refs.get()) }
            })?;
        }
    }

    /// Waits until nothing is in flight, and excludes new references. May sleep.
    ///
    /// Holds the mutex while it waits, but not while it runs the task's work. That work may belong
    /// to any subsystem, and may wait for an updater.
    ///
    /// # Errors
    ///
    /// `EINTR` if a signal interrupts the wait; `ERESTARTNOHAND` if the task has work that only its
    /// return to userspace can run.
    pub(super) fn exclude(&self) -> Result<Excluded<'_>> {
        loop {
            match self.try_exclude() {
                Err(ERESTARTNOINTR) if task_work::do_work() => (),
                Err(ERESTARTNOINTR) => return Err(ERESTARTNOHAND),
                result => return result,
            }
        }
    }

    fn try_exclude(&self) -> Result<Excluded<'_>> {
        let mut lock = None;
        self.changed.wait_locked(|| {
            lock = self.change.try_lock();
            lock.is_some()
        })?;
        // SAFETY: `refs` is live: `change` is held, and its last holder resurrected `refs` before
        // the release.
        unsafe { bindings::percpu_ref_kill_and_confirm(self.refs.get(), None) };
        // Built before the wait, so that an interrupted wait resurrects `refs`.
        let excluded = Excluded {
            quiesce: self,
            lock,
        };
        self.changed.wait_locked(|| {
            // SAFETY: `refs` is initialised (type invariants).
            unsafe { bindings::percpu_ref_is_zero(self.refs.get()) }
        })?;
        Ok(excluded)
    }
}

#[pinned_drop]
impl PinnedDrop for Quiesce {
    fn drop(self: Pin<&mut Self>) {
        // The count may reach zero, and `exclude` return, before the callback wakes the queue. Wait
        // for that callback.
        rcu_barrier();
        // SAFETY: `refs` is initialised (type invariants). No borrow of the notifier is left, so
        // neither an `Entered` nor an `Excluded` exists.
        unsafe { bindings::percpu_ref_exit(self.refs.get()) };
    }
}

/// Holds off updaters while completions may be posted.
///
/// # Invariants
///
/// Owns a reference to `refs`.
pub(super) struct Entered<'a>(ArcBorrow<'a, Quiesce>);

impl Entered<'_> {
    /// Signals the registered eventfd, if any, for `posted`. Context: any.
    pub(super) fn signal(&self, posted: Posted<'_>) {
        if let Some(evfd) = self.registered() {
            evfd.signal_for(posted, || evfd.clone());
        }
    }

    /// Returns whether an eventfd is registered.
    pub(super) fn is_registered(&self) -> bool {
        self.registered().is_some()
    }

    fn registered(&self) -> Option<&Shared<Registered>> {
        // SAFETY: Only an `Excluded` writes the slot, and `self` holds a reference that excludes
        // it.
        unsafe { &*self.0.slot.get() }.as_ref()
    }

    /// Announces that a request will post completions after this value is gone.
    pub(super) fn keep(&self) -> Kept {
        self.0.get();
        // INVARIANT: The reference was just taken.
        Kept(self.0.into())
    }
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.put();
    }
}

/// Holds off updaters for a request in flight: an [`Entered`] that outlives its call.
///
/// # Invariants
///
/// Owns a reference to `refs`.
pub(super) struct Kept(Arc<Quiesce>);

impl Kept {
    /// Takes another reference, to post completions.
    pub(super) fn enter(&self) -> Entered<'_> {
        self.0.get();
        // INVARIANT: The reference was just taken.
        Entered(self.0.as_arc_borrow())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.put();
    }
}

/// Excludes posters, and other updaters.
pub(super) struct Excluded<'a> {
    quiesce: &'a Quiesce,
    lock: Option<Guard<'a, (), MutexBackend>>,
}

impl Excluded<'_> {
    fn slot(&mut self) -> &mut Option<Shared<Registered>> {
        // SAFETY: There is one `Excluded`, which excludes all readers, and `self` is mutably
        // borrowed.
        unsafe { &mut *self.quiesce.slot.get() }
    }

    /// Registers an eventfd.
    ///
    /// # Errors
    ///
    /// `EBUSY` if an eventfd is registered; `ENOMEM`; those of [`Register::evfd`].
    pub(super) fn register(&mut self, args: &impl Register) -> Result {
        if self.slot().is_some() {
            return Err(EBUSY);
        }
        let new = Unpublished::new(Deferrable::new(args.evfd()?), GFP_KERNEL)?.into_shared();
        *self.slot() = Some(new);
        Ok(())
    }

    /// Removes the registration.
    ///
    /// # Errors
    ///
    /// `ENXIO` if no eventfd is registered.
    pub(super) fn unregister(&mut self) -> Result {
        self.slot().take().map(drop).ok_or(ENXIO)
    }
}

impl Drop for Excluded<'_> {
    fn drop(&mut self) {
        // SAFETY: `Quiesce::try_exclude` killed `refs`, and `lock` is still held.
        unsafe { bindings::percpu_ref_resurrect(self.quiesce.refs.get()) };
        drop(self.lock.take());
        // Also wakes the updaters that wait for the mutex.
        self.quiesce.changed.wake();
    }
}
