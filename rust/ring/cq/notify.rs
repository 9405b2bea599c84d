// SPDX-License-Identifier: GPL-2.0

//! Eventfd notification of completions, in the three models that the thread compared
//! (Documentation/review/eventfd-rcu.rst).
//!
//! A ring has one [`Notifier`]. A poster of completions holds an [`InFlight`] and calls
//! [`Notifier::signal`]; an updater of the registration holds a [`Still`]. In the `rcu` model both
//! are empty, and posters and changers are free of each other and of the ring's mutex: the pointer
//! changes atomically. In `spinlock` they share a lock, held while the eventfd is signalled. In
//! `quiesce` the change waits until nothing is in flight, one change at a time.
//!
//! Locks: `Still` holds a mutex in the `quiesce` model, taken with nothing else held. The spinlock
//! is a leaf but for the eventfd's own.

use super::completion::Published;
use crate::{
    bindings,
    eventfd::EventFd,
    rcu::{
        self,
        Rcu,
        Shared,
        Unpublished, //
    },
    ring::{
        abi::shared,
        sys::{
            task_work,
            wait::{
                Sleep,
                WaitQueue, //
            }, //
        }, //
    }, //
};
use core::cell::UnsafeCell;
use kernel::{
    error::to_result,
    new_mutex,
    new_spinlock_irq,
    prelude::*,
    sync::{
        lock::{
            mutex::MutexBackend,
            Guard, //
        },
        rcu::{
            rcu_barrier,
            read_lock, //
        },
        Arc,
        ArcBorrow,
        Mutex,
        SpinLockIrq, //
    },
    types::Opaque, //
};

/// When a completion is posted.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum When {
    /// By the submission that its request is part of: the submitter finds it when the call returns.
    Inline,
    /// At any other time.
    Later,
}

impl When {
    /// `inline` tells that a submission is collecting completions.
    pub(crate) fn of(inline: bool) -> Self {
        if inline {
            Self::Inline
        } else {
            Self::Later
        }
    }
}

/// A registered eventfd.
pub(crate) struct EvFd {
    eventfd: EventFd,
    /// IORING_REGISTER_EVENTFD_ASYNC: signal only for completions that come [later](When::Later).
    async_only: bool,
    /// How many CQEs were published before.
    since: Published,
}

impl EvFd {
    pub(crate) fn new(eventfd: EventFd, async_only: bool, since: Published) -> Self {
        Self {
            eventfd,
            async_only,
            since,
        }
    }

    /// Whether somebody whose CQEs made them `published` is to signal.
    fn is_due(&self, shared: &shared::Shared, published: Published, when: When) -> bool {
        published > self.since
            && (when == When::Later || !self.async_only)
            && shared.cq_flags() & bindings::IORING_CQ_EVENTFD_DISABLED == 0
    }

    /// False where that is not allowed.
    #[must_use]
    fn signal(&self) -> bool {
        self.eventfd
            .signal_if_allowed(bindings::CONST_EPOLL_URING_WAKE)
    }
}

// SAFETY: `Miniring` keeps a `Callbacks`, and drops it last.
unsafe impl rcu::Reclaimed for EvFd {}

impl rcu::Deferred for EvFd {
    fn run(&self) {
        // No wake-up of an eventfd is interrupted by this callback.
        let _allowed = self.signal();
    }
}

/// How a ring's registration is protected.
enum Slot {
    Rcu(Rcu<EvFd>),
    Spinlock(Pin<KBox<SpinLockIrq<Option<Shared<EvFd>>>>>),
    Quiesce(Arc<Quiesce>),
}

/// Notifies a registered eventfd of completions.
pub(crate) struct Notifier(Slot);

/// Something that may post completions is under way.
pub(crate) struct InFlight<'a>(Option<ArcBorrow<'a, Quiesce>>);

/// A request is in flight: an [`InFlight`] that outlives the call that made it.
pub(crate) struct Hold(Option<Arc<Quiesce>>);

/// Nothing that posts completions is under way, if the ring's model wants that.
pub(crate) struct Still<'a>(Option<(&'a Quiesce, Guard<'a, (), MutexBackend>)>);

impl Notifier {
    /// A notifier without an eventfd; `model` is one of MINIRING_NOTIFY_*.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such model, `ENOMEM`.
    pub(crate) fn new(model: u32) -> Result<Self> {
        Ok(Self(match model {
            bindings::MINIRING_NOTIFY_RCU => Slot::Rcu(Rcu::null()),
            bindings::MINIRING_NOTIFY_SPINLOCK => Slot::Spinlock(KBox::pin_init(
                new_spinlock_irq!(None, "miniring::Notifier"),
                GFP_KERNEL,
            )?),
            bindings::MINIRING_NOTIFY_QUIESCE => {
                Slot::Quiesce(Arc::pin_init(Quiesce::new(), GFP_KERNEL)?)
            }
            _ => return Err(EINVAL),
        }))
    }

    /// Announces that completions may be posted. May sleep in the `quiesce` model, while the
    /// registration changes; never otherwise.
    ///
    /// # Errors
    ///
    /// `EINTR` if a signal came meanwhile.
    #[inline]
    pub(crate) fn in_flight(&self) -> Result<InFlight<'_>> {
        match &self.0 {
            Slot::Quiesce(quiesce) => Quiesce::enter(quiesce.as_arc_borrow()),
            _ => Ok(InFlight(None)),
        }
    }

    /// Whether [`Notifier::in_flight`], or a change of the registration, may wait.
    #[inline]
    pub(crate) fn may_wait(&self) -> bool {
        matches!(self.0, Slot::Quiesce(_))
    }

    /// Announces that completions may be posted, unless that would have to wait. Any context.
    pub(crate) fn try_in_flight(&self) -> Option<InFlight<'_>> {
        match &self.0 {
            Slot::Quiesce(quiesce) => quiesce
                .try_enter()
                .then(|| InFlight(Some(quiesce.as_arc_borrow()))),
            _ => Some(InFlight(None)),
        }
    }

    /// Waits until nothing is in flight, if that is the ring's model.
    ///
    /// # Errors
    ///
    /// `EINTR` if a signal came meanwhile, `ERESTARTNOHAND` if work for the task came that can only
    /// be done on its way to userspace.
    pub(crate) fn still(&self) -> Result<Still<'_>> {
        match &self.0 {
            Slot::Quiesce(quiesce) => quiesce.still(),
            _ => Ok(Still(None)),
        }
    }

    /// Signals the eventfd, if there is one, for CQEs of the caller's, the last of which made them
    /// `published`; those published before the registration do not count. `when` tells whether
    /// they are inline with their submission. Any context, but for the `spinlock` model inside the eventfd's wake-up.
    ///
    /// That is once for each posting caller, so that the count never changes without a new CQE.
    #[inline(always)]
    pub(crate) fn signal(
        &self,
        in_flight: &InFlight<'_>,
        shared: &shared::Shared,
        published: Published,
        when: When,
    ) {
        match &self.0 {
            // Mostly there is none, which every posting caller looks at.
            Slot::Rcu(slot) if slot.is_null() => (),
            Slot::Rcu(slot) => {
                let guard = read_lock();
                if let Some(evfd) = slot.load(&guard) {
                    if evfd.is_due(shared, published, when) && !evfd.signal() {
                        defer(|| evfd.to_shared());
                    }
                }
            }
            _ => self.signal_locked(in_flight, shared, published, when),
        }
    }

    /// [`Self::signal`] in the models other than `rcu`.
    #[inline(never)]
    fn signal_locked(
        &self,
        in_flight: &InFlight<'_>,
        shared: &shared::Shared,
        published: Published,
        when: When,
    ) {
        let signal = |evfd: &Shared<EvFd>| {
            if evfd.is_due(shared, published, when) && !evfd.signal() {
                defer(|| evfd.clone());
            }
        };
        match &self.0 {
            Slot::Rcu(_) => (),
            Slot::Spinlock(slot) => {
                // The callback does not need the lock. But a CQE posted from inside the wake-up of
                // this ring's eventfd would: that is this model's flaw. Nothing posts one there.
                if let Some(evfd) = &*slot.lock() {
                    signal(evfd);
                }
            }
            Slot::Quiesce(_) => {
                let slot = in_flight.0.map(|quiesce| quiesce.slot());
                // SAFETY: `in_flight` keeps a `Still` of that slot from existing, and only with
                // one is it written.
                if let Some(evfd) = slot.and_then(|slot| unsafe { &*slot }.as_ref()) {
                    signal(evfd);
                }
            }
        }
    }

    /// Whether an eventfd is registered at this moment.
    pub(crate) fn is_registered(&self, still: &mut Still<'_>) -> bool {
        match &self.0 {
            Slot::Rcu(slot) => !slot.is_null(),
            Slot::Spinlock(slot) => slot.lock().is_some(),
            Slot::Quiesce(_) => still.slot().is_some_and(|slot| slot.is_some()),
        }
    }

    /// Whether an eventfd is registered, for those who change nothing. False if a change is under
    /// way and a signal ends the wait for that.
    pub(crate) fn has_eventfd(&self) -> bool {
        match &self.0 {
            Slot::Rcu(slot) => !slot.is_null(),
            Slot::Spinlock(slot) => slot.lock().is_some(),
            Slot::Quiesce(quiesce) => {
                Quiesce::enter(quiesce.as_arc_borrow()).is_ok_and(|_in_flight| {
                    // SAFETY: `_in_flight` keeps a `Still` of that slot from existing, and only with
                    // one is it written.
                    unsafe { &*quiesce.slot() }.is_some()
                })
            }
        }
    }

    /// Registers `evfd`. Completions posted from now on find it.
    ///
    /// # Errors
    ///
    /// `EBUSY` if an eventfd is registered, `ENOMEM`.
    pub(crate) fn register(&self, still: &mut Still<'_>, evfd: EvFd) -> Result {
        let new = Unpublished::new(evfd, GFP_KERNEL)?;
        match &self.0 {
            Slot::Rcu(slot) => slot.publish(new),
            Slot::Spinlock(slot) => {
                let new = new.into_shared();
                fill(&mut slot.lock(), new)
            }
            Slot::Quiesce(_) => fill(still.slot().ok_or(EINVAL)?, new.into_shared()),
        }
    }

    /// Removes the registration. Completions posted from now on find none. A poster that
    /// signals meanwhile is not disturbed; the eventfd is put when nobody uses it any more.
    ///
    /// # Errors
    ///
    /// `ENXIO` if no eventfd is registered.
    pub(crate) fn unregister(&self, still: &mut Still<'_>) -> Result {
        match &self.0 {
            Slot::Rcu(slot) => slot.replace(None).map(drop),
            Slot::Spinlock(slot) => {
                let old = slot.lock().take();
                // Put without the lock.
                old.map(drop)
            }
            Slot::Quiesce(_) => still.slot().and_then(Option::take).map(drop),
        }
        .ok_or(ENXIO)
    }
}

/// Leaves a signal that is not allowed here to a callback, which is rare.
#[cold]
#[inline(never)]
fn defer(evfd: impl FnOnce() -> Shared<EvFd>) {
    evfd().defer();
}

fn fill(slot: &mut Option<Shared<EvFd>>, new: Shared<EvFd>) -> Result {
    if slot.is_some() {
        return Err(EBUSY);
    }
    *slot = Some(new);
    Ok(())
}

/// The way it was before: registration waits until every submission and request is over.
///
/// # Invariants
///
/// `refs` is initialised. It is dying only while a [`Still`] is being made or exists.
#[pin_data(PinnedDrop)]
struct Quiesce {
    #[pin]
    refs: Opaque<bindings::percpu_ref>,
    /// Woken when `refs` has dropped to zero, and when it lives again.
    #[pin]
    changed: WaitQueue,
    /// Held by a [`Still`].
    #[pin]
    change: Mutex<()>,
    slot: UnsafeCell<Option<Shared<EvFd>>>,
}

// SAFETY: `refs` and `changed` may be used from any task; `slot` is sent with them.
unsafe impl Send for Quiesce {}
// SAFETY: `slot` is written only with a `Still` of this value, of which there is one, and read with
// that or with an `InFlight` of this value, which excludes it.
unsafe impl Sync for Quiesce {}

impl Quiesce {
    fn new() -> impl PinInit<Self, Error> {
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

    fn slot(&self) -> *mut Option<Shared<EvFd>> {
        self.slot.get()
    }

    fn try_enter(&self) -> bool {
        // SAFETY: By the type invariants `refs` is initialised.
        unsafe { bindings::miniring_percpu_ref_tryget_live(self.refs.get()) }
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

    fn enter(this: ArcBorrow<'_, Self>) -> Result<InFlight<'_>> {
        let quiesce: &Self = &this;
        while !quiesce.try_enter() {
            quiesce.changed.wait(Sleep::default(), || {
                // SAFETY: By the type invariants `refs` is initialised.
                !unsafe { bindings::miniring_percpu_ref_is_dying(quiesce.refs.get()) }
            })?;
        }
        Ok(InFlight(Some(this)))
    }

    /// Waits with the mutex held, but does the task's work without it: that may be anybody's, and
    /// wait for a change itself.
    fn still(&self) -> Result<Still<'_>> {
        loop {
            match self.try_still() {
                Err(ERESTARTNOINTR) if task_work::do_work() => (),
                Err(ERESTARTNOINTR) => return Err(ERESTARTNOHAND),
                result => return result,
            }
        }
    }

    fn try_still(&self) -> Result<Still<'_>> {
        let mut lock = None;
        self.changed.wait_locked(|| {
            lock = self.change.try_lock();
            lock.is_some()
        })?;
        // SAFETY: `refs` is alive: `change` is held, and it was resurrected before it was last
        // released.
        unsafe { bindings::percpu_ref_kill_and_confirm(self.refs.get(), None) };
        // From here on dropping this brings `refs` back.
        let still = Still(lock.map(|lock| (self, lock)));
        self.changed.wait_locked(|| {
            // SAFETY: By the type invariants `refs` is initialised.
            unsafe { bindings::percpu_ref_is_zero(self.refs.get()) }
        })?;
        Ok(still)
    }
}

#[pinned_drop]
impl PinnedDrop for Quiesce {
    fn drop(self: Pin<&mut Self>) {
        // A `Still` may have been granted because the count was zero, before the callback that
        // brought it to zero woke the queue.
        rcu_barrier();
        // SAFETY: Nobody borrows the notifier, so there is neither an `InFlight` nor a `Still`.
        unsafe { bindings::percpu_ref_exit(self.refs.get()) };
    }
}

impl InFlight<'_> {
    /// Announces that a request will post completions after this value is gone.
    pub(crate) fn hold(&self) -> Hold {
        Hold(self.0.map(|quiesce| {
            quiesce.get();
            quiesce.into()
        }))
    }
}

impl Drop for InFlight<'_> {
    #[inline]
    fn drop(&mut self) {
        if let Some(quiesce) = self.0 {
            quiesce.put();
        }
    }
}

impl Hold {
    /// To post completions by.
    pub(crate) fn in_flight(&self) -> InFlight<'_> {
        InFlight(self.0.as_ref().map(|quiesce| {
            quiesce.get();
            quiesce.as_arc_borrow()
        }))
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(quiesce) = &self.0 {
            quiesce.put();
        }
    }
}

impl Still<'_> {
    /// The slot that nobody else uses, in the `quiesce` model.
    fn slot(&mut self) -> Option<&mut Option<Shared<EvFd>>> {
        let (quiesce, _) = self.0.as_ref()?;
        // SAFETY: A `Still` excludes everybody else from its slot, and is borrowed for this alone.
        Some(unsafe { &mut *quiesce.slot() })
    }
}

impl Drop for Still<'_> {
    fn drop(&mut self) {
        if let Some((quiesce, lock)) = self.0.take() {
            // SAFETY: Killed by `Quiesce::still`, under the lock that is still held.
            unsafe { bindings::percpu_ref_resurrect(quiesce.refs.get()) };
            drop(lock);
            // Also who waits for the lock.
            quiesce.changed.wake();
        }
    }
}
