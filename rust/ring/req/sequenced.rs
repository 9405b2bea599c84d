// SPDX-License-Identifier: GPL-2.0

//! Timeouts that wait for a number of completions.

use super::{
    core::Core,
    request::{
        Owned,
        Request, //
    },
    timer::NEVER, //
};
use crate::{
    pure::ownership::Claim,
    ring::abi::relaxed, //
};
use kernel::{
    new_spinlock,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNodeReservation, //
    },
    sync::{
        atomic::{
            ordering::{
                Acquire,
                Full,
                Relaxed,
                Release, //
            },
            Atomic, //
        },
        Arc,
        SpinLock, //
    }, //
};

/// The position of a timeout in the order in which timeouts are due.
pub(crate) type Place = (i64, u64);

/// Memory for a timeout that waits for completions.
pub(crate) type Room = RBTreeNodeReservation<Place, Arc<Request>>;

/// The timeouts of a ring that wait for a number of completions.
///
/// Locking: the spinlock is a leaf.
#[pin_data]
pub(crate) struct Sequenced {
    /// Number of timeouts in `waiting`.
    len: Atomic<usize>,
    /// Number of timeouts completed without a CQE.
    silent: Atomic<u64>,
    #[pin]
    waiting: SpinLock<Waiting>,
}

struct Waiting {
    /// The number of the last timeout that was added.
    nr: u64,
    /// Sorted by the CQE count at which a timeout is due, and then by the order in which timeouts
    /// were added.
    tree: RBTree<Place, Arc<Request>>,
}

impl Sequenced {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            len: Atomic::new(0),
            silent: Atomic::new(0),
            waiting <- new_spinlock!(Waiting {
                nr: 0,
                tree: RBTree::new(),
            }, "miniring::Sequenced"),
        })
    }

    /// Notes that a timeout was completed without a CQE. The caller wakes waiters.
    pub(crate) fn add_silent(&self) {
        self.silent.fetch_add(1, Release);
    }

    /// Returns the number of timeouts completed without a CQE.
    pub(crate) fn silent(&self) -> u64 {
        self.silent.load(Acquire)
    }

    /// Makes a timeout due after `count` more completions.
    pub(crate) fn add(owned: &Owned, count: u32, room: Room) {
        let this = &owned.ring.sequenced;
        let counted = owned.ring.completion.counted();
        let due = counted.wrapping_add(count.into());
        let mut waiting = this.waiting.lock();
        waiting.nr += 1;
        let place = (due, waiting.nr);
        owned.timer.due.store(due, Relaxed);
        owned.timer.nr.store(place.1, Relaxed);
        waiting.tree.insert(room.into_node(place, owned.to_arc()));
        // A poster that reads the old number published its CQE before `release` reads the count of
        // CQEs.
        this.len.fetch_add(1, Full);
    }

    /// Removes a timeout, which then waits for its time only.
    pub(crate) fn remove(request: &Request) {
        let due = request.timer.due.load(Relaxed);
        if due == NEVER {
            return;
        }
        let this = &request.ring.sequenced;
        let place = (due, request.timer.nr.load(Relaxed));
        request.timer.due.store(NEVER, Relaxed);
        let node = this.waiting.lock().tree.remove_node(&place);
        if node.is_some() {
            this.len.fetch_sub(1, Relaxed);
        }
    }

    /// Takes out a timeout that is due, and gains its ownership. Skips a timeout that has an owner,
    /// which removes the timeout itself.
    fn take(&self, counted: i64) -> Option<Owned> {
        let mut waiting = self.waiting.lock();
        let mut cursor = waiting.tree.cursor_front_mut()?;
        loop {
            let (place, request) = cursor.current();
            if place.0 > counted {
                return None;
            }
            if request.ownership.try_claim() == Claim::Gained {
                break;
            }
            cursor = cursor.move_next()?;
        }
        let (_, node) = cursor.remove_current();
        self.len.fetch_sub(1, Relaxed);
        drop(waiting);
        let (_, request) = node.to_key_value();
        request.timer.due.store(NEVER, Relaxed);
        // SAFETY: The ownership was gained above.
        Some(unsafe { Owned::assume(request) })
    }

    /// Completes the timeouts that are due, after CQEs were posted.
    #[inline]
    pub(crate) fn flush(&self, ring: &Core) {
        if relaxed::load(&self.len) != 0 {
            self.complete(ring);
        }
    }

    fn complete(&self, ring: &Core) {
        while let Some(owned) = self.take(ring.completion.counted()) {
            // A timer that is expiring finds the request completed.
            let _ = owned.timer.try_stop();
            owned.due();
        }
    }
}
