// SPDX-License-Identifier: GPL-2.0

//! The requests of a ring that are in flight, to be found for cancellation.
//!
//! The lock is a leaf.

use super::request::{
    Owned,
    Request, //
};
use core::cell::Cell;
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
        Arc,
        Mutex,
        MutexGuard,
        SpinLockIrq, //
    }, //
};

const BUCKETS: usize = 64;

struct Table {
    /// By user data.
    buckets: [List<Request>; BUCKETS],
    /// The ring goes: what is added is to be cancelled.
    closed: bool,
    /// The number of the last search.
    round: u64,
    /// A search is under way.
    searching: bool,
    /// A request was added since the search last began at the first bucket.
    added: bool,
}

/// The requests that are in flight.
#[pin_data]
pub(crate) struct Pending {
    /// How many there are. Changed with the lock held.
    len: Atomic<usize>,
    #[pin]
    table: SpinLockIrq<Table>,
    /// Held by who searches.
    #[pin]
    search: Mutex<()>,
}

/// One pass over the table that returns each request at most once. Searches are serialised: a
/// request stores only the number of the last one.
///
/// While it is under way, requests that it has passed are at the end of their bucket's list, and
/// what is added goes to the front. So it finds the others by looking at the front only.
pub(crate) struct Round<'a> {
    pending: &'a Pending,
    nr: u64,
    /// The bucket that it is in.
    bucket: Cell<usize>,
    restarts: Cell<usize>,
    _alone: MutexGuard<'a, ()>,
}

/// How often a search begins again because something was added. A thread that adds without end
/// must not keep another in its search; what it adds meanwhile may be missed.
const RESTARTS: usize = 8;

/// How many requests a search passes with the lock held once, which disables interrupts.
const CHUNK: usize = 64;

fn bucket(user_data: u64) -> usize {
    // What programs use: small numbers, and addresses.
    let hash = user_data.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
    hash as usize % BUCKETS
}

impl Table {
    /// Adds a request, to be cancelled if the ring goes.
    fn admit(&mut self, request: ListArc<Request>) {
        if self.closed {
            request.ownership.cancel();
        }
        self.add(request);
    }

    fn add(&mut self, request: ListArc<Request>) {
        let index = bucket(request.user_data.load(Relaxed));
        request.bucket.store(index, Relaxed);
        let Some(list) = self.buckets.get_mut(index) else {
            return;
        };
        if self.searching {
            self.added = true;
            request.round.store(0, Relaxed);
            list.push_front(request);
        } else {
            list.push_back(request);
        }
    }

    /// Passes up to [`CHUNK`] requests from `bucket` on, which becomes where to continue. Returns
    /// the first that `wanted` is true of.
    fn pass(
        &mut self,
        nr: u64,
        bucket: &mut usize,
        end: usize,
        wanted: impl Fn(&Request) -> bool,
    ) -> Option<Arc<Request>> {
        for _ in 0..CHUNK {
            if *bucket >= end {
                return None;
            }
            let list = self.buckets.get_mut(*bucket)?;
            let Some(entry) = list.pop_front() else {
                *bucket += 1;
                continue;
            };
            if entry.round.load(Relaxed) == nr {
                list.push_front(entry);
                *bucket += 1;
                continue;
            }
            entry.round.store(nr, Relaxed);
            let found =
                (wanted(&entry) && !entry.ownership.is_finished()).then(|| entry.clone_arc());
            list.push_back(entry);
            if found.is_some() {
                return found;
            }
        }
        None
    }

    fn take(&mut self, request: &Request) -> Option<ListArc<Request>> {
        let list = self.buckets.get_mut(request.bucket.load(Relaxed))?;
        // SAFETY:
        // - The table is that of the request's own ring: only the methods of `Owned` below call
        //   this, and `admit`.
        // - The bucket is the one that it was added to last, under the lock.
        // - Its owner keeps it from other lists that use these links while it is here.
        unsafe { list.remove(request) }
    }
}

impl Pending {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            len: Atomic::new(0),
            table <- new_spinlock_irq!(Table {
                buckets: core::array::from_fn(|_| List::new()),
                closed: false,
                round: 0,
                searching: false,
                added: false,
            }, "miniring::Pending"),
            search <- new_mutex!((), "miniring::Pending search"),
        })
    }

    /// Whether there is none at this moment.
    pub(crate) fn is_empty(&self) -> bool {
        self.len.load(Relaxed) == 0
    }

    /// Begins a search, when no other is under way. May sleep.
    pub(crate) fn round(&self) -> Round<'_> {
        let alone = self.search.lock();
        let mut table = self.table.lock();
        // A request that no search found has 0.
        table.round += 1;
        table.searching = true;
        Round {
            pending: self,
            nr: table.round,
            bucket: Cell::new(0),
            restarts: Cell::new(RESTARTS),
            _alone: alone,
        }
    }

    /// From now on everything that is added is cancelled.
    pub(crate) fn close(&self) {
        self.table.lock().closed = true;
    }
}

impl Owned {
    /// Adds the request to its ring's table, before something is waited for.
    pub(crate) fn add_to_pending(&mut self) {
        if let Some(entry) = self.pending_entry() {
            let pending = &self.ring.pending;
            let mut table = pending.table.lock();
            pending.len.fetch_add(1, Relaxed);
            table.admit(entry);
        }
    }

    /// Removes the request, which was completed.
    pub(crate) fn remove_from_pending(&mut self) {
        self.replace_in_pending(None);
    }

    /// Removes the request, which was completed, and adds the one that is to be issued next, of the
    /// same ring. A search finds the one or the other, and what left the ring with the former does
    /// with the latter.
    pub(crate) fn replace_in_pending(&mut self, next: Option<&mut Owned>) {
        let was_there = core::mem::take(&mut self.inner().pending);
        let entry = next
            .filter(|next| Arc::ptr_eq(&next.ring, &self.ring))
            .and_then(Owned::pending_entry);
        if !was_there && entry.is_none() {
            return;
        }
        let pending = &self.ring.pending;
        let mut table = pending.table.lock();
        let removed = if was_there {
            pending.len.fetch_sub(1, Relaxed);
            table.take(self)
        } else {
            None
        };
        if let Some(entry) = entry {
            pending.len.fetch_add(1, Relaxed);
            if self.left.load(Relaxed) {
                entry.left.store(true, Relaxed);
                entry.ownership.cancel();
            }
            table.admit(entry);
        }
        drop(table);
        drop(removed);
    }

    /// What to add the request by, unless it is there.
    fn pending_entry(&mut self) -> Option<ListArc<Request>> {
        if self.inner().pending {
            return None;
        }
        let entry = ListArc::try_from_arc(self.to_arc()).ok()?;
        self.inner().pending = true;
        Some(entry)
    }

    /// Gives the request another user data.
    pub(crate) fn rename(&self, user_data: u64) {
        let mut table = self.ring.pending.table.lock();
        let entry = table.take(self);
        self.user_data.store(user_data, Relaxed);
        if let Some(entry) = entry {
            table.add(entry);
        }
    }
}

impl Round<'_> {
    /// The next request that `wanted` is true of. With `user_data`, only those that have it are
    /// looked at. Requests that were completed are none, but `wanted` is asked of them too. Process
    /// context.
    pub(crate) fn find(
        &self,
        user_data: Option<u64>,
        wanted: impl Fn(&Request) -> bool,
    ) -> Option<Arc<Request>> {
        let buckets = match user_data {
            Some(user_data) => {
                let index = bucket(user_data);
                index..index + 1
            }
            None => 0..BUCKETS,
        };
        let wanted = |request: &Request| {
            user_data.is_none_or(|data| request.user_data.load(Relaxed) == data) && wanted(request)
        };
        let mut at = self.bucket.get().max(buckets.start);
        loop {
            let mut table = self.pending.table.lock();
            if at >= buckets.end {
                let left = self.restarts.get();
                if !core::mem::take(&mut table.added) || left == 0 {
                    return None;
                }
                self.restarts.set(left - 1);
                at = buckets.start;
            }
            let found = table.pass(self.nr, &mut at, buckets.end, wanted);
            drop(table);
            self.bucket.set(at);
            if found.is_some() {
                return found;
            }
        }
    }
}

impl Drop for Round<'_> {
    fn drop(&mut self) {
        self.pending.table.lock().searching = false;
    }
}
