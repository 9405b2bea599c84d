// SPDX-License-Identifier: GPL-2.0

//! Carrying out what was requested.

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

/// What came of an apply.
#[derive(Default)]
pub struct Applied {
    /// Requests, one for each key.
    pub requests: usize,
    /// Keys changed, in whatever way.
    pub keys: usize,
    /// What patching them together took.
    pub work: Work,
    /// Time.
    pub nanoseconds: i64,
}

/// Carries out all requests that were made before. Sleeps; see the [module](super) for the locks.
///
/// What this call did is returned; another caller's apply may have done it all.
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
        // SAFETY: It takes numbers.
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

/// Makes a change at once that could not be queued.
pub(super) fn apply_now(key: Key, enable: bool) -> Result {
    let _apply = APPLY.lock();
    immediate(key, enable);
    Ok(())
}

pub(super) fn key(request: &Request) -> Key {
    // SAFETY: It is from the queue. A module that goes waits for the lock that is held here since
    // the request was taken out, and is not gone before.
    unsafe { Key::from_address(request.key) }
}

/// Changes as many keys as possible together, and leaves the requests that remain.
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
    // First all that can fail, then all that cannot: no key is marked before it is known that
    // there is memory for all. Without it, all requests remain.
    let Ok((mut patches, mut transit)) = collect(&locked, requests) else {
        return;
    };
    let Ok(plan) = patcher.prepare(&mut patches) else {
        return;
    };

    // SAFETY: `locked` is held all the time. A key that is marked changes its state, so each of
    // its places has the instruction for the other one; a key is requested once, and a place
    // belongs to one key.
    applied.work = unsafe { plan.carry_out(&mut patches, &mut transit) };
    transit.finish();
    STATS.keys.add(transit.changed());
    applied.keys = transit.changed();

    let mut elsewhere = transit.elsewhere();
    requests.retain(|_| elsewhere.next().unwrap_or(false));
}

/// The places of all keys that can be changed together.
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
        // SAFETY: Nothing is held that must not sleep.
        unsafe { helpers::miniring_cond_resched() };
    }
    Ok((patches, transit))
}

/// Changes one key by the kernel's own function, unless it is so already or reference counted, and
/// says whether it did.
///
/// That function looks at the count again, before it takes the jump label mutex, and warns if it is
/// neither 0 nor 1. So it is called right after the look that is decided by, with CPUs already held,
/// which may take long: in between the key would have to be changed back and forth.
pub(super) fn immediate(key: Key, enable: bool) -> bool {
    loop {
        let cpus = Cpus::lock();
        match key.verdict(enable) {
            Verdict::AlreadySo => return false,
            Verdict::Refused => {
                STATS.refused.add(1);
                return false;
            }
            // The kernel would warn, and leave it on.
            Verdict::UnderWay if !enable => {
                drop(cpus);
                fsleep(Delta::from_micros(50));
            }
            Verdict::Changes | Verdict::UnderWay => {
                // SAFETY: By the invariant of `Key`, there is one; of what is taken here, `cpus` is
                // held, and nothing else.
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
