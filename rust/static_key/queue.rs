// SPDX-License-Identifier: GPL-2.0

//! The requests that wait for the next apply.

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
    // SAFETY: Initialised by `StaticKeys::new()` before anything is queued.
    pub(super) unsafe(uninit) static QUEUE: Mutex<Queue> = Queue::new();
}

/// Room for requests that the queue starts with.
const FIRST: usize = 64;

/// Requests in the order in which they were made, several for a key among them.
///
/// # Invariants
///
/// * The module that a request's key is in, if any, is not yet gone: [`super::notifier`] calls
///   [`Queue::close`] when it goes.
/// * The modules in `refused` are there, from [`Queue::seal`] or [`Queue::close`] until
///   [`Queue::forget`].
pub(super) struct Queue {
    requests: KVVec<Request>,
    seq: u64,
    /// Modules whose keys, or some of them, cannot be requested any more.
    refused: KVec<Refused>,
}

/// A module whose keys are refused.
struct Refused {
    module: usize,
    /// All of them: it goes. Else those in its `__ro_after_init` data.
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

    /// Whether a request for `key` has to be refused.
    ///
    /// # Errors
    ///
    /// `EROFS` if it is in read-only data, `ENODEV` if its module goes.
    pub(super) fn check(&self, key: Key) -> Result {
        for refused in &self.refused {
            // SAFETY: By the type invariants the module is there.
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

    /// Refuses requests for the keys of `module` that become read-only, and takes out those that were
    /// made. Without memory they are not refused by this: see [`Key::check`].
    pub(super) fn seal(&mut self, module: &Announced) -> KVVec<Request> {
        let mut sealed = KVVec::new();
        coalesce_all(&mut self.requests);
        self.requests.retain(|request| {
            let taken = module.seals(request.key) && sealed.push(*request, GFP_KERNEL).is_ok();
            !taken
        });
        // Without memory for the above, they are lost rather than carried out on read-only data.
        let before = self.requests.len();
        self.requests.retain(|request| !module.seals(request.key));
        STATS.dropped.add(before - self.requests.len());
        self.refuse(module, false);
        sealed
    }

    /// Refuses requests for keys in `module`, which goes, and forgets those that were made. Returns
    /// how many they were.
    pub(super) fn close(&mut self, module: &Announced) -> usize {
        self.refuse(module, true);
        self.drop_within(module)
    }

    /// Forgets `module`, which nobody can request keys of any more. Returns how many requests there
    /// were.
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

    /// Returns how many requests there are.
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
