// SPDX-License-Identifier: GPL-2.0

//! Requests that wait after their submission, or that are linked.
//!
//! One allocation holds the timer, the wait queue entries, the links of the ring's table and the
//! work item, for any operation. [`Owned`] is the right to act on a request: a request has at most
//! one `Owned`, and its holder issues, cancels or completes the request. Other references only find
//! the request.
//!
//! Context: dropping the last reference may sleep. So in interrupt context an `Owned` goes to task
//! work or a workqueue.

use super::{
    core::{
        Core,
        Target, //
    },
    operation::{
        Data,
        Def,
        Wait, //
    },
    outcome::Outcome,
    per_task::Counted,
    run,
    target::Files,
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
    /// The functions of its operation.
    pub(super) def: &'static Def,
    /// Flags of the SQE (`IOSQE_*`).
    pub(crate) flags: u8,
    /// The descriptor table that the request was submitted with.
    pub(crate) files: Files,
    /// The task that submitted the request; some requests continue in that task: see
    /// [`crate::ring::sys::task_work`].
    pub(crate) submitter: ARef<Task>,
    /// Identifies the submitter's program at the time of submission.
    pub(crate) exec_id: u64,
    _counted: Counted,
    /// The file that the request may wait for, or 0: see `Target::id`.
    pub(crate) target: usize,
    pub(crate) user_data: Atomic<u64>,
    /// The bucket in [`super::pending::Pending`], and the number of the last search that passed the
    /// request.
    pub(crate) bucket: Atomic<usize>,
    pub(crate) round: Atomic<u64>,
    /// For the first request of a chain: the number of its requests, and whether the chain is
    /// drained.
    pub(crate) links: Atomic<usize>,
    pub(crate) drain: AtomicFlag,
    /// The request, or another of its chain, is about a file that may keep rings. Such a request is
    /// cancelled when its process leaves the ring.
    pub(crate) may_keep_rings: AtomicFlag,
    /// The process left the ring. The linked requests are cancelled too.
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

/// State that only the owner accesses.
pub(crate) struct Inner {
    /// A value of the type of the request's `def`; never replaced.
    pub(super) op: Data,
    /// The linked request, issued when this one completes.
    pub(crate) next: Option<Owned>,
    /// True while the request is in the ring's table.
    pub(crate) pending: bool,
    /// The result, if it was decided when the request's wait ended.
    pub(crate) verdict: Option<Outcome>,
    pub(crate) step: Step,
    entry: Option<Entry>,
}

/// The next step for a worker or the submitter's task.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    /// Issue the request, which may block.
    Issue,
    /// Continue after these events; 0 if they are unknown. A multishot timeout reports, and restarts
    /// its timer.
    Event(u32),
    /// Complete the request, with the verdict or as cancelled.
    Finish,
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

// SAFETY: Only the owner accesses `inner`, from one task at a time. The other fields may be sent.
unsafe impl Send for Request {}
// SAFETY: Only the owner accesses `inner`. The other fields may be shared.
unsafe impl Sync for Request {}

/// The right to act on a request.
///
/// # Invariants
///
/// The request's `ownership` is held, and this is the only value that represents it.
pub(crate) struct Owned(Arc<Request>);

/// The result of an attempt to issue a request.
pub(crate) enum Issued {
    Done(Owned, Outcome),
    /// A wake-up, a timer, a worker or task work continues the request.
    Pending,
}

/// Memory for a request, and for its completion if the CQ is full.
pub(crate) struct Room {
    memory: UniqueArc<MaybeUninit<Request>>,
    entry: Entry,
}

impl Room {
    /// Allocates the memory. May sleep.
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

    /// Makes the request of `sqe`, for the current task.
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
            // SAFETY: The current task exists.
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
        // INVARIANT: This function made the `Ownership`, which starts as held.
        Owned(Arc::from(request))
    }
}

impl Request {
    /// Wakes the cancellers of a timeout, after its owner released or completed the timeout: see
    /// [`Owned::cancel_after_owner`]. Context: any.
    fn note_let_go(&self) {
        if self.waits_for(Wait::Time) {
            self.ring.let_go.wake();
        }
    }
}

impl Owned {
    /// Makes the value for an ownership that the caller holds.
    ///
    /// # Safety
    ///
    /// The request's `ownership` is held, and no other value represents it.
    pub(crate) unsafe fn assume(request: Arc<Request>) -> Self {
        // INVARIANT: The ownership is held, and no other value represents it (caller).
        Self(request)
    }

    /// Gains the ownership for an event, or tells the owner of the event. Context: any.
    pub(crate) fn claim(request: ArcBorrow<'_, Request>) -> Option<Self> {
        match request.ownership.claim() {
            // INVARIANT: Just gained.
            Claim::Gained => Some(Self(request.into())),
            Claim::Told | Claim::Again | Claim::Done => None,
        }
    }

    /// Gains the ownership if the request has no owner. Context: any.
    ///
    /// # Errors
    ///
    /// The state of the ownership, if the ownership was not gained.
    pub(crate) fn try_claim(request: ArcBorrow<'_, Request>) -> Result<Self, Claim> {
        match request.ownership.try_claim() {
            // INVARIANT: Just gained.
            Claim::Gained => Ok(Self(request.into())),
            claim => Err(claim),
        }
    }

    /// Gains the ownership to cancel the request, also from a worker that has not begun. Otherwise
    /// tells the owner to cancel the request. Context: process.
    ///
    /// # Errors
    ///
    /// The state of the ownership, if this call did not gain it.
    pub(crate) fn cancel(request: Arc<Request>) -> Result<Self, Claim> {
        match request.ownership.cancel() {
            // INVARIANT: Just gained.
            Claim::Gained => Ok(Self(request)),
            claim @ (Claim::Told | Claim::Again) => Self::dequeue(request).ok_or(claim),
            Claim::Done => Err(Claim::Done),
        }
    }

    /// Gains the ownership to cancel the request, after waiting for its owner. Returns `None` if
    /// the owner completed the request. May sleep.
    ///
    /// Only for timeouts, whose owners neither block nor wait for other requests.
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

    /// Takes an incomplete request from a worker that has not begun.
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
        // SAFETY: `enqueue` gave the queue a reference with `into_raw`, which `cancel_work()`
        // returned to this function.
        drop(unsafe { Arc::from_raw(core::ptr::from_ref::<Request>(&request)) });
        // INVARIANT: `enqueue` gave the ownership to the work item, which no worker will run.
        let owned = Self(request);
        if owned.ownership.is_finished() {
            owned.enqueue(Step::Finish, Kind::Prompt);
            return None;
        }
        Some(owned)
    }

    /// Returns the state that only the owner accesses.
    #[inline]
    pub(crate) fn inner(&mut self) -> &mut Inner {
        // SAFETY: `self` is the only value for the ownership (type invariants), and is mutably
        // borrowed.
        unsafe { &mut *self.0.inner.get() }
    }

    /// Returns the owner's state, and the part that any task may read.
    #[inline]
    pub(super) fn parts(&mut self) -> (&mut Inner, &Request) {
        let request = &*self.0;
        // SAFETY: `self` is the only value for the ownership (type invariants), and is borrowed
        // mutably. The `UnsafeCell` keeps the shared reference apart from `inner`.
        (unsafe { &mut *request.inner.get() }, request)
    }

    /// Returns a reference to the request, without the ownership.
    pub(crate) fn to_arc(&self) -> Arc<Request> {
        self.0.clone()
    }

    /// Gives the ownership away with the reference; see [`Owned::assume`].
    pub(crate) fn into_arc(self) -> Arc<Request> {
        self.0
    }

    /// Releases the ownership, so that the next event gains it.
    ///
    /// # Errors
    ///
    /// The owner, and the word that another task told the owner.
    pub(crate) fn release(self) -> Result<(), (Self, Word)> {
        match self.0.ownership.release() {
            Ok(()) => {
                self.0.note_let_go();
                Ok(())
            }
            Err(word) => Err((self, word)),
        }
    }

    /// Queues the request for a worker, to run `step`. Context: any.
    pub(crate) fn enqueue(mut self, step: Step, kind: Kind) {
        self.inner().step = step;
        let mut request = self.0;
        // The worker may free the request. In a timer's interrupt `this` is not the last reference:
        // `retire` waits for the interrupt first.
        let timed = request.waits_for(Wait::Time).then(|| request.ring.clone());
        loop {
            let ring: *const Core = &raw const *request.ring;
            // SAFETY:
            // - The request holds the ring, and the queue holds the request once it is queued.
            // - The queues are destroyed an RCU grace period after the last ring of their user is
            //   freed. `queue_work()` is an RCU reader until it returns.
            let Some(queue) = (unsafe { &(*ring).queues }).get(kind) else {
                return;
            };
            // The request is not queued: only an owner queues, and gives up the ownership. But
            // `cancel_work()` marks an idle work item as queued for a moment, with interrupts off:
            // see `Owned::cancel`.
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

    /// Returns whether `step` may block. Such a step needs a queue for blocking work.
    pub(crate) fn may_block(&self, step: Step) -> bool {
        match step {
            Step::Issue => true,
            Step::Event(_) => self.waits_for(Wait::Ready),
            Step::Finish => false,
        }
    }

    /// Adds the request to the table, and queues the request for a worker. Context: process.
    pub(crate) fn issue_later(mut self) {
        self.add_to_pending();
        self.enqueue(Step::Issue, Kind::Blocking);
    }

    /// Returns the CQE for a result.
    pub(crate) fn cqe(&self, res: i32, flags: u32) -> Cqe {
        Cqe {
            user_data: self.user_data.load(Relaxed),
            res,
            flags,
        }
    }

    /// Marks the request as completed, and returns the entry to post the CQE with.
    pub(crate) fn finish(&mut self) -> Option<Entry> {
        self.mark_finished();
        self.inner().entry.take()
    }

    /// Marks the request as completed.
    pub(super) fn mark_finished(&self) {
        self.0.ownership.finish();
        self.0.note_let_go();
    }

    /// Marks the request as completed. Returns false if the owner was told to cancel.
    pub(super) fn try_finish(&self) -> bool {
        let finished = self.0.ownership.try_finish();
        if finished {
            self.0.note_let_go();
        }
        finished
    }

    /// Returns whether the SQE had `flag` (`IOSQE_*`).
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
