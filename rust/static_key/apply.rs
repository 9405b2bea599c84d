// SPDX-License-Identifier: GPL-2.0

//! Carries out the queued requests.

use super::{
    backend::{
        Backend,
        Patcher, //
    },
    entries::{
        Cpus,
        JumpLabels,
        Patch, //
    },
    key::{
        Key,
        StaticKey,
        Verdict, //
    },
    queue::QUEUE,
    stats::STATS,
    transit::Transit,
    work::Work, //
};
use crate::{
    bindings as helpers,
    pure::batch::Request, //
};
use kernel::{
    alloc::AllocError,
    bindings,
    prelude::*,
    time::{
        Instant,
        Monotonic, //
    }, //
};

kernel::sync::global_lock! {
    // SAFETY: `StaticKeys::new()` initialises the lock before the first apply.
    //
    /// Held from before requests leave the queue until they are carried out. So the holder finds
    /// each request either queued or done.
    pub(super) unsafe(uninit) static APPLY: Mutex<()> = ();
}

/// The result of one apply.
#[derive(Default)]
pub struct Applied {
    /// Number of requests, one for each key.
    pub requests: usize,
    /// Number of keys changed, together or one at a time.
    pub keys: usize,
    /// The cost of patching the keys that were changed together.
    pub work: Work,
    /// Duration of the apply.
    pub nanoseconds: i64,
}

/// Carries out all requests made before the call.
///
/// Returns only the work of this call: an apply of another caller may have done all of it.
///
/// Context: process; may sleep. Locking: see the [module](super).
#[inline(never)]
pub fn apply_queued() -> Applied {
    let _apply = APPLY.lock();
    let mut requests = QUEUE.lock().take();
    let mut applied = Applied {
        requests: requests.len(),
        ..Applied::default()
    };
    if requests.is_empty() {
        return applied;
    }

    let start = Instant::<Monotonic>::now();
    if let Backend::Patching(patcher) = Backend::get() {
        together(patcher, &mut requests, &mut applied);
    }
    for request in requests.iter() {
        applied.keys += usize::from(immediate(key(request), request.enable));
    }
    applied.nanoseconds = start.elapsed().as_nanos();
    STATS.applies.add(1);
    STATS.nanoseconds.add(applied.nanoseconds as usize);
    applied.trace();
    applied
}

impl Applied {
    fn trace(&self) {
        // SAFETY: The tracepoint takes numbers only.
        unsafe {
            helpers::miniring_trace_static_key_apply(
                self.requests as c_uint,
                self.keys as c_uint,
                self.work.entries as c_uint,
                self.work.syncs as c_uint,
                self.nanoseconds as u64,
            )
        };
    }
}

/// Changes `key` at once, for a request that could not be queued.
pub(super) fn apply_now(key: Key, enable: bool) -> Result {
    let _apply = APPLY.lock();
    immediate(key, enable);
    Ok(())
}

pub(super) fn key(request: &Request) -> Key {
    // SAFETY: The address is that of a key in the queue. Its module exists: a module being unloaded
    // waits for `APPLY`, which has been held since the request was taken out.
    unsafe { Key::from_address(request.key) }
}

/// Changes as many keys as possible together. Leaves the other requests in `requests`.
fn together(patcher: &Patcher, requests: &mut KVVec<Request>, applied: &mut Applied) {
    let locked = patcher.table.lock();

    requests.retain(|request| match key(request).verdict(request.enable) {
        Verdict::AlreadySo => false,
        Verdict::Refused => {
            STATS.refused.add(1);
            false
        }
        Verdict::Changes | Verdict::UnderWay => true,
    });
    // Allocate for all keys before marking the first, because a marked key must be patched. If an
    // allocation fails, all requests remain.
    let Ok((mut patches, mut transit)) = collect(&locked, requests) else {
        return;
    };
    let Ok(plan) = patcher.prepare(&mut patches) else {
        return;
    };

    // SAFETY:
    // - The jump label mutex is held since the patches were collected: `locked` lives.
    // - Marking a key changes its state, so each of its patch sites has the instruction of the
    //   other state.
    // - No patch site is in `patches` twice: `requests` has each key once, and a patch site belongs
    //   to one key.
    applied.work = unsafe { plan.carry_out(&mut patches, &mut transit) };
    transit.finish();
    STATS.keys.add(transit.changed());
    applied.keys = transit.changed();

    let mut elsewhere = transit.elsewhere();
    requests.retain(|_| elsewhere.next().unwrap_or(false));
}

/// Collects the patch sites of all keys that can be changed together.
fn collect(
    locked: &JumpLabels<'_>,
    requests: &[Request],
) -> Result<(KVVec<Patch>, Transit), AllocError> {
    let mut patches = KVVec::new();
    let mut transit = Transit::with_capacity(requests.len())?;
    for request in requests {
        let (key, way) = (key(request), transit.next());
        let places = locked.collect(key, request.enable, way, &mut patches)?;
        transit.add(key, request.enable, places)?;
        // SAFETY: Only sleeping locks are held.
        unsafe { helpers::miniring_cond_resched() };
    }
    Ok((patches, transit))
}

/// Changes one key with the kernel's own function. Returns false if the key is already in that
/// state or is reference counted.
///
/// The kernel's function reads the count again, before it takes the jump label mutex, and warns
/// unless the count is 0 or 1. So the call comes right after the verdict. `cpus_read_lock()`, which
/// may block for long, is taken before both.
pub(super) fn immediate(key: Key, enable: bool) -> bool {
    loop {
        let cpus = Cpus::lock();
        match key.verdict(enable) {
            Verdict::AlreadySo => return false,
            Verdict::Refused => {
                STATS.refused.add(1);
                return false;
            }
            // The kernel would warn and leave the key on.
            Verdict::UnderWay if !enable => wait_for_update(&cpus),
            Verdict::Changes | Verdict::UnderWay => {
                // SAFETY: `key` points to a static key (type invariant). `cpus` holds
                // `cpus_read_lock()`, and the caller holds no lock that nests inside it.
                unsafe {
                    if enable {
                        bindings::static_key_enable_cpuslocked(key.as_ptr());
                    } else {
                        bindings::static_key_disable_cpuslocked(key.as_ptr());
                    }
                }
                STATS.keys.add(1);
                STATS.immediate.add(1);
                return true;
            }
        }
    }
}

/// Waits until the task that enables a key at this moment has enabled the key. May sleep.
///
/// That task holds the jump label mutex from before it stores -1 until after it has stored 1. The
/// kernel exports neither the mutex nor a function that takes only the mutex. But a change of a key
/// without branches takes and releases it, and patches nothing.
///
/// Locking: the caller holds `APPLY`, so only one task changes the key.
fn wait_for_update(_cpus: &Cpus) {
    static WITHOUT_BRANCHES: StaticKey = StaticKey::new();
    let key = WITHOUT_BRANCHES.key().as_ptr();
    // SAFETY: `key` points to a static key. `_cpus` holds `cpus_read_lock()`, and the caller holds
    // no lock that is taken inside of it.
    unsafe {
        bindings::static_key_enable_cpuslocked(key);
        bindings::static_key_disable_cpuslocked(key);
    }
}
