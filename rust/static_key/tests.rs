// SPDX-License-Identifier: GPL-2.0

//! KUnit tests of queued changes, with real keys.

use super::{
    apply_queued,
    backend::{
        Backend,
        Patcher, //
    },
    disable_queued,
    enable_queued,
    key::Key,
    queue::Queue,
    transit::Transit,
    StaticKey, //
};
use crate::static_branch;
use kernel::{
    bindings,
    prelude::*, //
};

/// Number of branches on [`KEY`] in this file.
const BRANCHES: usize = 3;

static KEY: StaticKey = StaticKey::new();
static OTHER: StaticKey = StaticKey::new();
/// A key without a branch.
static UNUSED: StaticKey = StaticKey::new();

/// Returns the number of branches on [`KEY`] that are taken.
#[inline(never)]
fn taken() -> usize {
    let mut taken = 0;
    if static_branch!(KEY) {
        taken += 1;
    }
    if static_branch!(KEY) {
        taken += 1;
    }
    if static_branch!(KEY) {
        taken += 1;
    }
    taken
}

#[inline(never)]
fn other_taken() -> bool {
    static_branch!(OTHER)
}

/// Disables all keys, at the start and at the end of a test.
fn all_off() -> Result {
    for key in [&KEY, &OTHER, &UNUSED] {
        disable_queued(key)?;
    }
    apply_queued();
    Ok(())
}

/// Returns the backend's patcher.
///
/// Fails if the backend changes keys one at a time: the callers would test nothing.
fn patcher() -> Result<&'static Patcher> {
    match Backend::get() {
        Backend::Patching(patcher) => Ok(patcher),
        Backend::Immediate => Err(EOPNOTSUPP),
    }
}

#[kunit_tests(miniring_static_key)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_not_change_before_the_apply() -> Result {
        all_off()?;
        enable_queued(&KEY)?;
        enable_queued(&UNUSED)?;
        assert_eq!(taken(), 0);
        assert_eq!(KEY.key().count(), 0);
        apply_queued();
        assert_eq!(taken(), BRANCHES);
        assert_eq!(KEY.key().count(), 1);
        assert_eq!(UNUSED.key().count(), 1);
        assert!(!other_taken());
        all_off()?;
        assert_eq!(taken(), 0);
        assert_eq!(UNUSED.key().count(), 0);
        Ok(())
    }

    #[test]
    fn the_last_request_for_a_key_wins() -> Result {
        all_off()?;
        enable_queued(&KEY)?;
        enable_queued(&OTHER)?;
        disable_queued(&KEY)?;
        apply_queued();
        assert_eq!(taken(), 0);
        assert!(other_taken());
        disable_queued(&OTHER)?;
        enable_queued(&OTHER)?;
        apply_queued();
        assert!(other_taken());
        all_off()
    }

    #[test]
    fn requests_are_merged_by_key_and_sorted_by_address() -> Result {
        let mut queue = Queue::new();
        for (key, enable) in [(&OTHER, true), (&KEY, true), (&OTHER, false), (&KEY, true)] {
            queue.push(key.key(), enable)?;
        }
        let requests = queue.take();
        let mut expected = [
            (KEY.key().address(), true),
            (OTHER.key().address(), false), //
        ];
        if expected[0] > expected[1] {
            expected.swap(0, 1);
        }
        assert_eq!(requests.len(), 2);
        for (request, expected) in requests.iter().zip(expected) {
            assert!((request.key, request.enable) == expected);
        }
        assert_eq!(queue.take().len(), 0);
        assert_eq!(queue.len(), 0);
        Ok(())
    }

    #[test]
    fn patch_sites_of_a_key_are_its_branches() -> Result {
        let patcher = patcher()?;
        all_off()?;
        let locked = patcher.table.lock();
        let mut patches = KVVec::new();
        let places = |key: &'static StaticKey, way, patches: &mut KVVec<_>| {
            locked.collect(key.key(), true, way, patches)
        };
        assert_eq!(places(&UNUSED, 0, &mut patches)?, Some(0));
        assert_eq!(places(&KEY, 1, &mut patches)?, Some(BRANCHES));
        assert_eq!(places(&OTHER, 2, &mut patches)?, Some(1));
        assert_eq!(patches.len(), BRANCHES + 1);
        // The keys are off and no branch is taken, so each patch is a jump.
        assert!(patches.iter().all(|patch| patch.jump));
        assert_eq!(
            patches.iter().filter(|patch| patch.way == 1).count(),
            BRANCHES
        );
        Ok(())
    }

    #[test]
    fn prepared_patches_are_sorted_by_code_address() -> Result {
        let patcher = patcher()?;
        let locked = patcher.table.lock();
        let mut patches = KVVec::new();
        locked.collect(OTHER.key(), true, 0, &mut patches)?;
        locked.collect(KEY.key(), true, 1, &mut patches)?;
        patches.as_mut_slice().reverse();
        drop(patcher.prepare(&mut patches)?);
        let codes = patches.iter().map(|patch| patch.code);
        assert!(codes.clone().zip(codes.skip(1)).all(|(a, b)| a < b));
        Ok(())
    }

    #[test]
    fn key_is_marked_from_its_first_patch_site_to_its_last() -> Result {
        let patcher = patcher()?;
        all_off()?;
        {
            let locked = patcher.table.lock();
            let key = KEY.key();
            let mut patches = KVVec::new();
            let mut transit = Transit::with_capacity(1)?;
            let places = locked.collect(key, true, transit.next(), &mut patches)?;
            transit.add(key, true, places)?;
            let plan = patcher.prepare(&mut patches)?;
            assert_eq!(key.count(), 0);
            let first = patches.first().ok_or(ENOENT)?;
            assert!(transit.begin(first));
            assert_eq!(key.count(), -1);
            // SAFETY: The jump label mutex is held, and the key is off and has these patch sites,
            // each once.
            let work = unsafe { plan.carry_out(&mut patches, &mut transit) };
            assert_eq!(work.entries, BRANCHES);
            assert_eq!(key.count(), 1);
            assert_eq!(transit.changed(), 1);
        }
        assert_eq!(taken(), BRANCHES);
        all_off()
    }

    #[test]
    fn key_with_two_references_is_refused() -> Result {
        all_off()?;
        let key: Key = KEY.key();
        // SAFETY: `key` is a static key, and no lock is held.
        unsafe {
            bindings::static_key_slow_inc(key.as_ptr());
            bindings::static_key_slow_inc(key.as_ptr());
        }
        let refused = (enable_queued(&KEY), disable_queued(&KEY));
        // SAFETY: As above.
        unsafe {
            bindings::static_key_slow_dec(key.as_ptr());
            bindings::static_key_slow_dec(key.as_ptr());
        }
        assert!(refused == (Err(EBUSY), Err(EBUSY)));
        assert_eq!(taken(), 0);
        all_off()
    }
}
