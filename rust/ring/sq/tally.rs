// SPDX-License-Identifier: GPL-2.0

//! Counts of a ring's calls that submit, and of how often its mutex was taken.
//!
//! Both counts are exact, and cost an addition: the holder of the issuer state counts.

use super::gate::Access;
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

    /// Returns how many calls submitted.
    pub(crate) fn submits(&self) -> u64 {
        self.submits.load(Relaxed)
    }

    /// Returns how often the ring's mutex was taken.
    pub(crate) fn locks(&self) -> u64 {
        self.locks.load(Relaxed)
    }

    /// Counts that the ring's mutex, which `_lock` holds, was taken.
    #[inline]
    pub(crate) fn locked(&self, _lock: &Guard<'_, (), MutexBackend>) {
        add_one(&self.locks);
    }

    /// Counts a submission by who has `_access`.
    #[inline]
    pub(crate) fn submitted(&self, _access: &Access<'_>) {
        add_one(&self.submits);
    }
}

/// Adds to a count that nobody else writes meanwhile.
#[inline]
fn add_one(count: &Atomic<u64>) {
    relaxed::store(count, relaxed::load(count).wrapping_add(1));
}
