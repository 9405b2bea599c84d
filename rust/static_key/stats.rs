// SPDX-License-Identifier: GPL-2.0

//! Counters of the queue and its applies, since the module was loaded.

use kernel::sync::atomic::{
    Atomic,
    Relaxed, //
};

/// The counters.
pub(crate) static STATS: Stats = Stats {
    applies: Counter::new(),
    batches: Counter::new(),
    keys: Counter::new(),
    entries: Counter::new(),
    coalesced: Counter::new(),
    dropped: Counter::new(),
    refused: Counter::new(),
    immediate: Counter::new(),
    nanoseconds: Counter::new(),
};

/// A counter that only grows.
pub(crate) struct Counter(Atomic<i64>);

impl Counter {
    const fn new() -> Self {
        Self(Atomic::new(0))
    }

    pub(super) fn add(&self, n: usize) {
        self.0.add(n as i64, Relaxed);
    }

    fn get(&self) -> i64 {
        self.0.load(Relaxed)
    }
}

/// The counters; [`Snapshot`] has their meaning.
pub(crate) struct Stats {
    pub(super) applies: Counter,
    pub(super) batches: Counter,
    pub(super) keys: Counter,
    pub(super) entries: Counter,
    pub(super) coalesced: Counter,
    pub(super) dropped: Counter,
    pub(super) refused: Counter,
    pub(super) immediate: Counter,
    pub(super) nanoseconds: Counter,
}

/// The values of the counters.
pub(crate) struct Snapshot {
    /// Applies that found a request in the queue.
    pub(crate) applies: i64,
    /// Groups of jump entries patched with one series of synchronisations.
    pub(crate) batches: i64,
    /// Keys changed, in batches or one at a time.
    pub(crate) keys: i64,
    /// Jump entries patched in batches.
    pub(crate) entries: i64,
    /// Requests that a later request for the same key replaced.
    pub(crate) coalesced: i64,
    /// Requests dropped from the queue, mostly because the module of their key was unloaded.
    pub(crate) dropped: i64,
    /// Requests whose key was reference counted by the time of the apply.
    pub(crate) refused: i64,
    /// Keys changed one at a time by the kernel's own function.
    pub(crate) immediate: i64,
    /// Total duration of the applies.
    pub(crate) nanoseconds: i64,
}

impl Stats {
    /// Reads the counters one after the other, so the values may not belong together.
    pub(crate) fn snapshot(&self) -> Snapshot {
        Snapshot {
            applies: self.applies.get(),
            batches: self.batches.get(),
            keys: self.keys.get(),
            entries: self.entries.get(),
            coalesced: self.coalesced.get(),
            dropped: self.dropped.get(),
            refused: self.refused.get(),
            immediate: self.immediate.get(),
            nanoseconds: self.nanoseconds.get(),
        }
    }
}
