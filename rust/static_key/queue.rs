// SPDX-License-Identifier: GPL-2.0

//! The queue of requests, until the next apply.

use super::{
    key::Key,
    stats::STATS, //
};
use crate::{
    module_notifier::Announced,
    pure::batch::{
        coalesce,
        Request, //
    }, //
};
use kernel::{
    alloc::AllocError,
    prelude::*, //
};

kernel::sync::global_lock! {
    // SAFETY: `StaticKeys::new()` initialises the lock before the first request.
    pub(super) unsafe(uninit) static QUEUE: Mutex<Queue> = Queue::new();
}

/// Initial capacity of the queue.
const FIRST: usize = 64;

/// Requests in the order in which they were made. A key may have several requests.
///
/// # Invariants
///
/// * The module of a request's key, if any, exists: [`super::notifier`] calls [`Queue::close`] when
///   the module is unloaded.
/// * The modules in `refused` exist, from [`Queue::seal`] or [`Queue::close`] until
///   [`Queue::forget`].
pub(super) struct Queue {
    requests: KVVec<Request>,
    seq: u64,
    /// Modules with keys for which requests are refused.
    refused: KVec<Refused>,
}

/// A module whose keys are refused.
struct Refused {
    module: usize,
    /// True if the module is being unloaded: every key is refused. False: only keys in
    /// `__ro_after_init` data.
    all: bool,
}

impl Queue {
    pub(super) const fn new() -> Self {
        Self {
            requests: KVVec::new(),
            seq: 0,
            refused: KVec::new(),
        }
    }

    /// Adds a request.
    ///
    /// # Errors
    ///
    /// [`AllocError`] without memory. Then the queue has no request for `key`.
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

    /// Makes room for one more request.
    ///
    /// Merges the requests of each key first, and allocates only if over half of the capacity is
    /// still used. Without the merge, repeated requests for one key would use up the memory.
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

    /// Takes all requests out of the queue, merged to one for each key.
    pub(super) fn take(&mut self) -> KVVec<Request> {
        let mut requests = core::mem::take(&mut self.requests);
        coalesce_all(&mut requests);
        requests
    }

    /// Checks that requests for `key` are not refused.
    ///
    /// # Errors
    ///
    /// `EROFS` if `key` is in read-only data, `ENODEV` if its module is being unloaded.
    pub(super) fn check(&self, key: Key) -> Result {
        for refused in &self.refused {
            // SAFETY: The module exists (type invariant).
            let module = unsafe { Announced::from_id(refused.module) };
            if refused.all && module.has(key.address()) {
                return Err(ENODEV);
            }
            if !refused.all && module.seals(key.address()) {
                return Err(EROFS);
            }
        }
        Ok(())
    }

    /// Refuses new requests for the keys of `module` that become read-only, and returns the queued
    /// requests.
    ///
    /// Without memory for an entry in `refused`, [`Key::check`] refuses the requests once the data
    /// is read-only.
    pub(super) fn seal(&mut self, module: &Announced) -> KVVec<Request> {
        let mut sealed = KVVec::new();
        coalesce_all(&mut self.requests);
        self.requests.retain(|request| {
            let taken = module.seals(request.key) && sealed.push(*request, GFP_KERNEL).is_ok();
            !taken
        });
        // Drop the requests for which `push()` failed: an apply would write to read-only data.
        let before = self.requests.len();
        self.requests.retain(|request| !module.seals(request.key));
        STATS.dropped.add(before - self.requests.len());
        self.refuse(module, false);
        sealed
    }

    /// Drops the requests for keys in `module`, which is being unloaded, and refuses new requests.
    ///
    /// Returns the number of requests dropped.
    pub(super) fn close(&mut self, module: &Announced) -> usize {
        self.refuse(module, true);
        self.drop_within(module)
    }

    /// Removes `module` from `refused`, after the last possible request for one of its keys.
    ///
    /// Returns the number of requests dropped.
    pub(super) fn forget(&mut self, module: &Announced) -> usize {
        self.refused.retain(|refused| refused.module != module.id());
        self.drop_within(module)
    }

    fn refuse(&mut self, module: &Announced, all: bool) {
        self.refused.retain(|refused| refused.module != module.id());
        let _ = self.refused.push(
            Refused {
                module: module.id(),
                all,
            },
            GFP_KERNEL,
        );
    }

    fn drop_within(&mut self, module: &Announced) -> usize {
        let before = self.requests.len();
        self.requests.retain(|request| !module.has(request.key));
        before - self.requests.len()
    }

    /// Returns the number of requests.
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }
}

fn coalesce_all(requests: &mut KVVec<Request>) {
    let before = requests.len();
    let after = coalesce(requests).len();
    requests.truncate(after);
    STATS.coalesced.add(before - after);
}
