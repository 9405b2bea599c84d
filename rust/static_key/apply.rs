// SPDX-License-Identifier: GPL-2.0

//! Carrying out what was requested.

use super::{
    backend::{
        Backend,
        Patcher, //
    },
    entries::Uncollected,
    key::{
        Key,
        Verdict, //
    },
    queue::QUEUE,
    stats::STATS, //
};
use crate::{
    dyndbg::dyn_debug,
    pure::batch::Request, //
};
use kernel::{
    bindings,
    prelude::*,
    time::{
        delay::fsleep,
        Delta,
        Instant,
        Monotonic, //
    }, //
};

kernel::sync::global_lock! {
    // SAFETY: Initialised by `StaticKeys::new()` before anything is applied.
    //
    /// Held from before requests are taken out of the queue until they are carried out, so that
    /// there is no time when a request is in neither state.
    pub(super) unsafe(uninit) static APPLY: Mutex<()> = ();
}

/// Carries out all requests that were made before. Sleeps; see the [module](super) for the locks.
pub(crate) fn apply_queued() {
    let _apply = APPLY.lock();
    let mut requests = QUEUE.lock().take();
    if requests.is_empty() {
        return;
    }

    let len = requests.len();
    let start = Instant::<Monotonic>::now();
    if let Backend::Patching(patcher) = Backend::get() {
        together(patcher, &mut requests);
    }
    for request in requests.iter() {
        immediate(key(request), request.enable);
    }
    let nanoseconds = start.elapsed().as_nanos();
    STATS.applies.add(1);
    STATS.nanoseconds.add(nanoseconds as usize);
    dyn_debug!(apply_queued, "{len} requests in {nanoseconds} ns\n");
}

/// Makes a change at once that could not be queued.
pub(super) fn apply_now(key: Key, enable: bool) -> Result {
    let _apply = APPLY.lock();
    immediate(key, enable);
    Ok(())
}

fn key(request: &Request) -> Key {
    // SAFETY: It is from the queue. A module that goes waits for the lock that is held here since
    // the request was taken out, and is not gone before.
    unsafe { Key::from_address(request.key) }
}

/// Changes as many keys as possible together, and leaves the requests that remain.
fn together(patcher: &Patcher, requests: &mut KVVec<Request>) {
    let locked = patcher.table.lock();
    let mut patches = KVVec::new();
    let mut memory = true;

    // First all that can fail, then all that cannot: a key is not marked before its jump entries
    // are known.
    let mut remaining = KVVec::new();
    requests.retain(|request| match key(request).verdict(request.enable) {
        Verdict::AlreadySo => false,
        Verdict::Refused => {
            STATS.refused.add(1);
            false
        }
        Verdict::Changes => true,
    });
    for request in requests.iter() {
        match locked.collect(key(request), request.enable, &mut patches) {
            Ok(()) => {}
            Err(Uncollected::Linked) => memory &= remaining.push(*request, GFP_KERNEL).is_ok(),
            Err(Uncollected::Memory) => memory = false,
        }
        if !memory {
            return;
        }
    }
    let Ok(plan) = patcher.prepare(&mut patches) else {
        return;
    };

    requests.retain(|request| {
        let key = key(request);
        if remaining.iter().any(|later| later.key == request.key) {
            return false;
        }
        let marked = key.mark(request.enable);
        if !marked {
            // Someone took a second reference just now; the key stays on.
            STATS.refused.add(1);
            dyn_debug!(together, "a key was refused at the last moment\n");
            patches.retain(|patch| patch.key() != key.as_ptr());
        }
        marked
    });

    // SAFETY: `locked` was held all the time. Keys that are marked changed their state, so each of
    // their entries has the instruction for the other one; a key is requested once, and an entry
    // belongs to one key.
    unsafe { plan.carry_out(&patches) };

    for request in requests.iter().filter(|request| request.enable) {
        key(request).publish();
    }
    STATS.keys.add(requests.len());
    *requests = remaining;
}

/// Changes one key by the kernel's own function, unless it is reference counted.
fn immediate(key: Key, enable: bool) {
    // Somebody else may be enabling it: the kernel would warn, and leave it on.
    while !enable && key.count() < 0 {
        fsleep(Delta::from_micros(50));
    }
    match key.verdict(enable) {
        Verdict::AlreadySo => {}
        Verdict::Refused => STATS.refused.add(1),
        Verdict::Changes => {
            dyn_debug!(immediate, "a key is changed on its own\n");
            // SAFETY: By the invariant of `Key`, there is one; nothing is held that is taken here.
            unsafe {
                if enable {
                    bindings::static_key_enable(key.as_ptr());
                } else {
                    bindings::static_key_disable(key.as_ptr());
                }
            }
            STATS.keys.add(1);
            STATS.immediate.add(1);
        }
    }
}
