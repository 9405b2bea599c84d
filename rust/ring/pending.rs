// SPDX-License-Identifier: GPL-2.0

//! The requests of a ring that are in flight, to be found for cancellation.
//!
//! The lock is a leaf.

use super::request::{
    Owned,
    Request, //
};
use kernel::{
    list::{
        List,
        ListArc, //
    },
    new_mutex,
    new_spinlock_irq,
    prelude::*,
    sync::{
        atomic::ordering::Relaxed,
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
    round: u32,
}

/// The requests that are in flight.
#[pin_data]
pub(crate) struct Pending {
    #[pin]
    table: SpinLockIrq<Table>,
    /// Held by who searches.
    #[pin]
    search: Mutex<()>,
}

/// A search that finds no request twice. There is one at a time: a request knows the last only.
pub(crate) struct Round<'a> {
    nr: u32,
    _alone: MutexGuard<'a, ()>,
}

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
        if let Some(list) = self.buckets.get_mut(index) {
            list.push_back(request);
        }
    }

    fn take(&mut self, request: &Request) -> Option<ListArc<Request>> {
        let list = self.buckets.get_mut(request.bucket.load(Relaxed))?;
        // SAFETY: The bucket is the one that it was added to last, under the lock; `add` is only
        // called by the request's owner, who keeps it from other lists while it is here.
        unsafe { list.remove(request) }
    }
}

impl Pending {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            table <- new_spinlock_irq!(Table {
                buckets: core::array::from_fn(|_| List::new()),
                closed: false,
                round: 0,
            }, "miniring::Pending"),
            search <- new_mutex!((), "miniring::Pending search"),
        })
    }

    /// Adds a request that is going to be waited for.
    pub(crate) fn add(&self, owned: &mut Owned) {
        if let Some(entry) = Self::entry(owned) {
            self.table.lock().admit(entry);
        }
    }

    /// Removes a request that was completed.
    pub(crate) fn remove(&self, owned: &mut Owned) {
        self.replace(owned, None);
    }

    /// Removes a request that was completed, and adds the one that is to be issued next: a search
    /// finds the one or the other, and what left the ring with the former does with the latter.
    pub(crate) fn replace(&self, completed: &mut Owned, next: Option<&mut Owned>) {
        let was_there = core::mem::take(&mut completed.inner().pending);
        let entry = next.and_then(Self::entry);
        if !was_there && entry.is_none() {
            return;
        }
        let mut table = self.table.lock();
        let removed = if was_there {
            table.take(completed)
        } else {
            None
        };
        if let Some(entry) = entry {
            if completed.left.load(Relaxed) {
                entry.left.store(true, Relaxed);
                entry.ownership.cancel();
            }
            table.admit(entry);
        }
        drop(table);
        drop(removed);
    }

    /// What to add a request by, unless it is there.
    fn entry(owned: &mut Owned) -> Option<ListArc<Request>> {
        if owned.inner().pending {
            return None;
        }
        let entry = ListArc::try_from_arc(owned.to_arc()).ok()?;
        owned.inner().pending = true;
        Some(entry)
    }

    /// Gives a request that is there another user data.
    pub(crate) fn rename(&self, owned: &Owned, user_data: u64) {
        let mut table = self.table.lock();
        let entry = table.take(owned);
        owned.user_data.store(user_data, Relaxed);
        if let Some(entry) = entry {
            table.add(entry);
        }
    }

    /// Begins a search, when no other is under way. May sleep.
    pub(crate) fn round(&self) -> Round<'_> {
        let alone = self.search.lock();
        let mut table = self.table.lock();
        // A request that no search found has 0.
        table.round = table.round.wrapping_add(1).max(1);
        Round {
            nr: table.round,
            _alone: alone,
        }
    }

    /// The next request of a search that `wanted` is true of. With `user_data`, it looks only at
    /// those that have it. Requests that were completed are none, but `wanted` is asked of them too.
    pub(crate) fn find(
        &self,
        round: &Round<'_>,
        user_data: Option<u64>,
        wanted: impl Fn(&Request) -> bool,
    ) -> Option<Arc<Request>> {
        let table = self.table.lock();
        let buckets = match user_data {
            Some(user_data) => {
                let index = bucket(user_data);
                table.buckets.get(index..=index)?
            }
            None => &table.buckets,
        };
        for request in buckets.iter().flatten() {
            if request.round.load(Relaxed) != round.nr
                && user_data.is_none_or(|data| request.user_data.load(Relaxed) == data)
                && wanted(&request)
                && !request.ownership.is_finished()
            {
                request.round.store(round.nr, Relaxed);
                return Some(request.into());
            }
        }
        None
    }

    /// From now on everything that is added is cancelled.
    pub(crate) fn close(&self) {
        self.table.lock().closed = true;
    }
}
