// SPDX-License-Identifier: GPL-2.0

//! Properties of ring geometry.

mod persistence;

use miniring_pure::geometry::*;
use proptest::prelude::*;

fn any_geometry() -> impl Strategy<Value = Geometry> {
    let asked = (any::<u32>(), proptest::option::of(any::<u32>()));
    (asked, any::<bool>()).prop_filter_map("invalid", |((entries, cq_entries), sq_array)| {
        let ring = Geometry::new(entries, cq_entries, true).ok()?;
        Some(if sq_array {
            ring
        } else {
            ring.without_sq_array()
        })
    })
}

/// Computes the entry counts by the rules of `io_uring`, with integers that cannot overflow.
fn model(entries: u64, cq_entries: Option<u64>, clamp: bool) -> Option<(u64, u64)> {
    let fit = |n: u64, max: u64| match n {
        0 => None,
        n if n <= max => Some(n.next_power_of_two()),
        _ if clamp => Some(max),
        _ => None,
    };
    let sq = fit(entries, 32768)?;
    let cq = cq_entries.map_or(Some(2 * sq), |n| fit(n, 65536))?;
    (cq >= sq).then_some((sq, cq))
}

proptest! {
    #![proptest_config(persistence::config())]

    #[test]
    fn entry_counts_equal_those_of_io_uring_setup(
        entries in prop_oneof![0u32..70000, any::<u32>()],
        cq_entries in proptest::option::of(prop_oneof![0u32..140000, any::<u32>()]),
        clamp in any::<bool>(),
    ) {
        let made = Geometry::new(entries, cq_entries, clamp).ok();
        let made = made.map(|ring| (ring.sq_entries().into(), ring.cq_entries().into()));
        prop_assert_eq!(made, model(entries.into(), cq_entries.map(u64::from), clamp));
    }

    #[test]
    fn entry_counts_are_powers_of_two_in_bounds(ring in any_geometry()) {
        let (sq, cq) = (ring.sq_entries(), ring.cq_entries());
        prop_assert!(sq.is_power_of_two() && cq.is_power_of_two());
        prop_assert!(sq <= MAX_SQ_ENTRIES && sq <= cq && cq <= MAX_CQ_ENTRIES);
    }

    #[test]
    fn regions_do_not_overlap_and_are_aligned(ring in any_geometry()) {
        let cqes_end = CQES + ring.cq_entries() as usize * CQE_SIZE;
        match ring.sq_array_offset() {
            Some(array) => {
                prop_assert!(array >= cqes_end && array - cqes_end < CACHE_LINE);
                prop_assert_eq!(array % CACHE_LINE, 0);
                let size = ring.sq_entries() as usize * SQ_INDEX_SIZE;
                prop_assert_eq!(ring.rings_size(), array + size);
            }
            None => {
                prop_assert!(ring.rings_size() >= cqes_end);
                prop_assert_eq!(ring.rings_size() % CACHE_LINE, 0);
            }
        }
        prop_assert_eq!(ring.sqes_size(), ring.sq_entries() as usize * SQE_SIZE);
    }

    #[test]
    fn any_index_stays_inside_its_region(ring in any_geometry(), index in any::<u32>()) {
        prop_assert!(ring.sqe_offset(index) + SQE_SIZE <= ring.sqes_size());
        let cqe = ring.cqe_offset(index);
        prop_assert!(cqe >= CQES && cqe % CQE_SIZE == 0);
        prop_assert!(cqe + CQE_SIZE <= ring.sq_array_offset().unwrap_or(ring.rings_size()));
        if let Some(entry) = ring.sq_index_offset(index) {
            prop_assert!(entry >= ring.sq_array_offset().unwrap());
            prop_assert!(entry + SQ_INDEX_SIZE <= ring.rings_size());
        }
    }

    #[test]
    fn consecutive_indices_fill_every_slot(ring in any_geometry(), start in any::<u32>()) {
        let entries = ring.cq_entries().min(256);
        let slots = (0..entries).map(|n| slot(start.wrapping_add(n), entries));
        let mut slots: Vec<_> = slots.collect();
        slots.sort_unstable();
        prop_assert!(slots.into_iter().eq(0..entries));
    }

    #[test]
    fn counts_stay_in_bounds_for_any_index_words(
        ours in any::<u32>(),
        theirs in any::<u32>(),
        order in 0u32..=16,
    ) {
        let entries = 1 << order;
        prop_assert!(sq_ready(ours, theirs, entries) <= entries);
        let free = cq_free(ours, theirs, entries);
        prop_assert!(free <= entries);
        // The free entries do not overlap the entries that userspace has not read yet.
        if free > 0 {
            prop_assert!(distance(ours.wrapping_add(free), theirs) <= entries);
        }
    }

    #[test]
    fn counts_are_exact_for_honest_index_words(head in any::<u32>(), used in 0u32..=64) {
        let tail = head.wrapping_add(used);
        prop_assert_eq!(sq_ready(head, tail, 64), used);
        prop_assert_eq!(cq_free(tail, head, 64), 64 - used);
    }
}

#[test]
fn word_of_the_user_overlaps_no_other_word() {
    let words = [
        SQ_HEAD,
        SQ_TAIL,
        CQ_HEAD,
        CQ_TAIL,
        SQ_RING_MASK,
        SQ_RING_ENTRIES,
        CQ_RING_MASK,
        CQ_RING_ENTRIES,
        SQ_DROPPED,
        SQ_FLAGS,
        CQ_FLAGS,
        CQ_OVERFLOW,
        CQES,
    ];
    assert!(words.windows(2).all(|pair| pair[0] + 4 <= pair[1]));
    assert!(words
        .iter()
        .all(|&word| word + 4 <= CQ_TAIL_USER || CQ_TAIL_USER + 4 <= word));
    assert_eq!(CQ_TAIL_USER, CQ_TAIL + 4);
}
