// SPDX-License-Identifier: GPL-2.0

//! Issuer state, and the one way to reach it.
//!
//! What only a submitter touches (the cached SQ head, completions not yet posted, the registered
//! buffers) needs exclusion between submitters, and nothing else: completions are posted by
//! anybody, under a lock of their own. Exclusion is a value, [`Access`]: either the ring's mutex is
//! held, or the ring is SINGLE_ISSUER and `current` is its submitter, which cannot be in the ring
//! twice.
//!
//! The mutex is the outermost lock of a ring. Of two rings, that of the lower address is taken first.

use super::{
    buffers::Table,
    position::Position,
    tally::Tally, //
};
use crate::{
    bindings,
    ring::{
        abi::shared::Cqe,
        cq::completion::Spare, //
    }, //
};
use core::{
    cell::{
        Cell,
        UnsafeCell, //
    },
    cmp::Ordering,
    ops::{
        Deref,
        DerefMut, //
    },
    ptr, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            ordering::{
                Acquire,
                Release, //
            },
            AtomicFlag, //
        },
        lock::{
            mutex::MutexBackend,
            Guard, //
        },
        Mutex,
        SetOnce, //
    },
    task::Task,
    types::NotThreadSafe,
    warn_on, //
};

/// How many completions are collected before they are posted.
pub(crate) const BATCH: usize = 32;

/// What only the holder of an [`Access`] may touch.
pub(crate) struct Issuer {
    /// What was taken off the SQ.
    pub(crate) sq: Position,
    /// Completions of requests that ended while they were issued.
    pub(crate) done: Done,
    /// The registered buffers.
    pub(crate) buffers: Table,
    /// One entry for each completion that [`Done`] can hold.
    pub(crate) spare: Spare,
    /// The next request that is not linked to one before it is to be drained.
    pub(crate) drain_next: bool,
    /// There was a request with IOSQE_CQE_SKIP_SUCCESS.
    pub(crate) has_skipped: bool,
}

impl Issuer {
    #[inline]
    pub(crate) fn batch(&mut self) -> Batch<'_> {
        Batch {
            done: &mut self.done,
            spare: &mut self.spare,
        }
    }
}

/// What completions are collected in.
pub(crate) struct Batch<'a> {
    pub(crate) done: &'a mut Done,
    pub(crate) spare: &'a mut Spare,
}

impl Batch<'_> {
    /// Whether there is an overflow entry for one more completion.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        self.done.len() < self.spare.len()
    }
}

/// Completions to be posted, at most [`BATCH`].
pub(crate) struct Done {
    cqes: [Cqe; BATCH],
    len: usize,
    /// How many of them are those of timeouts.
    timeouts: u64,
}

impl Done {
    /// Adds a completion; true if that was the last one there was room for.
    #[inline]
    pub(crate) fn push(&mut self, cqe: Cqe) -> bool {
        if let Some(slot) = self.cqes.get_mut(self.len) {
            *slot = cqe;
            self.len += 1;
        }
        self.len >= BATCH
    }

    /// Notes that the completion added next is that of a timeout.
    pub(crate) fn count_timeout(&mut self) {
        self.timeouts += 1;
    }

    /// Empties the collection and returns what was in it, and how many of that are completions of
    /// timeouts.
    #[inline]
    pub(crate) fn take(&mut self) -> (&[Cqe], u64) {
        let len = core::mem::take(&mut self.len);
        let timeouts = core::mem::take(&mut self.timeouts);
        (self.cqes.get(..len).unwrap_or(&[]), timeouts)
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// Issuer state with its gatekeeper.
///
/// # Invariants
///
/// `state` is accessed by the holder of the only [`Access`], `inside` by the submitter.
#[pin_data]
pub(crate) struct Gate {
    #[pin]
    lock: Mutex<()>,
    /// On a SINGLE_ISSUER ring: the submitter, once there is one. Holding a reference keeps its
    /// address from being reused.
    submitter: SetOnce<ARef<Task>>,
    single_issuer: bool,
    /// The submitter does without the lock. With IORING_SETUP_SQPOLL nobody does: the thread
    /// submits, and the submitter registers.
    elided: bool,
    /// An `Access` exists that did not take the lock. Only the submitter reads or writes it.
    inside: Cell<bool>,
    /// An `Access` exists. Only kept where debug assertions are on, to find a second one.
    held: AtomicFlag,
    /// How often the lock was taken, and for what. Written under exclusion.
    tally: Tally,
    state: UnsafeCell<Issuer>,
}

// SAFETY: The issuer state may be sent, and moves between tasks under exclusion.
unsafe impl Send for Gate {}
// SAFETY: By the type invariants `state` is reached by one task at a time, and `inside` by the
// submitter alone.
unsafe impl Sync for Gate {}

/// Exclusive access to a ring's issuer state.
///
/// # Invariants
///
/// While it exists, no other `Access` to the same gate does: it holds the mutex, and nobody does
/// without; or `current` is the submitter and has set `inside`.
pub(crate) struct Access<'a> {
    gate: &'a Gate,
    _lock: Option<Guard<'a, (), MutexBackend>>,
    _task: NotThreadSafe,
}

impl Gate {
    /// Returns how often the lock was taken, and how many calls submitted.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// A gate for a ring; `single_issuer` is IORING_SETUP_SINGLE_ISSUER, and `sqpoll`
    /// IORING_SETUP_SQPOLL.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(single_issuer: bool, sqpoll: bool) -> Result<impl PinInit<Self>> {
        let mut spare = Spare::with_capacity(BATCH)?;
        spare.refill()?;
        let elided = single_issuer && !sqpoll;
        Ok(pin_init!(Self {
            lock <- new_mutex!((), "miniring::Gate"),
            submitter: SetOnce::new(),
            single_issuer,
            elided,
            inside: Cell::new(false),
            held: AtomicFlag::new(false),
            tally: Tally::new(),
            state: UnsafeCell::new(Issuer {
                sq: Position::default(),
                done: Done {
                    cqes: [Cqe::default(); BATCH],
                    len: 0,
                    timeouts: 0,
                },
                buffers: Table::new(),
                spare,
                drain_next: false,
                has_skipped: false,
            }),
        }))
    }

    /// Makes `current` the submitter of a SINGLE_ISSUER ring. Does nothing on another one.
    ///
    /// # Errors
    ///
    /// `EEXIST` if there is a submitter.
    pub(crate) fn claim(&self) -> Result {
        if !self.single_issuer {
            return Ok(());
        }
        let _lock = self.lock();
        if self.submitter.populate(ARef::from(&**kernel::current!())) {
            Ok(())
        } else {
            Err(EEXIST)
        }
    }

    /// With [`Gate::lock_second`], the one place where the mutex is taken.
    #[inline]
    fn lock(&self) -> Guard<'_, (), MutexBackend> {
        let lock = self.lock.lock();
        self.tally.locked(&lock);
        lock
    }

    /// Takes the mutex of a second ring: see [`Gate::access_two`].
    fn lock_second(&self) -> Guard<'_, (), MutexBackend> {
        let lock = ptr::from_ref(&self.lock).cast_mut();
        // SAFETY: A lock without data is laid out as its state: see `Lock::from_raw`. It is
        // initialised, and taken in an order that lockdep is told of.
        let lock = unsafe {
            bindings::miniring_mutex_lock_second(lock.cast());
            Guard::new(&self.lock, ())
        };
        self.tally.locked(&lock);
        lock
    }

    #[inline]
    fn submitter(&self) -> Option<&ARef<Task>> {
        if self.single_issuer {
            self.submitter.as_ref()
        } else {
            None
        }
    }

    fn is_submitter(&self, submitter: &Task) -> bool {
        ptr::eq(submitter.as_ptr(), Task::current_raw())
    }

    /// Whether the current task may do what it can do without an [`Access`].
    ///
    /// # Errors
    ///
    /// `EEXIST` if the ring's only submitter is another task.
    pub(crate) fn check_submitter(&self) -> Result {
        match self.submitter() {
            Some(submitter) if !self.is_submitter(submitter) => Err(EEXIST),
            _ => Ok(()),
        }
    }

    /// Who needs no lock, if there is somebody.
    #[inline]
    fn elider(&self) -> Option<&ARef<Task>> {
        if self.elided {
            self.submitter.as_ref()
        } else {
            None
        }
    }

    /// Gains access for the current task, or for the thread of a ring with IORING_SETUP_SQPOLL. May
    /// sleep, unless the ring is SINGLE_ISSUER and has a submitter.
    ///
    /// # Errors
    ///
    /// `EEXIST` if the ring's only submitter is another task.
    #[inline]
    pub(crate) fn access(&self) -> Result<Access<'_>> {
        self.access_by(Self::lock)
    }

    /// Gains access to two rings, whose mutexes are taken in the order of their addresses.
    ///
    /// # Errors
    ///
    /// `EEXIST` if either's only submitter is another task, or if they are the same.
    pub(crate) fn access_two<'a>(&'a self, other: &'a Self) -> Result<(Access<'a>, Access<'a>)> {
        self.check_submitter()?;
        other.check_submitter()?;
        match ptr::from_ref(self).cmp(&ptr::from_ref(other)) {
            Ordering::Less => {
                let first = self.access()?;
                Ok((first, other.access_by(Self::lock_second)?))
            }
            Ordering::Greater => {
                let first = other.access()?;
                Ok((self.access_by(Self::lock_second)?, first))
            }
            Ordering::Equal => Err(EEXIST),
        }
    }

    // Inlined so that the result is not passed in memory.
    #[inline(always)]
    fn access_by<'a>(
        &'a self,
        lock: impl FnOnce(&'a Self) -> Guard<'a, (), MutexBackend>,
    ) -> Result<Access<'a>> {
        if let Some(submitter) = self.elider() {
            if !self.is_submitter(submitter) || self.inside.get() {
                return Err(EEXIST);
            }
            self.inside.set(true);
            // INVARIANT: Another `Access` would be the submitter's, and `inside` was clear; or
            // would hold the mutex and have seen no submitter there. But the submitter was
            // claimed under the mutex, after that one was gone.
            return Ok(Access::new(self, None));
        }
        let lock = lock(self);
        if self.elider().is_some() {
            // Claimed while we waited; if by this very task, it was another call of it, which
            // cannot be.
            return Err(EEXIST);
        }
        // INVARIANT: The mutex is held and nobody does without, nor can anybody before it is
        // released.
        Ok(Access::new(self, Some(lock)))
    }
}

impl<'a> Access<'a> {
    /// For whom the type invariants hold.
    #[inline]
    fn new(gate: &'a Gate, lock: Option<Guard<'a, (), MutexBackend>>) -> Self {
        if cfg!(debug_assertions) {
            warn_on!(gate.held.xchg(true, Acquire));
        }
        Self {
            gate,
            _lock: lock,
            _task: NotThreadSafe,
        }
    }

    /// Counts a submission.
    #[inline]
    pub(crate) fn count_submit(&mut self) {
        self.gate.tally.submitted(self);
    }
}

impl Deref for Access<'_> {
    type Target = Issuer;

    #[inline]
    fn deref(&self) -> &Issuer {
        // SAFETY: By the type invariants this is the only access.
        unsafe { &*self.gate.state.get() }
    }
}

impl DerefMut for Access<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Issuer {
        // SAFETY: By the type invariants this is the only access.
        unsafe { &mut *self.gate.state.get() }
    }
}

impl Drop for Access<'_> {
    #[inline]
    fn drop(&mut self) {
        if cfg!(debug_assertions) {
            warn_on!(!self.gate.held.xchg(false, Release));
        }
        if self._lock.is_none() {
            self.gate.inside.set(false);
        }
    }
}
