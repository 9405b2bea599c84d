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
    new_spinlock_irq,
    prelude::*,
    sync::{
        atomic::ordering::Relaxed,
        Arc,
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
}

/// A search that finds no request twice.
pub(crate) struct Round(u32);

fn bucket(user_data: u64) -> usize {
    // What programs use: small numbers, and addresses.
    let hash = user_data.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
    hash as usize % BUCKETS
}

impl Table {
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
        })
    }

    /// Adds a request that is going to be waited for.
    pub(crate) fn add(&self, owned: &mut Owned) {
        if owned.inner().pending {
            return;
        }
        let Ok(entry) = ListArc::try_from_arc(owned.to_arc()) else {
            return;
        };
        owned.inner().pending = true;
        let mut table = self.table.lock();
        if table.closed {
            owned.ownership.cancel();
        }
        table.add(entry);
    }

    /// Removes a request that was completed.
    pub(crate) fn remove(&self, owned: &mut Owned) {
        if core::mem::take(&mut owned.inner().pending) {
            let entry = self.table.lock().take(owned);
            drop(entry);
        }
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

    /// Begins a search.
    pub(crate) fn round(&self) -> Round {
        let mut table = self.table.lock();
        // A request that no search found has 0.
        table.round = table.round.wrapping_add(1).max(1);
        Round(table.round)
    }

    /// The next request of a search that `wanted` is true of. With `user_data`, it looks only at
    /// those that have it. Requests that were completed are none.
    pub(crate) fn find(
        &self,
        round: &Round,
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
            if request.round.load(Relaxed) != round.0
                && !request.ownership.is_finished()
                && user_data.is_none_or(|data| request.user_data.load(Relaxed) == data)
                && wanted(&request)
            {
                request.round.store(round.0, Relaxed);
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
