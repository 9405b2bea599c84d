// SPDX-License-Identifier: GPL-2.0

//! Issuer state, and the gate in front of it.
//!
//! Only a submitter touches issuer state: the cached SQ head, the registered buffers, and the batch
//! of completions to post. So submitters exclude each other, and nobody else. The CQ has its own
//! lock, for posting in any context.
//!
//! The [`Gate`] gives a submitter an [`Access`], the proof of exclusion. Either the ring's mutex is
//! held, or the ring is SINGLE_ISSUER and `current` is its submitter. The only submitter needs no
//! lock, because a task makes one call at a time.
//!
//! Locking: the mutex is the outermost lock of a ring. Of two rings, the mutex at the lower address
//! is taken first.

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

/// Number of completions that are collected before they are posted.
pub(crate) const BATCH: usize = 32;

/// State that only the holder of an [`Access`] may access.
pub(crate) struct Issuer {
    /// The position of the submitter in the SQ.
    pub(crate) sq: Position,
    /// Completions of requests that ended while they were issued.
    pub(crate) done: Done,
    /// The registered buffers.
    pub(crate) buffers: Table,
    /// One entry for each completion that [`Done`] can hold.
    pub(crate) spare: Spare,
    /// The first request after the current chain is drained.
    pub(crate) drain_next: bool,
    /// A request had IOSQE_CQE_SKIP_SUCCESS.
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

/// The collected completions, with an overflow entry for each.
pub(crate) struct Batch<'a> {
    pub(crate) done: &'a mut Done,
    pub(crate) spare: &'a mut Spare,
}

impl Batch<'_> {
    /// Returns whether there is an overflow entry for one more completion.
    #[inline]
    pub(crate) fn is_ready(&self) -> bool {
        self.done.len() < self.spare.len()
    }
}

/// Completions to be posted, at most [`BATCH`].
pub(crate) struct Done {
    cqes: [Cqe; BATCH],
    len: usize,
    /// Number of these completions that are of timeouts.
    timeouts: u64,
}

impl Done {
    /// Adds a completion. Returns true if the batch is full.
    #[inline]
    pub(crate) fn push(&mut self, cqe: Cqe) -> bool {
        if let Some(slot) = self.cqes.get_mut(self.len) {
            *slot = cqe;
            self.len += 1;
        }
        self.len >= BATCH
    }

    /// Counts the next completion as one of a timeout.
    pub(crate) fn count_timeout(&mut self) {
        self.timeouts += 1;
    }

    /// Takes all completions. Returns them, and the number of completions of timeouts among them.
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

/// The issuer state of a ring, and its lock.
///
/// # Invariants
///
/// Only the holder of the one [`Access`] accesses `state`, and only the submitter accesses
/// `inside`.
#[pin_data]
pub(crate) struct Gate {
    #[pin]
    lock: Mutex<()>,
    /// The submitter of a SINGLE_ISSUER ring, or null before the first. The reference keeps the
    /// address from being reused.
    submitter: SetOnce<ARef<Task>>,
    single_issuer: bool,
    /// The submitter takes no lock. False with IORING_SETUP_SQPOLL: the thread submits and the
    /// submitter registers, both under the lock.
    elided: bool,
    /// An `Access` without the lock exists. Only the submitter reads or writes this flag.
    inside: Cell<bool>,
    /// An `Access` exists. Kept only with debug assertions, to find a second `Access`.
    held: AtomicFlag,
    /// Counts acquisitions of the lock and submissions. Written under exclusion.
    tally: Tally,
    state: UnsafeCell<Issuer>,
}

// SAFETY: The issuer state is `Send`, and moves between tasks under exclusion.
unsafe impl Send for Gate {}
// SAFETY: One task at a time accesses `state`, and only the submitter accesses `inside` (type
// invariants).
unsafe impl Sync for Gate {}

/// Exclusive access to a ring's issuer state.
///
/// # Invariants
///
/// No other `Access` to the same gate exists. Either this `Access` holds the mutex and no submitter
/// elides the mutex, or `current` is the submitter and has set `inside`.
pub(crate) struct Access<'a> {
    gate: &'a Gate,
    _lock: Option<Guard<'a, (), MutexBackend>>,
    _task: NotThreadSafe,
}

impl Gate {
    /// Returns the counts of acquisitions of the lock and of submitting calls.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Makes the gate of a ring. `single_issuer` is IORING_SETUP_SINGLE_ISSUER, `sqpoll` is
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

    /// Makes `current` the submitter of a SINGLE_ISSUER ring. Does nothing on other rings.
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

    /// Takes the mutex, and counts the acquisition, as does [`Gate::lock_second`].
    #[inline(always)]
    fn lock(&self) -> Guard<'_, (), MutexBackend> {
        let lock = self.lock.lock();
        self.tally.locked(&lock);
        lock
    }

    /// Takes the mutex of a second ring, for [`Gate::access_two`].
    fn lock_second(&self) -> Guard<'_, (), MutexBackend> {
        let lock = ptr::from_ref(&self.lock).cast_mut();
        // SAFETY: A lock without data has the layout of its state (see `Lock::from_raw`). The lock
        // is initialised, and is held when the guard is made.
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

    /// Checks that the current task may register, or submit, on the ring.
    ///
    /// # Errors
    ///
    /// `EEXIST` if another task is the only issuer.
    pub(crate) fn check_submitter(&self) -> Result {
        match self.submitter() {
            Some(submitter) if !self.is_submitter(submitter) => Err(EEXIST),
            _ => Ok(()),
        }
    }

    /// Returns the submitter that takes no lock, or null.
    #[inline]
    fn elider(&self) -> Option<&ARef<Task>> {
        if self.elided {
            self.submitter.as_ref()
        } else {
            None
        }
    }

    /// Gains access for the current task, or for the thread of a ring with IORING_SETUP_SQPOLL.
    ///
    /// Context: process; may sleep, unless the ring is SINGLE_ISSUER and has a submitter.
    ///
    /// # Errors
    ///
    /// `EEXIST` if another task is the only issuer.
    #[inline(always)]
    pub(crate) fn access(&self) -> Result<Access<'_>> {
        match self.access_without_lock()? {
            Some(access) => Ok(access),
            None => self.access_with_lock(self.lock()),
        }
    }

    /// Gains access to two rings. Takes their mutexes in the order of their addresses.
    ///
    /// # Errors
    ///
    /// `EEXIST` if another task is the only issuer of a ring, or if both are the same ring.
    pub(crate) fn access_two<'a>(&'a self, other: &'a Self) -> Result<(Access<'a>, Access<'a>)> {
        self.check_submitter()?;
        other.check_submitter()?;
        match ptr::from_ref(self).cmp(&ptr::from_ref(other)) {
            Ordering::Less => {
                let first = self.access()?;
                Ok((first, other.access_second()?))
            }
            Ordering::Greater => {
                let first = other.access()?;
                Ok((self.access_second()?, first))
            }
            Ordering::Equal => Err(EEXIST),
        }
    }

    /// Gains access to the second ring of [`Gate::access_two`].
    fn access_second(&self) -> Result<Access<'_>> {
        match self.access_without_lock()? {
            Some(access) => Ok(access),
            None => self.access_with_lock(self.lock_second()),
        }
    }

    /// Gains access without the mutex, if the ring's submitter elides it.
    ///
    /// # Errors
    ///
    /// `EEXIST` if the caller is another task, or has access.
    // Inlined, as are the functions below, so that the result is not passed in memory.
    #[inline(always)]
    fn access_without_lock(&self) -> Result<Option<Access<'_>>> {
        let Some(submitter) = self.elider() else {
            return Ok(None);
        };
        if !self.is_submitter(submitter) || self.inside.get() {
            return Err(EEXIST);
        }
        self.inside.set(true);
        // INVARIANT: No other `Access` exists:
        // - An `Access` of the submitter would have set `inside`.
        // - An `Access` with the mutex exists only before a submitter is claimed, because the claim
        //   takes the mutex.
        Ok(Some(Access::new(self, None)))
    }

    /// Gains access with the mutex.
    ///
    /// # Errors
    ///
    /// `EEXIST` if another task became the submitter while the caller waited for the mutex.
    #[inline(always)]
    fn access_with_lock<'a>(&'a self, lock: Guard<'a, (), MutexBackend>) -> Result<Access<'a>> {
        if self.elider().is_some() {
            return Err(EEXIST);
        }
        // INVARIANT: The mutex is held, and no submitter elides it: claiming a submitter takes the
        // mutex.
        Ok(Access::new(self, Some(lock)))
    }
}

impl<'a> Access<'a> {
    /// Makes the value. The caller ensures the type invariants.
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
        self.gate.tally.submitted();
    }
}

impl Deref for Access<'_> {
    type Target = Issuer;

    #[inline]
    fn deref(&self) -> &Issuer {
        // SAFETY: No other `Access` to the gate exists (type invariants).
        unsafe { &*self.gate.state.get() }
    }
}

impl DerefMut for Access<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Issuer {
        // SAFETY: No other `Access` to the gate exists (type invariants).
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
