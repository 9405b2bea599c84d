// SPDX-License-Identifier: GPL-2.0

//! Fuzzes batch planning: coalesced requests equal those of a map, the code is in order, and the
//! cost equals a count.

#![no_main]

use libfuzzer_sys::fuzz_target;
use miniring_pure::batch::*;
use std::collections::BTreeMap;

/// Makes a request of every two bytes. There are few keys, so many requests are for the same key.
fn requests(data: &[u8]) -> Vec<Request> {
    let mut requests: Vec<_> = data
        .chunks_exact(2)
        .zip(0..)
        .map(|(bytes, seq)| Request {
            key: usize::from(bytes[0] >> 1),
            seq,
            enable: bytes[0] & 1 != 0,
        })
        .collect();
    for (at, bytes) in data.chunks_exact(2).enumerate() {
        let other = usize::from(bytes[1]) % requests.len();
        requests.swap(at, other);
    }
    requests
}

fuzz_target!(|data: &[u8]| {
    let mut asked = requests(data);
    let mut last = BTreeMap::new();
    for request in &asked {
        let entry = last.entry(request.key).or_insert(*request);
        if request.seq > entry.seq {
            *entry = *request;
        }
    }
    let kept = coalesce(&mut asked);
    assert!(kept.iter().eq(last.values()));

    let mut code: Vec<u16> = data
        .chunks_exact(2)
        .map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
        .collect();
    let mut sorted = code.clone();
    order_by_code(&mut code, |&address| usize::from(address));
    sorted.sort_unstable();
    assert_eq!(code, sorted);

    let batch = data.first().map_or(0, |&byte| usize::from(byte));
    let addresses = code.iter().map(|&address| usize::from(address));
    let flushes = flushes_unsorted(addresses, batch);
    assert_eq!(flushes, code.len().div_ceil(batch.max(1)));
    assert_eq!(syncs(code.len(), batch), SYNCS_PER_BATCH * flushes);
});
