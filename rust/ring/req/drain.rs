// SPDX-License-Identifier: GPL-2.0

//! IOSQE_IO_DRAIN: requests that wait for all earlier requests, and hold up the later ones.
//!
//! A ring counts its live requests: those issued and not completed. From a drained request on, a
//! ring is draining: the drained request and each request behind it go to a list. Whenever no
//! request is alive, the head of the list is issued. If the head is drained, it is issued alone.
//! Otherwise all requests up to the next drained one are issued. A chain is issued as a whole, and
//! each of its requests is counted.
//!
//! As with io_uring, draining ends in one of two cases:
//!
//! * a drained request that is no chain completes, and the list is empty;
//! * a request is submitted while no request is alive.
//!
//! So new requests still go to the list after a drained chain has completed.
//!
//! Locking: only the lock of [`super::pending::Pending`] nests inside the spinlock.

use super::request::{
    Owned,
    Request, //
};
use crate::ring::abi::relaxed;
use kernel::{
    list::{
        List,
        ListArc, //
    },
    new_mutex,
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        Mutex,
        SpinLock, //
    },
    warn_on, //
};

struct State {
    alive: usize,
    /// The live request is a drained one, and no chain.
    single: bool,
    /// A drained request that is no chain completed, and no drained request was issued since.
    ended: bool,
    /// A search moved the waiting chains to its own list. No chain is issued meanwhile.
    searched: bool,
    waiting: List<Request>,
}

/// The state of draining of a ring.
#[pin_data]
pub(crate) struct Drain {
    /// Whether draining is active. Changed under the lock.
    active: Atomic<u32>,
    #[pin]
    state: SpinLock<State>,
    /// Held by a search.
    #[pin]
    search: Mutex<()>,
}

impl Drain {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            active: Atomic::new(0),
            state <- new_spinlock!(State {
                alive: 0,
                single: false,
                ended: false,
                searched: false,
                waiting: List::new(),
            }, "miniring::Drain"),
            search <- new_mutex!((), "miniring::Drain search"),
        })
    }

    /// Returns whether requests that are submitted now have to wait.
    #[inline]
    pub(crate) fn is_active(&self) -> bool {
        relaxed::load(&self.active) != 0
    }

    /// Admits a chain that is submitted. Returns the chain if it may be issued. Otherwise the chain
    /// waits in the list, and a worker issues it.
    pub(crate) fn admit(&self, chain: Owned) -> Option<Owned> {
        let drained = chain.drain.load(Relaxed);
        let mut state = self.state.lock();
        if drained || self.is_active() {
            self.active.store(1, Relaxed);
            if state.alive != 0 || state.searched || !state.waiting.is_empty() {
                let Ok(entry) = ListArc::try_from_arc(chain.into_arc()) else {
                    return None;
                };
                state.waiting.push_back(entry);
                return None;
            }
            self.active.store(drained.into(), Relaxed);
        }
        state.issue(&chain);
        Some(chain)
    }

    /// Counts a chain that the submitter completes at once.
    pub(crate) fn pass(&self, chain: &Owned) {
        self.state.lock().alive += chain.links.load(Relaxed);
    }

    /// Uncounts a request that completed, and issues the waiting chains that may be issued now.
    pub(crate) fn done(&self) {
        {
            let mut state = self.state.lock();
            warn_on!(state.alive == 0);
            state.alive = state.alive.saturating_sub(1);
            if state.alive != 0 {
                return;
            }
            state.ended = core::mem::take(&mut state.single);
            if !state.ended && state.waiting.is_empty() {
                return;
            }
        }
        self.issue_next();
    }

    fn issue_next(&self) {
        let mut alone = true;
        while let Some(owned) = self.next(&mut alone) {
            owned.issue_later();
        }
    }

    /// Takes out the next chain, if the chain may be issued. `alone`: only if no request is alive.
    ///
    /// Adds the chain to the requests in flight under the lock: a search finds it in the list or
    /// there.
    fn next(&self, alone: &mut bool) -> Option<Owned> {
        let mut state = self.state.lock();
        let mut next = state.next(alone);
        if let Some(owned) = &mut next {
            owned.add_to_pending();
        } else if !state.searched && core::mem::take(&mut state.ended) && state.waiting.is_empty() {
            // A search calls this again after it has restored the list.
            self.active.store(0, Relaxed);
        }
        next
    }

    /// Takes out the waiting chains for which `wanted` is true, and calls `fail` for each of them.
    /// May sleep.
    ///
    /// Calls `wanted` without the spinlock, which disables preemption.
    pub(crate) fn fail_those(&self, wanted: impl Fn(&Request) -> bool, fail: impl Fn(Owned)) {
        let search = self.search.lock();
        let mut waiting = {
            let mut state = self.state.lock();
            if state.waiting.is_empty() {
                return;
            }
            state.searched = true;
            core::mem::replace(&mut state.waiting, List::new())
        };
        let (mut kept, mut taken) = (List::new(), List::new());
        let mut links = 0;
        while let Some(entry) = waiting.pop_front() {
            if wanted(&entry) {
                links += entry.links.load(Relaxed);
                taken.push_back(entry);
            } else {
                kept.push_back(entry);
            }
        }
        {
            let mut state = self.state.lock();
            // Count the requests that were taken out, because they complete like live requests.
            state.alive += links;
            kept.push_all_back(&mut state.waiting);
            state.waiting = kept;
            state.searched = false;
        }
        drop(search);
        while let Some(entry) = taken.pop_front() {
            // SAFETY: Only `admit` puts requests in the list, and gives up the ownership.
            fail(unsafe { Owned::assume(entry.into_arc()) });
        }
        self.issue_next();
    }
}

impl State {
    /// Counts a chain that is issued.
    fn issue(&mut self, chain: &Request) {
        let (drained, links) = (chain.drain.load(Relaxed), chain.links.load(Relaxed));
        self.alive += links;
        self.single = drained && links == 1;
        self.ended &= !drained;
    }

    /// Takes out the first waiting chain, if it may be issued. Sets `alone` for the next call if
    /// this chain is drained.
    fn next(&mut self, alone: &mut bool) -> Option<Owned> {
        if self.searched {
            return None;
        }
        let entry = self.waiting.pop_front()?;
        let drained = entry.drain.load(Relaxed);
        if (drained || *alone) && self.alive != 0 {
            self.waiting.push_front(entry);
            return None;
        }
        *alone = drained;
        self.issue(&entry);
        // SAFETY: Only `admit` puts requests in the list, and gives up the ownership.
        Some(unsafe { Owned::assume(entry.into_arc()) })
    }
}
