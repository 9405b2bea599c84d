// SPDX-License-Identifier: GPL-2.0

//! A request that does not complete while it is submitted, or is linked to others.
//!
//! One allocation holds all that any of them needs: what waits for an event, the place in the
//! ring's table, the work item. [`Owned`] is the right to act on a request; there is one at most,
//! and who has it issues, cancels or completes it. References without it only find the request.
//!
//! A request's last reference is dropped where one may sleep. So in interrupt context an `Owned`
//! goes to a workqueue.

use super::{
    core::Core,
    operation::{
        Data,
        Def,
        Wait, //
    },
    outcome::Outcome,
    per_task::Counted,
    run,
    target::{
        Files,
        Target, //
    },
    timer::Timer,
    wakers::Wakers, //
};
use crate::{
    bindings,
    pure::ownership::{
        Claim,
        Ownership,
        Word, //
    },
    ring::{
        abi::{
            shared::Cqe,
            sqe::Sqe, //
        },
        cq::{
            completion::Entry,
            notify::{
                Hold,
                InFlight, //
            }, //
        },
        sys::queues::Kind, //
    }, //
};
use core::{
    cell::UnsafeCell,
    mem::MaybeUninit,
    ops::Deref, //
};
use kernel::{
    list::{
        impl_list_arc_safe,
        impl_list_item,
        AtomicTracker,
        ListLinks,
        TryNewListArc, //
    },
    new_work,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            ordering::{
                Relaxed,
                Release, //
            },
            Atomic,
            AtomicFlag, //
        },
        Arc,
        ArcBorrow,
        UniqueArc, //
    },
    task::Task,
    types::Opaque,
    workqueue::{
        impl_has_work,
        HasWork,
        Work,
        WorkItem, //
    }, //
};

/// A request.
#[pin_data]
pub(crate) struct Request {
    pub(crate) ring: Arc<Core>,
    pub(crate) hold: Hold,
    pub(crate) opcode: u8,
    /// That of its operation.
    pub(super) def: &'static Def,
    /// IOSQE_*.
    pub(crate) flags: u8,
    /// Whose it is.
    pub(crate) files: Files,
    /// The task that has to go on, where that matters: see [`crate::ring::sys::task_work`].
    pub(crate) submitter: ARef<Task>,
    /// Tells the program that the submitter executed then from later ones.
    pub(crate) exec_id: u64,
    _counted: Counted,
    /// The file that it may wait for, or 0: see `Target::id`.
    pub(crate) target: usize,
    pub(crate) user_data: Atomic<u64>,
    /// Where [`super::pending::Pending`] put it, and the last search that found it.
    pub(crate) bucket: Atomic<usize>,
    pub(crate) round: Atomic<u64>,
    /// Of the first of a chain: how many requests it has, and whether it is to be drained.
    pub(crate) links: Atomic<usize>,
    pub(crate) drain: AtomicFlag,
    /// It, or one that it is linked with, is about a file that may keep rings: it is cancelled when
    /// its process leaves the ring.
    pub(crate) may_keep_rings: AtomicFlag,
    /// Its process left the ring: what is linked to it is cancelled too.
    pub(crate) left: AtomicFlag,
    pub(crate) ownership: Ownership,
    #[pin]
    pub(crate) timer: Timer,
    #[pin]
    pub(crate) wakers: Wakers,
    #[pin]
    work: Work<Self>,
    #[pin]
    pub(crate) task_work: Opaque<bindings::callback_head>,
    #[pin]
    tracker: AtomicTracker<0>,
    #[pin]
    list: ListLinks<0>,
    #[pin]
    other_tracker: AtomicTracker<1>,
    #[pin]
    other_list: ListLinks<1>,
    inner: UnsafeCell<Inner>,
}

/// What only the owner touches.
pub(crate) struct Inner {
    /// Of the type that the request's `def` is of; never replaced.
    pub(super) op: Data,
    /// The request that is issued when this one is done.
    pub(crate) next: Option<Owned>,
    /// In the ring's table.
    pub(crate) pending: bool,
    /// The result, if what took the request out of its wait decided on one.
    pub(crate) verdict: Option<Outcome>,
    pub(crate) step: Step,
    entry: Option<Entry>,
}

/// What a worker, or the submitter's task, is to do.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    /// Issue the request; it may block.
    Issue,
    /// What it waited for has happened: these events, or unknown ones if 0. For a timeout: start the
    /// timer again, which was reported.
    Event(u32),
    /// Complete it, with the verdict or as cancelled.
    Finish,
    /// It was completed; `failed` is what its chain needs to know.
    Retire { failed: bool },
}

impl_list_arc_safe! {
    impl ListArcSafe<0> for Request { tracked_by tracker: AtomicTracker<0>; }
    impl ListArcSafe<1> for Request { tracked_by other_tracker: AtomicTracker<1>; }
}
impl_list_item! {
    impl ListItem<0> for Request { using ListLinks { self.list }; }
    impl ListItem<1> for Request { using ListLinks { self.other_list }; }
}
impl_has_work! {
    impl HasWork<Self> for Request { self.work }
}

// SAFETY: `inner` is touched by the owner only, who may be any task; the rest may be sent.
unsafe impl Send for Request {}
// SAFETY: As above; the rest may be shared.
unsafe impl Sync for Request {}

/// The right to act on a request.
///
/// # Invariants
///
/// The request's `ownership` is held, and this is the only value that stands for it.
pub(crate) struct Owned(Arc<Request>);

/// Memory for a request, and for its completion if the CQ is full.
pub(crate) struct Room {
    memory: UniqueArc<MaybeUninit<Request>>,
    entry: Entry,
}

impl Room {
    /// Allocates. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            memory: UniqueArc::new_uninit(GFP_KERNEL_ACCOUNT)?,
            entry: Entry::new()?,
        })
    }

    /// Makes the request that `sqe` asks for, of the current task.
    pub(crate) fn fill(
        self,
        ring: &Arc<Core>,
        in_flight: &InFlight<'_>,
        sqe: &Sqe,
        op: Data,
    ) -> Owned {
        let Self { memory, entry } = self;
        let about = op.target();
        let may_keep_rings = about.is_some_and(Target::may_keep_rings);
        let waits = op.def().waits_for != Wait::Nothing;
        let target = about.filter(|_| waits).map_or(0, Target::id);
        if may_keep_rings {
            ring.had_keepers.store(true, Release);
        }
        let request = memory.pin_init_with(pin_init!(Request {
            ring: ring.clone(),
            hold: in_flight.hold(),
            opcode: sqe.opcode,
            def: op.def(),
            flags: sqe.flags,
            files: Files::current(),
            submitter: ARef::from(&**kernel::current!()),
            // SAFETY: The current task.
            exec_id: unsafe { bindings::miniring_exec_id(Task::current_raw()) },
            _counted: Counted::new(kernel::current!()),
            target,
            user_data: Atomic::new(sqe.user_data),
            bucket: Atomic::new(0),
            round: Atomic::new(0),
            links: Atomic::new(1),
            drain: AtomicFlag::new(u32::from(sqe.flags) & bindings::CONST_IOSQE_IO_DRAIN != 0),
            may_keep_rings: AtomicFlag::new(may_keep_rings),
            left: AtomicFlag::new(false),
            ownership: Ownership::new(),
            timer <- Timer::new(),
            wakers <- Wakers::new(),
            work <- new_work!("miniring::Request"),
            task_work: Opaque::uninit(),
            tracker <- AtomicTracker::new(),
            list <- ListLinks::new(),
            other_tracker <- AtomicTracker::new(),
            other_list <- ListLinks::new(),
            inner: UnsafeCell::new(Inner {
                op,
                next: None,
                pending: false,
                verdict: None,
                step: Step::Issue,
                entry: Some(entry),
            }),
        }));
        let request = match request {
            Ok(request) => request,
            Err(never) => match never {},
        };
        // INVARIANT: A new `Ownership` is held by its maker.
        Owned(Arc::from(request))
    }
}

impl Request {
    /// Notes that the owner let go of the request, or completed it: see
    /// [`Owned::cancel_after_owner`]. Any context.
    fn note_let_go(&self) {
        if self.waits_for(Wait::Time) {
            self.ring.let_go.wake();
        }
    }
}

impl Owned {
    /// Takes the ownership that was gained by other means.
    ///
    /// # Safety
    ///
    /// The request's `ownership` is held, and no other value stands for that.
    pub(crate) unsafe fn assume(request: Arc<Request>) -> Self {
        // INVARIANT: By the safety requirements.
        Self(request)
    }

    /// Gains ownership because something happened; else tells the owner. Any context.
    pub(crate) fn claim(request: ArcBorrow<'_, Request>) -> Option<Self> {
        match request.ownership.claim() {
            // INVARIANT: Just gained.
            Claim::Gained => Some(Self(request.into())),
            Claim::Told | Claim::Again | Claim::Done => None,
        }
    }

    /// Gains ownership if nobody has it. Any context.
    pub(crate) fn try_claim(request: ArcBorrow<'_, Request>) -> Result<Self, Claim> {
        match request.ownership.try_claim() {
            // INVARIANT: Just gained.
            Claim::Gained => Ok(Self(request.into())),
            claim => Err(claim),
        }
    }

    /// Gains ownership in order to cancel the request, also from a worker that has not begun; else
    /// tells the owner to. Process context.
    ///
    /// # Errors
    ///
    /// What became of it instead.
    pub(crate) fn cancel(request: Arc<Request>) -> Result<Self, Claim> {
        match request.ownership.cancel() {
            // INVARIANT: Just gained.
            Claim::Gained => Ok(Self(request)),
            claim @ (Claim::Told | Claim::Again) => Self::dequeue(request).ok_or(claim),
            Claim::Done => Err(Claim::Done),
        }
    }

    /// Like [`Owned::cancel`], but waits for the owner instead of telling it; `None` if the owner
    /// completed the request. For timeouts, whose owners do not block and do not wait
    /// for others' requests. May sleep.
    pub(crate) fn cancel_after_owner(request: Arc<Request>) -> Option<Self> {
        request.ring.let_go.wait_for(|| {
            match request.ownership.try_cancel() {
                // INVARIANT: Just gained.
                Claim::Gained => return Some(Some(Self(request.clone()))),
                Claim::Done => return Some(None),
                Claim::Told | Claim::Again => (),
            }
            let owned = Self::dequeue(request.clone())?;
            owned.ownership.cancel();
            Some(Some(owned))
        })
    }

    /// Takes a request that is not completed from a worker that has not begun.
    fn dequeue(request: Arc<Request>) -> Option<Self> {
        // SAFETY: `Room::fill` initialised the work item, which `request` keeps.
        let queued = unsafe {
            let work = <Request as HasWork<Request>>::raw_get_work(
                core::ptr::from_ref::<Request>(&request).cast_mut(),
            );
            bindings::cancel_work(Work::raw_get(work))
        };
        if !queued {
            return None;
        }
        // SAFETY: The queue had a reference, from `into_raw`, that is ours now.
        drop(unsafe { Arc::from_raw(core::ptr::from_ref::<Request>(&request)) });
        // INVARIANT: `enqueue` gave the ownership to the worker, which is not going to run.
        let mut owned = Self(request);
        if owned.ownership.is_finished() {
            // What is left then is short: `Finish` or `Retire`.
            let step = owned.inner().step;
            owned.enqueue(step, Kind::Prompt);
            return None;
        }
        Some(owned)
    }

    /// What only the owner touches.
    #[inline]
    pub(crate) fn inner(&mut self) -> &mut Inner {
        // SAFETY: By the type invariants nobody else has access, and `self` is borrowed for this.
        unsafe { &mut *self.0.inner.get() }
    }

    /// What only the owner touches, and what anybody may read.
    #[inline]
    pub(super) fn parts(&mut self) -> (&mut Inner, &Request) {
        let request = &*self.0;
        // SAFETY: By the type invariants nobody else has access, and `self` is borrowed for this.
        // The `UnsafeCell` keeps the two apart.
        (unsafe { &mut *request.inner.get() }, request)
    }

    /// A reference, without the right.
    pub(crate) fn to_arc(&self) -> Arc<Request> {
        self.0.clone()
    }

    /// Gives the right to whom the reference goes to; see [`Owned::assume`].
    pub(crate) fn into_arc(self) -> Arc<Request> {
        self.0
    }

    /// Lets the request wait for an event.
    ///
    /// # Errors
    ///
    /// What the owner was told meanwhile; it still is.
    pub(crate) fn release(self) -> Result<(), (Self, Word)> {
        match self.0.ownership.release() {
            Ok(()) => {
                self.0.note_let_go();
                Ok(())
            }
            Err(word) => Err((self, word)),
        }
    }

    /// Has a worker go on. Any context.
    pub(crate) fn enqueue(mut self, step: Step, kind: Kind) {
        self.inner().step = step;
        let mut request = self.0;
        // The worker may free the request. In a timer's interrupt this is not the last reference:
        // who retires the request waits for the interrupt before.
        let timed = request.waits_for(Wait::Time).then(|| request.ring.clone());
        loop {
            let ring: *const Core = &raw const *request.ring;
            // SAFETY: The request holds the ring, and the queue holds the request from when it is
            // queued. The queues are destroyed after the last ring of their user, and then stay for
            // an RCU grace period, which `queue_work()` is in until it returns.
            let Some(queue) = (unsafe { &(*ring).queues }).get(kind) else {
                return;
            };
            // Not queued yet: only an owner queues, and gives the ownership up. But `cancel_work()`
            // marks what it finds idle as queued for a moment, with interrupts off: see
            // `Owned::cancel`.
            match queue.enqueue(request) {
                Ok(()) => break,
                Err(refused) => request = refused,
            }
            core::hint::spin_loop();
        }
        if let Some(ring) = timed {
            ring.let_go.wake();
        }
    }

    /// Whether `step` may block, so that only a queue for such work may run it.
    pub(crate) fn may_block(&self, step: Step) -> bool {
        match step {
            Step::Issue => true,
            Step::Event(_) => self.waits_for(Wait::Ready),
            Step::Finish | Step::Retire { .. } => false,
        }
    }

    /// Has a worker issue the request, which is to be found from now on. Process context.
    pub(crate) fn issue_later(mut self) {
        self.add_to_pending();
        self.enqueue(Step::Issue, Kind::Blocking);
    }

    /// The CQE of a result.
    pub(crate) fn cqe(&self, res: i32, flags: u32) -> Cqe {
        Cqe {
            user_data: self.user_data.load(Relaxed),
            res,
            flags,
        }
    }

    /// Declares the request completed, and hands out what to post that by.
    pub(crate) fn finish(&mut self) -> Option<Entry> {
        self.mark_finished();
        self.inner().entry.take()
    }

    /// Declares the request completed.
    pub(super) fn mark_finished(&self) {
        self.0.ownership.finish();
        self.0.note_let_go();
    }

    /// Declares the request completed, unless the owner was told to cancel it. Returns false then.
    pub(super) fn try_finish(&self) -> bool {
        let finished = self.0.ownership.try_finish();
        if finished {
            self.0.note_let_go();
        }
        finished
    }

    /// Whether the SQE had `flag` (`IOSQE_*`).
    pub(crate) fn has(&self, flag: u32) -> bool {
        u32::from(self.0.flags) & flag != 0
    }
}

impl Deref for Owned {
    type Target = Request;

    #[inline]
    fn deref(&self) -> &Request {
        &self.0
    }
}

impl WorkItem for Request {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        // INVARIANT: Only `Owned::enqueue` queues requests, with their ownership.
        let mut owned = Owned(this);
        let step = owned.inner().step;
        run::work(owned, step);
    }
}
