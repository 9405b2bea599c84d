// SPDX-License-Identifier: GPL-2.0

//! Properties of batch planning.

mod persistence;

use miniring_pure::batch::{
    coalesce,
    flushes_unsorted,
    order_by_code,
    syncs,
    Request,
    TEXT_POKE_BATCH, //
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::HashMap;

proptest! {
    #![proptest_config(persistence::config())]

    #[test]
    fn coalesced_requests_equal_a_map_filled_in_order(
        requests in vec((0usize..20, any::<bool>()), 0..200),
        shuffle in any::<u64>(),
    ) {
        let mut model = HashMap::new();
        let mut queue = Vec::new();
        for (seq, &(key, enable)) in (0..).zip(&requests) {
            model.insert(key, enable);
            queue.push(Request { key, seq, enable });
        }
        // The last request is the one with the largest `seq`, in any order of the queue.
        queue.sort_by_key(|request| request.seq.wrapping_mul(shuffle | 1));

        let kept = coalesce(&mut queue);
        prop_assert!(kept.windows(2).all(|pair| pair[0].key < pair[1].key));
        let kept: HashMap<_, _> = kept.iter().map(|r| (r.key, r.enable)).collect();
        prop_assert_eq!(kept, model);
    }

    #[test]
    fn coalescing_twice_changes_nothing(requests in vec((0usize..9, any::<bool>()), 0..50)) {
        let mut queue: Vec<_> = (0..)
            .zip(requests)
            .map(|(seq, (key, enable))| Request { key, seq, enable })
            .collect();
        let once = coalesce(&mut queue).to_vec();
        let twice = coalesce(&mut once.clone()).to_vec();
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn sorted_code_flushes_full_batches_only(
        mut code in vec(any::<usize>(), 0..2000),
        batch in 1usize..300,
    ) {
        order_by_code(&mut code, |&code| code);
        let flushes = flushes_unsorted(code.iter().copied(), batch);
        prop_assert_eq!(flushes, code.len().div_ceil(batch));
        prop_assert_eq!(flushes * 3, syncs(code.len(), batch));
    }

    #[test]
    fn no_order_flushes_less_often_than_sorted(code in vec(any::<usize>(), 0..2000)) {
        let flushes = flushes_unsorted(code.iter().copied(), TEXT_POKE_BATCH);
        prop_assert!(flushes * 3 >= syncs(code.len(), TEXT_POKE_BATCH));
        prop_assert!(flushes <= code.len());
    }
}
