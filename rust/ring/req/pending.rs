// SPDX-License-Identifier: GPL-2.0

//! The table of a ring's requests in flight, for cancellation.
//!
//! Locking: the spinlock is a leaf.

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
    new_spinlock,
    prelude::*,
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        Arc,
        Mutex,
        MutexGuard,
        SpinLock, //
    }, //
};

const BUCKETS: usize = 64;

struct Table {
    /// The requests, hashed by user data.
    buckets: [List<Request>; BUCKETS],
    /// The ring is shut down: requests are cancelled when they are added.
    closed: bool,
    /// The number of the last search.
    round: u64,
    /// A search is under way.
    searching: bool,
    /// A request was added since the search last started at the first bucket.
    added: bool,
}

/// The requests in flight of a ring.
#[pin_data]
pub(crate) struct Pending {
    /// Number of requests. Changed with the lock held.
    len: Atomic<usize>,
    #[pin]
    table: SpinLock<Table>,
    /// Held by a search.
    #[pin]
    search: Mutex<()>,
}

/// One pass over the table that returns each request at most once. Searches are serialised: a
/// request stores only the number of the last search.
///
/// A search moves each request that it passes to the end of the bucket's list, and new requests are
/// added to the front. So the search checks the front only.
pub(crate) struct Round<'a> {
    pending: &'a Pending,
    nr: u64,
    /// The bucket that the search has reached.
    bucket: Cell<usize>,
    restarts: Cell<usize>,
    _alone: MutexGuard<'a, ()>,
}

/// Maximal number of restarts because a request was added. Without a limit, a task that adds
/// requests could keep another task in its search. The search may miss requests that are added
/// later.
const RESTARTS: usize = 8;

/// Number of requests that a search passes while it holds the lock, which disables preemption.
const CHUNK: usize = 64;

fn bucket(user_data: u64) -> usize {
    // Spread user data that are small numbers or addresses.
    let hash = user_data.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
    hash as usize % BUCKETS
}

impl Table {
    /// Adds a request. Cancels the request if the ring is shut down.
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

    /// Passes up to [`CHUNK`] requests, from `bucket` on. Returns the first for which `wanted` is
    /// true, and sets `bucket` to the bucket where the search continues.
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
        // - The table belongs to the request's ring: only `replace_in_pending` and `rename` call
        //   this function.
        // - The request was last added to this bucket, under the lock.
        // - The owner adds the request to no other list with these links while the table has the
        //   request.
        unsafe { list.remove(request) }
    }
}

impl Pending {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            len: Atomic::new(0),
            table <- new_spinlock!(Table {
                buckets: core::array::from_fn(|_| List::new()),
                closed: false,
                round: 0,
                searching: false,
                added: false,
            }, "miniring::Pending"),
            search <- new_mutex!((), "miniring::Pending search"),
        })
    }

    /// Returns whether no request is in flight at this moment.
    pub(crate) fn is_empty(&self) -> bool {
        self.len.load(Relaxed) == 0
    }

    /// Waits until no other search runs, and starts a search. May sleep.
    pub(crate) fn round(&self) -> Round<'_> {
        let alone = self.search.lock();
        let mut table = self.table.lock();
        // A request that no search has passed stores 0, so the numbers start at 1.
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

    /// Cancels every request that is added from now on.
    pub(crate) fn close(&self) {
        self.table.lock().closed = true;
    }
}

impl Owned {
    /// Adds the request to its ring's table, before the request waits for an event.
    pub(crate) fn add_to_pending(&mut self) {
        if let Some(entry) = self.pending_entry() {
            let pending = &self.ring.pending;
            let mut table = pending.table.lock();
            pending.len.fetch_add(1, Relaxed);
            table.admit(entry);
        }
    }

    /// Removes the completed request.
    pub(crate) fn remove_from_pending(&mut self) {
        self.replace_in_pending(None);
    }

    /// Removes the completed request, and adds the linked request if it has the same ring. A search
    /// finds one of the two. If the process of the completed request left the ring, the linked
    /// request is cancelled.
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

    /// Returns the list entry to add the request with, or `None` if the request is in the table.
    fn pending_entry(&mut self) -> Option<ListArc<Request>> {
        if self.inner().pending {
            return None;
        }
        let entry = ListArc::try_from_arc(self.to_arc()).ok()?;
        self.inner().pending = true;
        Some(entry)
    }

    /// Replaces the user data of the request.
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
    /// Returns the next request for which `wanted` is true. Context: process.
    ///
    /// With `user_data`, checks only requests with that user data. Calls `wanted` also for
    /// completed requests, but does not return them.
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
