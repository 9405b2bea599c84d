// SPDX-License-Identifier: GPL-2.0

//! The interface between a request and its operation.
//!
//! An operation is a type that implements [`Operation`]. A request stores the value in [`Data`],
//! with a pointer to the [`Def`] of the type, as io_uring does with `struct io_cmd_data` and
//! `io_issue_defs[]`. So this file names no operation, and a request has no type parameter.

use super::{
    core::{
        Core,
        Target, //
    },
    outcome::Outcome,
    poster::Poster,
    request::{
        Issued,
        Owned,
        Request,
        Step, //
    },
    sequenced::Sequenced, //
};
use crate::{
    bindings,
    pure::ownership::{
        Claim,
        Word, //
    },
    ring::{
        cq::completion::Of,
        sys::queues::Kind, //
    }, //
};
use core::{
    any::TypeId,
    marker::PhantomData,
    mem::MaybeUninit,
    ops::Deref, //
};
use kernel::{
    prelude::*,
    sync::{
        atomic::ordering::Relaxed,
        Arc, //
    }, //
};

/// The kind of event that an issued operation waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    Nothing,
    /// Readiness of a file. Then a worker that may block, or the submitter, retries.
    Ready,
    /// Events of a file, which the operation reports. Never blocks.
    Events,
    /// A time, or a number of completions. The CQE is counted as the CQE of a timeout.
    Time,
}

/// An operation of a request.
pub(crate) trait Operation: Send + Sized + 'static {
    const WAITS_FOR: Wait = Wait::Nothing;

    /// Returns the file that the operation is about.
    fn target(&self) -> Option<&Target> {
        None
    }

    /// Carries out the operation without a request, if it is over at once.
    fn run_now(&mut self, _ring: &Core, _poster: &mut Poster<'_>) -> Option<Outcome> {
        None
    }

    /// Issues a request. `blocking` is true if the caller is a worker that may block.
    fn issue(request: OwnedOf<Self>, blocking: bool, poster: &mut Poster<'_>) -> Issued;

    /// Continues a request after `events`; 0 if they are unknown. `blocking` as for `issue`.
    fn event(
        request: OwnedOf<Self>,
        _events: u32,
        blocking: bool,
        poster: &mut Poster<'_>,
    ) -> Issued {
        Self::issue(request, blocking, poster)
    }

    /// Reports that the request's timer expired. Context: any.
    fn expired(request: OwnedOf<Self>) {
        request.into_owned().enqueue(Step::Issue, Kind::Blocking);
    }

    /// Completes the request, whose number of completions was reached. Context: process.
    fn due(request: OwnedOf<Self>) {
        Self::expired(request);
    }

    /// Returns the result of a request that ends without another attempt.
    fn cancelled(&self) -> Outcome {
        Outcome::cancelled()
    }
}

/// The functions of an operation's type.
pub(crate) struct Def {
    id: fn() -> TypeId,
    pub(super) waits_for: Wait,
    target: fn(&Data) -> Option<&Target>,
    run_now: fn(&mut Data, &Core, &mut Poster<'_>) -> Option<Outcome>,
    issue: fn(Owned, bool, &mut Poster<'_>) -> Issued,
    event: fn(Owned, u32, bool, &mut Poster<'_>) -> Issued,
    expired: fn(Owned),
    due: fn(Owned),
    cancelled: fn(&Data) -> Outcome,
    /// Drops the value. Called once, as the last function.
    drop: unsafe fn(&mut Data),
}

/// Gives each type its [`Def`].
///
/// Only [`Data`] uses a `DEF`: that of its value's type. The functions are called with these data,
/// or with the request that has these data.
struct DefOf<O>(PhantomData<O>);

impl<O: Operation> DefOf<O> {
    const DEF: &'static Def = &Def {
        id: TypeId::of::<O>,
        waits_for: O::WAITS_FOR,
        target: |data| {
            // SAFETY: The data are an `O`.
            unsafe { data.get::<O>() }.target()
        },
        run_now: |data, ring, poster| {
            // SAFETY: The data are an `O`.
            unsafe { data.get_mut::<O>() }.run_now(ring, poster)
        },
        issue: |owned, blocking, poster| {
            // SAFETY: The request's operation is an `O`.
            O::issue(unsafe { OwnedOf::new(owned) }, blocking, poster)
        },
        event: |owned, events, blocking, poster| {
            // SAFETY: The request's operation is an `O`.
            O::event(unsafe { OwnedOf::new(owned) }, events, blocking, poster)
        },
        expired: |owned| {
            // SAFETY: The request's operation is an `O`.
            O::expired(unsafe { OwnedOf::new(owned) })
        },
        due: |owned| {
            // SAFETY: The request's operation is an `O`.
            O::due(unsafe { OwnedOf::new(owned) })
        },
        cancelled: |data| {
            // SAFETY: The data are an `O`.
            unsafe { data.get::<O>() }.cancelled()
        },
        drop: |data| {
            // SAFETY: The data are an `O`, and `Data::drop` is the only caller.
            unsafe { data.value.as_mut_ptr().cast::<O>().drop_in_place() }
        },
    };
}

/// Number of words of the largest operation.
const WORDS: usize = 16;

/// An operation of any type.
///
/// # Invariants
///
/// `value` starts with an initialised value of the type of `def`.
pub(crate) struct Data {
    def: &'static Def,
    value: MaybeUninit<[u64; WORDS]>,
}

// SAFETY: An `Operation` may be sent.
unsafe impl Send for Data {}

impl Data {
    /// Stores an operation.
    pub(crate) fn new<O: Operation>(op: O) -> Self {
        const {
            assert!(size_of::<O>() <= size_of::<[u64; WORDS]>());
            assert!(align_of::<O>() <= align_of::<u64>());
        }
        let mut value = MaybeUninit::<[u64; WORDS]>::uninit();
        // SAFETY: An `O` fits, as asserted.
        unsafe { value.as_mut_ptr().cast::<O>().write(op) };
        // INVARIANT: An `O`, the type of `def`, was just written.
        Self {
            def: DefOf::<O>::DEF,
            value,
        }
    }

    /// # Safety
    ///
    /// The operation is an `O`.
    unsafe fn get<O>(&self) -> &O {
        // SAFETY: The value is an `O` (caller), and initialised by the type invariants.
        unsafe { &*self.value.as_ptr().cast::<O>() }
    }

    /// # Safety
    ///
    /// The operation is an `O`.
    unsafe fn get_mut<O>(&mut self) -> &mut O {
        // SAFETY: The value is an `O` (caller), and initialised by the type invariants.
        unsafe { &mut *self.value.as_mut_ptr().cast::<O>() }
    }

    /// Returns the functions of the operation.
    pub(super) fn def(&self) -> &'static Def {
        self.def
    }

    /// Returns the file that the operation is about.
    pub(super) fn target(&self) -> Option<&Target> {
        (self.def.target)(self)
    }

    /// Carries out the operation without a request, if it is over at once.
    pub(crate) fn run_now(&mut self, ring: &Core, poster: &mut Poster<'_>) -> Option<Outcome> {
        (self.def.run_now)(self, ring, poster)
    }
}

impl Drop for Data {
    fn drop(&mut self) {
        // SAFETY: The value is initialised (type invariants), and not used after this call.
        unsafe { (self.def.drop)(self) };
    }
}

/// An [`Owned`] request whose operation is an `O`.
///
/// # Invariants
///
/// The operation of the request is an `O`.
pub(crate) struct OwnedOf<O> {
    owned: Owned,
    _op: PhantomData<O>,
}

impl<O: Operation> OwnedOf<O> {
    /// # Safety
    ///
    /// The operation of the request is an `O`.
    unsafe fn new(owned: Owned) -> Self {
        // INVARIANT: The operation of the request is an `O` (caller).
        Self {
            owned,
            _op: PhantomData,
        }
    }

    /// Gains the ownership of `request`, if the request has no owner. Context: any.
    ///
    /// # Errors
    ///
    /// `ENOENT` if the request was completed or its operation is no `O`, `EALREADY` if the request
    /// has an owner.
    pub(crate) fn try_claim(request: &Arc<Request>) -> Result<Self> {
        if !request.is::<O>() {
            return Err(ENOENT);
        }
        match Owned::try_claim(request.as_arc_borrow()) {
            // SAFETY: `is` found that the operation is an `O`.
            Ok(owned) => Ok(unsafe { Self::new(owned) }),
            Err(Claim::Done) => Err(ENOENT),
            Err(_) => Err(EALREADY),
        }
    }

    pub(crate) fn into_owned(self) -> Owned {
        self.owned
    }

    /// Returns the operation, which only the owner accesses.
    pub(crate) fn op(&mut self) -> &mut O {
        self.parts().0
    }

    /// Returns the operation, and the fields of its request that any task may read.
    pub(crate) fn parts(&mut self) -> (&mut O, &Request) {
        let (inner, request) = self.owned.parts();
        // SAFETY: The operation is an `O` (type invariants).
        (unsafe { inner.op.get_mut::<O>() }, request)
    }

    /// Completes the request, which is disarmed later.
    pub(crate) fn done(self, outcome: impl Into<Outcome>) -> Issued {
        Issued::Done(self.owned, outcome.into())
    }

    /// Completes the request as cancelled.
    pub(crate) fn end_cancelled(mut self) -> Issued {
        let outcome = self.owned.cancelled();
        self.done(outcome)
    }

    /// Adds the request to its ring's table: see [`Owned::add_to_pending`].
    pub(crate) fn add_to_pending(&mut self) {
        self.owned.add_to_pending();
    }

    /// Releases the ownership while the request waits: see [`Owned::release`].
    ///
    /// # Errors
    ///
    /// As [`Owned::release`].
    pub(crate) fn release(self) -> Result<(), (Self, Word)> {
        self.owned.release().map_err(|(owned, word)| {
            // INVARIANT: `self` was an `OwnedOf<O>` of this request.
            let this = Self {
                owned,
                _op: PhantomData,
            };
            (this, word)
        })
    }
}

impl<O> Deref for OwnedOf<O> {
    type Target = Owned;

    #[inline]
    fn deref(&self) -> &Owned {
        &self.owned
    }
}

impl Request {
    /// Returns whether the issued operation waits for `what`. Context: any.
    pub(crate) fn waits_for(&self, what: Wait) -> bool {
        self.def.waits_for == what
    }

    /// Returns whether the operation is an `O`. Context: any.
    pub(crate) fn is<O: Operation>(&self) -> bool {
        (self.def.id)() == TypeId::of::<O>()
    }

    /// Returns how the completion is counted: as that of a timeout if the timer was ever started. A
    /// TIMEOUT that was refused, or belongs to a failed chain, counts like any request.
    pub(crate) fn counts_as(&self) -> Of {
        if self.waits_for(Wait::Time) && self.timer.ready.load(Relaxed) {
            Of::Timeout
        } else {
            Of::Other
        }
    }

    /// Returns whether the next event completes the request. Context: any.
    pub(crate) fn reports_once(&self) -> bool {
        self.waits_for(Wait::Events) && self.wakers.events() & bindings::CONST_EPOLLONESHOT != 0
    }
}

impl Owned {
    /// Issues the request. `blocking` is true if the caller is a worker that may block.
    pub(crate) fn issue(self, blocking: bool, poster: &mut Poster<'_>) -> Issued {
        (self.def.issue)(self, blocking, poster)
    }

    /// Continues the request after `events`; 0 if they are unknown. `blocking` as for `issue`.
    pub(crate) fn event(self, events: u32, blocking: bool, poster: &mut Poster<'_>) -> Issued {
        (self.def.event)(self, events, blocking, poster)
    }

    /// Completes a request whose number of completions was reached. Context: process.
    pub(super) fn due(self) {
        (self.def.due)(self);
    }

    /// Reports that the request's timer expired. Context: any.
    pub(super) fn expired(self) {
        (self.def.expired)(self);
    }

    /// Removes the request's wait queue entries and stops its timer. No event finds the request
    /// afterwards. Context: process.
    pub(super) fn disarm(&self) {
        match self.def.waits_for {
            Wait::Nothing => (),
            Wait::Ready | Wait::Events => self.wakers.disarm(),
            Wait::Time => {
                Sequenced::remove(self);
                self.timer.stop();
            }
        }
    }

    /// Disarms a cancelled request, and returns its result. Context: process.
    pub(super) fn cancelled(&mut self) -> Outcome {
        self.disarm();
        let verdict = self.inner().verdict.take();
        verdict.unwrap_or_else(|| self.not_issued())
    }

    /// Returns the result of a request that will not be issued.
    pub(super) fn not_issued(&mut self) -> Outcome {
        let op = &self.inner().op;
        (op.def.cancelled)(op)
    }
}
