// SPDX-License-Identifier: GPL-2.0

//! Counts the submitting calls of a ring, and the acquisitions of its mutex.
//!
//! Both counts are exact. The holder of the issuer state counts, so counting costs one addition.

use crate::ring::abi::relaxed;
use kernel::sync::{
    atomic::{
        ordering::Relaxed,
        Atomic, //
    },
    lock::{
        mutex::MutexBackend,
        Guard, //
    }, //
};

/// The counts of a ring.
pub(crate) struct Tally {
    submits: Atomic<u64>,
    locks: Atomic<u64>,
}

impl Tally {
    pub(crate) fn new() -> Self {
        Self {
            submits: Atomic::new(0),
            locks: Atomic::new(0),
        }
    }

    /// Returns the number of calls that submitted.
    pub(crate) fn submits(&self) -> u64 {
        self.submits.load(Relaxed)
    }

    /// Returns the number of acquisitions of the ring's mutex.
    pub(crate) fn locks(&self) -> u64 {
        self.locks.load(Relaxed)
    }

    /// Counts an acquisition of the ring's mutex. `_lock` proves that the caller holds the mutex.
    #[inline]
    pub(crate) fn locked(&self, _lock: &Guard<'_, (), MutexBackend>) {
        add_one(&self.locks);
    }

    /// Counts a submission. The caller has an [`Access`](super::gate::Access).
    #[inline]
    pub(super) fn submitted(&self) {
        add_one(&self.submits);
    }
}

/// Adds 1 to a count that no other task writes meanwhile.
#[inline]
fn add_one(count: &Atomic<u64>) {
    relaxed::store(count, relaxed::load(count).wrapping_add(1));
}
