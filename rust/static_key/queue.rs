// SPDX-License-Identifier: GPL-2.0

//! The requests that wait for the next apply.

use super::{
    key::Key,
    notifier::Going,
    stats::STATS, //
};
use crate::pure::batch::{
    coalesce,
    Request, //
};
use kernel::{
    alloc::AllocError,
    prelude::*, //
};

kernel::sync::global_lock! {
    // SAFETY: Initialised by `StaticKeys::new()` before anything is queued.
    pub(super) unsafe(uninit) static QUEUE: Mutex<Queue> = Queue::new();
}

/// Room for requests that the queue starts with.
const FIRST: usize = 64;

/// Requests in the order in which they were made, several for a key among them.
///
/// # Invariants
///
/// The module that a request's key is in, if any, is not yet gone: its going is notified to
/// [`super::notifier`], which calls [`Queue::drop_within`].
pub(super) struct Queue {
    requests: KVVec<Request>,
    seq: u64,
}

impl Queue {
    pub(super) const fn new() -> Self {
        Self {
            requests: KVVec::new(),
            seq: 0,
        }
    }

    /// Adds a request. An error means that it is not in the queue, nor is any for that key.
    pub(super) fn push(&mut self, key: Key, enable: bool) -> Result<(), AllocError> {
        self.seq += 1;
        let request = Request {
            key: key.address(),
            seq: self.seq,
            enable,
        };

        if self.requests.len() == self.requests.capacity() && self.make_room().is_err() {
            let earlier = self.requests.iter_mut().find(|r| r.key == request.key);
            *earlier.ok_or(AllocError)? = request;
            STATS.coalesced.add(1);
            return Ok(());
        }
        self.requests
            .push_within_capacity(request)
            .map_err(|_| AllocError)
    }

    /// Makes room for one more, in memory that is there already if that gives back half of it, so
    /// that a key that is requested over and over does not fill the memory.
    fn make_room(&mut self) -> Result<(), AllocError> {
        coalesce_all(&mut self.requests);
        let (len, capacity) = (self.requests.len(), self.requests.capacity());
        if len <= capacity / 2 && capacity > 0 {
            return Ok(());
        }
        match self.requests.reserve(capacity.max(FIRST), GFP_KERNEL) {
            Err(_) if len < capacity => Ok(()),
            result => result,
        }
    }

    /// Takes all requests out, one for each key.
    pub(super) fn take(&mut self) -> KVVec<Request> {
        let mut requests = core::mem::take(&mut self.requests);
        coalesce_all(&mut requests);
        requests
    }

    /// Forgets the requests for keys in `module`, and says how many they were.
    pub(super) fn drop_within(&mut self, module: &Going) -> usize {
        let before = self.requests.len();
        self.requests.retain(|request| !module.has(request.key));
        before - self.requests.len()
    }

    /// Forgets all requests, and says how many they were.
    pub(super) fn drop_all(&mut self) -> usize {
        core::mem::take(&mut self.requests).len()
    }
}

fn coalesce_all(requests: &mut KVVec<Request>) {
    let before = requests.len();
    let after = coalesce(requests).len();
    requests.truncate(after);
    STATS.coalesced.add(before - after);
}
