// SPDX-License-Identifier: GPL-2.0

//! The `quiesce` model: an updater waits until every submission and request is over, as io_uring did
//! before.
//!
//! A submission and each request hold a reference ([`Entered`], [`Kept`]). An updater kills the
//! reference count, waits until it is zero, changes the registration and brings the count back
//! ([`Excluded`]); one updater at a time. Locks: `Excluded` holds a mutex, taken with nothing else
//! held.

use super::evfd::{
    EvFd,
    Posted,
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

/// A registration, and the reference count of what is in flight.
///
/// # Invariants
///
/// `refs` is initialised. It is dying only while a [`Excluded`] is being made or exists.
#[pin_data(PinnedDrop)]
pub(super) struct Quiesce {
    #[pin]
    refs: Opaque<bindings::percpu_ref>,
    /// Woken when `refs` has dropped to zero, and when it lives again.
    #[pin]
    changed: WaitQueue,
    /// Held by an [`Excluded`].
    #[pin]
    change: Mutex<()>,
    slot: UnsafeCell<Option<Shared<Registered>>>,
}

// SAFETY: `refs` and `changed` may be used from any task; `slot` is sent with them.
unsafe impl Send for Quiesce {}
// SAFETY: `slot` is written only with an `Excluded` of this value, of which there is one, and read
// with that or with an `Entered` of this value, which excludes it.
unsafe impl Sync for Quiesce {}

impl Quiesce {
    /// Makes one without an eventfd.
    pub(super) fn new() -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            changed <- WaitQueue::new(c"miniring::Quiesce", kernel::static_lock_class!()),
            change <- new_mutex!((), "miniring::Quiesce"),
            slot: UnsafeCell::new(None),
            refs <- Opaque::try_ffi_init(|refs| {
                // SAFETY: `refs` is memory for a reference count; the callback finds its way back
                // by the field's offset.
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
        // SAFETY: By the safety requirements.
        let this = unsafe { &*refs.byte_sub(offset).cast::<Self>() };
        this.changed.wake();
    }

    /// Takes a reference more. The caller has one, so that it cannot be too late.
    fn get(&self) {
        // SAFETY: By the type invariants `refs` is initialised.
        unsafe { bindings::miniring_percpu_ref_get(self.refs.get()) }
    }

    fn put(&self) {
        // SAFETY: As above; the caller gives up a reference that it has.
        unsafe { bindings::miniring_percpu_ref_put(self.refs.get()) }
    }

    /// Enters, unless a change is under way. Any context.
    #[inline]
    pub(super) fn try_enter(this: ArcBorrow<'_, Self>) -> Option<Entered<'_>> {
        // SAFETY: By the type invariants `refs` is initialised.
        let entered = unsafe { bindings::miniring_percpu_ref_tryget_live(this.refs.get()) };
        // INVARIANT: The reference was taken just now.
        entered.then(|| Entered(this))
    }

    /// Enters. Sleeps while a change is under way.
    ///
    /// # Errors
    ///
    /// `EINTR` if a signal came meanwhile.
    #[inline]
    pub(super) fn enter(this: ArcBorrow<'_, Self>) -> Result<Entered<'_>> {
        let quiesce: &Self = &this;
        loop {
            if let Some(entered) = Self::try_enter(this) {
                return Ok(entered);
            }
            quiesce.changed.wait(Sleep::default(), || {
                // SAFETY: By the type invariants `refs` is initialised.
                !unsafe { bindings::miniring_percpu_ref_is_dying(quiesce.refs.get()) }
            })?;
        }
    }

    /// Waits until nothing is in flight, and keeps it so.
    ///
    /// Waits with the mutex held, but does the task's work without it: that work may be of any
    /// subsystem, and may wait for a change itself.
    ///
    /// # Errors
    ///
    /// `EINTR` if a signal came meanwhile, `ERESTARTNOHAND` if work for the task came that can only
    /// be done on its way to userspace.
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
        // SAFETY: `refs` is alive: `change` is held, and it was resurrected before it was last
        // released.
        unsafe { bindings::percpu_ref_kill_and_confirm(self.refs.get(), None) };
        // From here on dropping this brings `refs` back.
        let excluded = Excluded {
            quiesce: self,
            lock,
        };
        self.changed.wait_locked(|| {
            // SAFETY: By the type invariants `refs` is initialised.
            unsafe { bindings::percpu_ref_is_zero(self.refs.get()) }
        })?;
        Ok(excluded)
    }
}

#[pinned_drop]
impl PinnedDrop for Quiesce {
    fn drop(self: Pin<&mut Self>) {
        // An `Excluded` may have been granted because the count was zero, before the callback that
        // brought it to zero woke the queue.
        rcu_barrier();
        // SAFETY: Nobody borrows the notifier, so there is neither an `Entered` nor an `Excluded`.
        unsafe { bindings::percpu_ref_exit(self.refs.get()) };
    }
}

/// Something that may post completions is under way.
///
/// # Invariants
///
/// Owns a reference to `refs`.
pub(super) struct Entered<'a>(ArcBorrow<'a, Quiesce>);

impl Entered<'_> {
    /// Signals the eventfd, if there is one, for `posted`. Any context.
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
        // SAFETY: `self` keeps an `Excluded` of that slot from existing, and only with one is it
        // written.
        unsafe { &*self.0.slot.get() }.as_ref()
    }

    /// Announces that a request will post completions after this value is gone.
    pub(super) fn keep(&self) -> Kept {
        self.0.get();
        // INVARIANT: The reference was taken just now.
        Kept(self.0.into())
    }
}

impl Drop for Entered<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.put();
    }
}

/// A request is in flight: an [`Entered`] that outlives the call that made it.
///
/// # Invariants
///
/// Owns a reference to `refs`.
pub(super) struct Kept(Arc<Quiesce>);

impl Kept {
    /// Enters, to post completions.
    pub(super) fn enter(&self) -> Entered<'_> {
        self.0.get();
        // INVARIANT: The reference was taken just now.
        Entered(self.0.as_arc_borrow())
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.0.put();
    }
}

/// Nothing that posts completions is under way.
pub(super) struct Excluded<'a> {
    quiesce: &'a Quiesce,
    lock: Option<Guard<'a, (), MutexBackend>>,
}

impl Excluded<'_> {
    fn slot(&mut self) -> &mut Option<Shared<Registered>> {
        // SAFETY: An `Excluded` excludes all others from its slot, and is borrowed for this alone.
        unsafe { &mut *self.quiesce.slot.get() }
    }

    /// Returns whether an eventfd is registered.
    pub(super) fn is_registered(&mut self) -> bool {
        self.slot().is_some()
    }

    /// Registers `evfd`.
    ///
    /// # Errors
    ///
    /// `EBUSY` if an eventfd is registered, `ENOMEM`.
    pub(super) fn register(&mut self, evfd: EvFd) -> Result {
        let new = Unpublished::new(Deferrable::new(evfd), GFP_KERNEL)?.into_shared();
        if self.is_registered() {
            return Err(EBUSY);
        }
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
        // SAFETY: Killed by `Quiesce::try_exclude`, under the lock that is still held.
        unsafe { bindings::percpu_ref_resurrect(self.quiesce.refs.get()) };
        drop(self.lock.take());
        // Also the waiters for the lock.
        self.quiesce.changed.wake();
    }
}
