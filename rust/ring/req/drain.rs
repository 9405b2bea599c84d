// SPDX-License-Identifier: GPL-2.0

//! IOSQE_IO_DRAIN: requests that wait until all before them are done, and hold up those behind.
//!
//! Counts the requests that are alive. A drained request, and everything behind it, is kept in a
//! list until there is none. Then the first of the list goes, and with it what is behind it up to
//! the next drained one; a drained one goes alone. A chain of links counts as its requests, and
//! goes as one.
//!
//! As with io_uring, draining ends when a drained request that is no chain completes and none waits,
//! or when a request is submitted while none is alive. Until then each request waits for those
//! before it, also behind a drained chain that is done.
//!
//! Under the lock only that of [`super::pending::Pending`] is taken.

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
    new_spinlock_irq,
    prelude::*,
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        Mutex,
        SpinLockIrq, //
    },
    warn_on, //
};

struct State {
    alive: usize,
    /// The request that is alive is a drained one, and no chain.
    single: bool,
    /// A request of that kind was completed, and no drained one was issued since.
    ended: bool,
    /// A search has what waited before in a list of its own: nothing passes.
    searched: bool,
    waiting: List<Request>,
}

/// What a ring knows of drained requests.
#[pin_data]
pub(crate) struct Drain {
    /// Draining goes on. Changed under the lock.
    active: Atomic<u32>,
    #[pin]
    state: SpinLockIrq<State>,
    /// Held by a search.
    #[pin]
    search: Mutex<()>,
}

impl Drain {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            active: Atomic::new(0),
            state <- new_spinlock_irq!(State {
                alive: 0,
                single: false,
                ended: false,
                searched: false,
                waiting: List::new(),
            }, "miniring::Drain"),
            search <- new_mutex!((), "miniring::Drain search"),
        })
    }

    /// Whether requests that are submitted now have to wait.
    #[inline]
    pub(crate) fn is_active(&self) -> bool {
        relaxed::load(&self.active) != 0
    }

    /// A chain is submitted. Returns it if it may be issued; else it waits here, and goes by way of
    /// a workqueue.
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

    /// A chain is submitted that is completed at once.
    pub(crate) fn pass(&self, chain: &Owned) {
        self.state.lock().alive += chain.links.load(Relaxed);
    }

    /// A request that was alive was completed.
    pub(crate) fn done(&self) {
        {
            let mut state = self.state.lock();
            warn_on!(state.alive == 0);
            state.alive = state.alive.saturating_sub(1);
            if state.alive != 0 {
                return;
            }
            state.ended = core::mem::take(&mut state.single);
        }
        self.issue_next();
    }

    fn issue_next(&self) {
        let mut alone = true;
        while let Some(owned) = self.next(&mut alone) {
            owned.issue_later();
        }
    }

    /// The next chain, if it may go. It is among the requests in flight then: a search finds it here
    /// or there. `alone`: it goes only if no request is alive.
    fn next(&self, alone: &mut bool) -> Option<Owned> {
        let mut state = self.state.lock();
        let mut next = state.next(alone);
        if let Some(owned) = &mut next {
            owned.add_to_pending();
        } else if !state.searched && core::mem::take(&mut state.ended) && state.waiting.is_empty() {
            // A search calls this again, once what waits is back in its list.
            self.active.store(0, Relaxed);
        }
        next
    }

    /// Takes out the chains that wait and that `wanted` is true of, and has `fail` fail each. Looks at
    /// them without the spinlock, which disables interrupts. May sleep.
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
            // The requests that are taken are completed like those that were alive.
            state.alive += links;
            kept.push_all_back(&mut state.waiting);
            state.waiting = kept;
            state.searched = false;
        }
        drop(search);
        while let Some(entry) = taken.pop_front() {
            // SAFETY: Only `admit` puts requests in the list, giving up its ownership.
            fail(unsafe { Owned::assume(entry.into_arc()) });
        }
        self.issue_next();
    }
}

impl State {
    /// A chain goes.
    fn issue(&mut self, chain: &Request) {
        let (drained, links) = (chain.drain.load(Relaxed), chain.links.load(Relaxed));
        self.alive += links;
        self.single = drained && links == 1;
        self.ended &= !drained;
    }

    /// Takes out the first chain that waits, if it may go. The next one has to be `alone` if this
    /// one is drained.
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
        // SAFETY: Only `admit` puts requests in the list, giving up its ownership.
        Some(unsafe { Owned::assume(entry.into_arc()) })
    }
}
