// SPDX-License-Identifier: GPL-2.0

//! Fuzzes ring geometry: for any entry counts and any index, all parts lie inside their mapping and
//! do not overlap.

#![no_main]

use libfuzzer_sys::fuzz_target;
use miniring_pure::geometry::*;

fuzz_target!(|data: [u32; 6]| {
    let [entries, cq_entries, flags, index, ours, theirs] = data;
    let asked = (flags & 1 != 0).then_some(cq_entries);
    let Ok(mut ring) = Geometry::new(entries, asked, flags & 2 != 0) else {
        let sq_too_many = entries > MAX_SQ_ENTRIES && flags & 2 == 0;
        let cq_too_many = asked.is_some_and(|n| n > MAX_CQ_ENTRIES) && flags & 2 == 0;
        let round = |n: u32, max: u32| n.min(max).next_power_of_two();
        let too_few = asked
            .is_some_and(|n| n == 0 || round(n, MAX_CQ_ENTRIES) < round(entries, MAX_SQ_ENTRIES));
        assert!(entries == 0 || sq_too_many || cq_too_many || too_few);
        return;
    };
    if flags & 4 != 0 {
        ring = ring.without_sq_array();
    }
    let (sq, cq) = (ring.sq_entries(), ring.cq_entries());
    assert!(sq.is_power_of_two() && cq.is_power_of_two() && sq <= cq);
    assert!(sq <= MAX_SQ_ENTRIES && cq <= MAX_CQ_ENTRIES);

    let sqe = ring.sqe_offset(index);
    assert!(sqe % SQE_SIZE == 0 && sqe + SQE_SIZE <= ring.sqes_size());
    let cqe = ring.cqe_offset(index);
    let cqes_end = CQES + cq as usize * CQE_SIZE;
    assert!(cqe >= CQES && (cqe - CQES) % CQE_SIZE == 0 && cqe + CQE_SIZE <= cqes_end);
    match (ring.sq_array_offset(), ring.sq_index_offset(index)) {
        (Some(array), Some(entry)) => {
            assert!(array >= cqes_end && entry >= array && entry % SQ_INDEX_SIZE == 0);
            assert!(entry + SQ_INDEX_SIZE <= ring.rings_size());
        }
        (None, None) => assert!(cqes_end <= ring.rings_size()),
        other => panic!("{other:?}"),
    }

    assert!(sq_ready(ours, theirs, sq) <= sq);
    let free = cq_free(ours, theirs, cq);
    assert!(free <= cq);
    // Filling the free entries does not overwrite an entry that is not yet taken.
    assert!(free == 0 || distance(ours.wrapping_add(free), theirs) <= cq);
});
