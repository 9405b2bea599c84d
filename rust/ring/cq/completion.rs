// SPDX-License-Identifier: GPL-2.0

//! The completion queue: posts CQEs, and keeps CQEs that do not fit.
//!
//! Owns the CQ tail and the overflow list.
//!
//! Locking: the spinlock is a leaf, and is taken in process context only. No task is woken and no
//! eventfd is signalled under the spinlock.

use crate::{
    bindings,
    dyn_debug,
    pure::geometry,
    ring::abi::{
        shared::{
            Cqe,
            Shared, //
        },
        trace, //
    }, //
};
use kernel::{
    list::{
        impl_list_arc_safe,
        impl_list_item,
        List,
        ListArc,
        ListLinks, //
    },
    new_spinlock,
    pr_warn_once,
    prelude::*,
    sync::{
        atomic::{
            ordering::{
                Acquire,
                Relaxed,
                Release, //
            },
            Atomic,
            AtomicFlag, //
        },
        SpinLock,
        UniqueArc, //
    }, //
};

/// A completion without room in the CQ. The poster provides the entry, so that no completion is
/// lost without memory.
#[pin_data]
pub(crate) struct Overflow {
    cqe: Cqe,
    #[pin]
    links: ListLinks,
}

impl_list_arc_safe! {
    impl ListArcSafe<0> for Overflow { untracked; }
}
impl_list_item! {
    impl ListItem<0> for Overflow { using ListLinks { self.links }; }
}

/// Memory for one completion that finds the CQ full.
pub(crate) struct Entry(Pin<UniqueArc<Overflow>>);

impl Entry {
    /// Allocates an entry. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(UniqueArc::pin_init(
            pin_init!(Overflow {
                cqe: Cqe::default(),
                links <- ListLinks::new(),
            }),
            GFP_KERNEL_ACCOUNT,
        )?))
    }

    fn fill(mut self, cqe: Cqe) -> ListArc<Overflow> {
        *self.0.as_mut().project().cqe = cqe;
        ListArc::from(self.0)
    }
}

/// A stock of overflow entries.
pub(crate) struct Spare(KVec<Entry>);

impl Spare {
    /// Makes an empty stock with room for `len` entries.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn with_capacity(len: usize) -> Result<Self> {
        Ok(Self(KVec::with_capacity(len, GFP_KERNEL_ACCOUNT)?))
    }

    /// Fills the stock. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`. Entries that were allocated stay in the stock.
    #[inline]
    pub(crate) fn refill(&mut self) -> Result {
        while self.0.len() < self.0.capacity() {
            self.0.push(Entry::new()?, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(())
    }

    /// Returns the number of entries.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds an entry, if there is room in the stock.
    pub(crate) fn put(&mut self, entry: Entry) {
        // An entry beyond the capacity is freed.
        let _ = self.0.push_within_capacity(entry);
    }
}

/// Maximal number of kept completions that are moved while the lock is held.
const FLUSH: usize = 32;

/// The kind of a CQE's request.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Of {
    /// A timeout that was started. Its CQE ends a wait, but does not count for timeouts that wait
    /// for completions.
    Timeout,
    /// Any other request.
    Other,
}

impl Of {
    fn timeouts(self) -> u64 {
        (self == Self::Timeout).into()
    }
}

/// A number of CQEs published since the ring was made. Its low half is the CQ tail.
pub(crate) type Published = u64;

/// State under the spinlock.
struct State {
    published: Published,
    /// Number of CQEs of timeouts that were posted, published or not.
    timeouts: u64,
    /// End of the room in the CQ at the last load of the CQ head.
    limit: u32,
    /// CQEs that did not fit, in the order of posting.
    overflow: List<Overflow>,
}

/// The completion queue of a ring.
#[pin_data]
pub(crate) struct Completion {
    #[pin]
    state: SpinLock<State>,
    /// `state.published`, for readers without the lock.
    published: Atomic<Published>,
    /// `state.timeouts`, for readers without the lock.
    timeouts: Atomic<u64>,
    /// `state.overflow` has entries, for readers without the lock.
    overflowed: AtomicFlag,
}

impl Completion {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            state <- new_spinlock!(State {
                published: 0,
                timeouts: 0,
                limit: 0,
                overflow: List::new(),
            }, "miniring::Completion"),
            published: Atomic::new(0),
            timeouts: Atomic::new(0),
            overflowed: AtomicFlag::new(false),
        })
    }

    /// Returns the number of published CQEs. Their contents are visible to the caller.
    #[inline]
    pub(crate) fn published(&self) -> Published {
        self.published.load(Acquire)
    }

    /// Returns the CQ tail. The contents of the CQEs before it are visible to the caller.
    #[inline]
    pub(crate) fn tail(&self) -> u32 {
        self.published() as u32
    }

    /// Returns the number of posted CQEs of timeouts. The published CQEs are visible to the caller.
    pub(crate) fn timeouts(&self) -> u64 {
        self.timeouts.load(Acquire)
    }

    /// Returns the number of published CQEs that count for timeouts: the CQEs of other requests.
    /// The number is negative while CQEs of timeouts wait for room, as in io_uring.
    ///
    /// Context: process.
    pub(crate) fn counted(&self) -> i64 {
        let state = self.state.lock();
        state.published.wrapping_sub(state.timeouts) as i64
    }

    /// Returns whether completions wait for room.
    #[inline]
    pub(crate) fn overflowed(&self) -> bool {
        self.overflowed.load(Relaxed)
    }

    /// Posts `cqes`, in order. `timeouts` is the number of CQEs of timeouts. CQEs that do not fit
    /// are kept in entries of `spare`, which has an entry for each CQE.
    ///
    /// Returns the number of published CQEs, if this call published any. Context: process.
    #[inline(always)]
    pub(crate) fn post(
        &self,
        shared: &Shared,
        cqes: &[Cqe],
        timeouts: u64,
        spare: &mut Spare,
    ) -> Option<Published> {
        self.post_with(shared, cqes, timeouts, || spare.0.pop())
    }

    /// Posts one CQE, as [`Completion::post`], and keeps the CQE in `entry` if it does not fit.
    pub(crate) fn post_one(
        &self,
        shared: &Shared,
        cqe: Cqe,
        of: Of,
        entry: Entry,
    ) -> Option<Published> {
        let mut entry = Some(entry);
        self.post_with(shared, &[cqe], of.timeouts(), || entry.take())
    }

    /// Posts one CQE and returns the number of published CQEs, if the CQE fits. Context: process.
    pub(crate) fn try_post(&self, shared: &Shared, cqe: Cqe, of: Of) -> Option<Published> {
        let mut state = self.state.lock();
        if !state.overflow.is_empty() || !state.room(shared) {
            return None;
        }
        let before = state.published;
        state.timeouts = state.timeouts.wrapping_add(of.timeouts());
        state.push(shared, cqe);
        let published = self.publish(&state, shared, before);
        self.count_timeouts(&state, of.timeouts());
        published
    }

    #[inline(always)]
    fn post_with(
        &self,
        shared: &Shared,
        cqes: &[Cqe],
        timeouts: u64,
        mut spare: impl FnMut() -> Option<Entry>,
    ) -> Option<Published> {
        let mut state = self.state.lock();
        let mut cqes = cqes.iter();
        let before = state.published;
        state.timeouts = state.timeouts.wrapping_add(timeouts);
        let mut overflows = false;
        if state.overflow.is_empty() {
            while state.room(shared) {
                let Some(cqe) = cqes.next() else { break };
                state.push(shared, *cqe);
            }
        }
        for cqe in cqes {
            let Some(entry) = spare() else {
                // Callers keep enough entries: see `Spare::refill`.
                pr_warn_once!("a completion was posted without an overflow entry\n");
                break;
            };
            if state.overflow.is_empty() {
                overflows = true;
                self.overflowed.store(true, Relaxed);
                shared.raise_sq_flags(bindings::IORING_SQ_CQ_OVERFLOW);
            }
            trace::cqe_overflow(shared, cqe);
            state.overflow.push_back(entry.fill(*cqe));
        }
        let published = self.publish(&state, shared, before);
        self.count_timeouts(&state, timeouts);
        drop(state);
        if overflows {
            dyn_debug!(post_with, "the CQ is full: completions are kept\n");
        }
        published
    }

    /// Moves kept completions into the CQ, at most [`FLUSH`], because the lock disables preemption.
    /// Returns the number of published CQEs, if this call published any. Context: process.
    pub(crate) fn flush(&self, shared: &Shared) -> Option<Published> {
        let mut moved = [const { None }; FLUSH];
        let mut state = self.state.lock();
        let before = state.published;
        for slot in &mut moved {
            if state.overflow.is_empty() || !state.room(shared) {
                break;
            }
            let Some(entry) = state.overflow.pop_front() else {
                break;
            };
            state.push(shared, entry.cqe);
            // Freed after the lock is dropped.
            *slot = Some(entry);
        }
        if state.published != before && state.overflow.is_empty() {
            self.overflowed.store(false, Relaxed);
            shared.lower_sq_flags(bindings::IORING_SQ_CQ_OVERFLOW);
        }
        self.publish(&state, shared, before)
    }

    /// Publishes the CQEs behind the first `before` CQEs.
    #[inline]
    fn publish(&self, state: &State, shared: &Shared, before: Published) -> Option<Published> {
        let published = state.published != before;
        if published {
            shared.publish_cq_tail(state.published as u32);
            self.published.store(state.published, Release);
        }
        published.then_some(state.published)
    }

    /// Counts `timeouts` more CQEs of timeouts, for readers without the lock. Called after
    /// [`Completion::publish`], so that a waiter that sees the count finds the CQEs published.
    #[inline]
    fn count_timeouts(&self, state: &State, timeouts: u64) {
        if timeouts != 0 {
            self.timeouts.store(state.timeouts, Release);
        }
    }

    /// Copies the first completions that wait for room to `first`, in order. Returns their number,
    /// and whether there are more. The length of `first` bounds the time that the lock is held.
    pub(crate) fn first_overflow(&self, first: &mut [Cqe]) -> (usize, bool) {
        let state = self.state.lock();
        let mut nr = 0;
        for entry in &state.overflow {
            let Some(slot) = first.get_mut(nr) else {
                return (nr, true);
            };
            *slot = entry.cqe;
            nr += 1;
        }
        (nr, false)
    }
}

impl State {
    /// Returns whether the CQ has room. Loads the CQ head only if the last loaded head leaves no
    /// room.
    #[inline]
    fn room(&mut self, shared: &Shared) -> bool {
        let tail = self.published as u32;
        if tail == self.limit {
            let entries = shared.geometry().cq_entries();
            let free = geometry::cq_free(tail, shared.cq_head(), entries);
            self.limit = tail.wrapping_add(free);
        }
        tail != self.limit
    }

    #[inline]
    fn push(&mut self, shared: &Shared, cqe: Cqe) {
        trace::complete(shared, &cqe);
        shared.write_cqe(self.published as u32, cqe);
        self.published = self.published.wrapping_add(1);
    }
}

#[kunit_tests(miniring_ring)]
mod tests {
    use super::*;
    use crate::pure::geometry::Geometry;

    /// Makes a CQ of four entries.
    fn shared() -> Result<Shared> {
        let geometry = Geometry::new(2, Some(4), false).map_err(|_| EINVAL)?;
        Shared::new(geometry)
    }

    fn completion() -> Result<Pin<KBox<Completion>>> {
        KBox::pin_init(Completion::new(), GFP_KERNEL)
    }

    fn spare(len: usize) -> Result<Spare> {
        let mut spare = Spare::with_capacity(len)?;
        spare.refill()?;
        Ok(spare)
    }

    fn cqes<const N: usize>(first: u64) -> [Cqe; N] {
        core::array::from_fn(|i| Cqe {
            user_data: first + i as u64,
            ..Cqe::default()
        })
    }

    fn overflow(completion: &Completion) -> u64 {
        let mut first = [Cqe::default(); 16];
        completion.first_overflow(&mut first);
        first.iter().map(|cqe| cqe.user_data).sum()
    }

    #[test]
    fn cqe_that_fits_is_published() -> Result {
        let (shared, completion, mut spare) = (shared()?, completion()?, spare(4)?);
        let published = completion.post(&shared, &cqes::<3>(1), 0, &mut spare);
        assert!(published == Some(3));
        assert_eq!(shared.indices().3, 3);
        assert!(!completion.overflowed());
        Ok(())
    }

    #[test]
    fn cqe_that_does_not_fit_is_kept_until_there_is_room() -> Result {
        let (shared, completion, mut spare) = (shared()?, completion()?, spare(8)?);
        let published = completion.post(&shared, &cqes::<6>(1), 0, &mut spare);
        assert!(published == Some(4));
        assert!(completion.overflowed());
        assert_eq!(overflow(&completion), 5 + 6);
        // The CQ is still full.
        assert!(completion.flush(&shared).is_none());
        // A new completion waits behind the kept completions, even if it would fit.
        shared.set_cq_head(3);
        assert!(completion
            .post(&shared, &cqes::<1>(7), 0, &mut spare)
            .is_none());
        assert!(completion.flush(&shared) == Some(7));
        assert!(!completion.overflowed());
        assert_eq!(overflow(&completion), 0);
        Ok(())
    }

    #[test]
    fn impossible_cq_head_leaves_no_room() -> Result {
        let (shared, completion, mut spare) = (shared()?, completion()?, spare(4)?);
        shared.set_cq_head(1);
        assert!(completion
            .post(&shared, &cqes::<1>(1), 0, &mut spare)
            .is_none());
        assert!(completion.overflowed());
        shared.set_cq_head(0);
        assert!(completion.flush(&shared) == Some(1));
        Ok(())
    }

    #[test]
    fn kept_cqes_are_freed_with_the_ring() -> Result {
        // kmemleak and KASAN report a leak or a use after free.
        let (shared, completion, mut spare) = (shared()?, completion()?, spare(8)?);
        completion.post(&shared, &cqes::<8>(1), 0, &mut spare);
        assert_eq!(overflow(&completion), 5 + 6 + 7 + 8);
        Ok(())
    }

    #[test]
    fn every_index_stays_inside_the_mappings() -> Result {
        // KASAN reports an access outside. Each slot has different values, which show a wrong index
        // and overlapping slots.
        let shared = shared()?;
        let geometry = shared.geometry();
        let (sq_entries, cq_entries) = (geometry.sq_entries(), geometry.cq_entries());
        let cqe = |value: u32| Cqe {
            user_data: 0x1_0000_0000 + u64::from(value),
            res: -1 - value as i32,
            flags: 0x2000 + value,
        };
        let whole = |cqe: Cqe| (cqe.user_data, cqe.res, cqe.flags);
        for slot in 0..sq_entries {
            shared.set_sq_index(slot, 0x3000 + slot)?;
            shared.set_sqe(
                slot,
                core::array::from_fn(|i| u64::from(slot) * 8 + i as u64 + 1),
            );
        }
        for slot in 0..cq_entries {
            shared.write_cqe(slot, cqe(slot));
        }
        for index in [0, 1, 2, 3, 4, 7, 1 << 31, u32::MAX - 1, u32::MAX] {
            let slot = index % sq_entries;
            assert_eq!(shared.sq_index(index), 0x3000 + slot);
            let sqe = shared.copy_sqe(index);
            let first = u64::from(slot) * 8 + 1;
            assert_eq!(u64::from(sqe.opcode), first);
            assert_eq!(sqe.user_data, first + 4);
            assert_eq!(sqe.pad, first + 7);
            assert_eq!(whole(shared.cqe(index)), whole(cqe(index % cq_entries)));
        }
        // A write at an index changes its slot, and not the slot beside it.
        for (value, index) in (100..).zip([4, 5, 7, 1 << 31, u32::MAX - 1, u32::MAX]) {
            let slot = index % cq_entries;
            let beside = (slot + 1) % cq_entries;
            let before = shared.cqe(beside);
            shared.write_cqe(index, cqe(value));
            assert_eq!(whole(shared.cqe(slot)), whole(cqe(value)));
            assert_eq!(whole(shared.cqe(beside)), whole(before));
        }
        // No write reached the words before the CQEs.
        assert_eq!(shared.indices(), (0, 0, 0, 0));
        Ok(())
    }
}
