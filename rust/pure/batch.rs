// SPDX-License-Identifier: GPL-2.0

//! Plans the changes of queued static keys: merges requests, orders patch sites, computes the cost.
//!
//! x86 queues the code to patch in an array sorted by address, and patches the whole array with
//! three machine-wide synchronisations. If an entry is below the last address, x86 first patches
//! the array. So the cost of a change depends on the order of its entries.
//!
//! C source: `arch/x86/kernel/alternative.c`, `smp_text_poke_batch_add()`.

/// Capacity of x86's array: one 4096-byte page of 16-byte entries.
pub const TEXT_POKE_BATCH: usize = 256;

/// Machine-wide synchronisations per batch: after writing the breakpoints, after the rest of each
/// instruction, and after the first bytes.
pub const SYNCS_PER_BATCH: usize = 3;

/// A request to enable or disable one static key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The address, which identifies the key.
    pub key: usize,
    /// The order in time: larger is later. Two requests have different numbers.
    pub seq: u64,
    /// True to enable the key, false to disable it.
    pub enable: bool,
}

/// Reduces `requests` to the last request for each key, in ascending order of the keys' addresses.
///
/// The result is the front of the slice; the rest is unspecified. If two requests for a key have
/// the same `seq`, the request that enables the key counts as later.
pub fn coalesce(requests: &mut [Request]) -> &mut [Request] {
    sort_by_key(requests, |request| {
        (request.key, request.seq, request.enable)
    });

    let mut kept: usize = 0;
    for at in 0..requests.len() {
        let Some(&request) = requests.get(at) else {
            break;
        };
        let next = requests.get(at.saturating_add(1));
        if next.is_some_and(|next| next.key == request.key) {
            continue;
        }
        if let Some(slot) = requests.get_mut(kept) {
            *slot = request;
            kept = kept.saturating_add(1);
        }
    }
    requests.get_mut(..kept).unwrap_or_default()
}

/// Sorts `entries` by ascending code address, the order that fills whole batches.
///
/// `code` must return the same address for an entry each time: the order depends on it.
pub fn order_by_code<T>(entries: &mut [T], code: impl Fn(&T) -> usize) {
    sort_by_key(entries, code);
}

/// Sorts in place with heapsort, in O(n log n) for any input.
///
/// The sorts of `core` may panic for an inconsistent order, and objtool does not know that this
/// panic does not return. Sorted input, such as the keys of a table of sites, takes one comparison
/// per item.
fn sort_by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    let mut pairs = items.iter().zip(items.iter().skip(1));
    if pairs.all(|(a, b)| key(a) <= key(b)) {
        return;
    }
    for root in (0..items.len() / 2).rev() {
        sift_down(items, root, &key);
    }
    let mut heap = items;
    while let Some(last) = heap.len().checked_sub(1) {
        heap.swap(0, last);
        heap = heap.get_mut(..last).unwrap_or_default();
        sift_down(heap, 0, &key);
    }
}

/// Moves the item at `root` down until no item below it has a larger key.
fn sift_down<T, K: Ord>(heap: &mut [T], mut root: usize, key: &impl Fn(&T) -> K) {
    loop {
        let left = root.saturating_mul(2).saturating_add(1);
        let right = left.saturating_add(1);
        let larger = match (heap.get(left), heap.get(right)) {
            (Some(a), Some(b)) if key(a) < key(b) => right,
            (Some(_), _) => left,
            _ => return,
        };
        match (heap.get(root), heap.get(larger)) {
            (Some(a), Some(b)) if key(a) < key(b) => heap.swap(root, larger),
            _ => return,
        }
        root = larger;
    }
}

/// Returns the number of machine-wide synchronisations to patch `entries` in order.
///
/// Each batch of up to `batch` entries takes [`SYNCS_PER_BATCH`]. A `batch` of 0 is taken as 1.
pub fn syncs(entries: usize, batch: usize) -> usize {
    entries
        .div_ceil(batch.max(1))
        .saturating_mul(SYNCS_PER_BATCH)
}

/// Returns the number of times that an array of `batch` entries is patched if `addresses` are added
/// in this order.
///
/// The array is patched when it is full, before an address that is lower than the last address, and
/// at the end. A `batch` of 0 is taken as 1.
pub fn flushes_unsorted(addresses: impl Iterator<Item = usize>, batch: usize) -> usize {
    let batch = batch.max(1);
    let mut flushes: usize = 0;
    let mut queued: usize = 0;
    let mut last = 0;

    for address in addresses {
        if queued >= batch || (queued > 0 && address < last) {
            flushes = flushes.saturating_add(1);
            queued = 0;
        }
        queued = queued.saturating_add(1);
        last = address;
    }
    flushes.saturating_add(usize::from(queued > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(key: usize, seq: u64, enable: bool) -> Request {
        Request { key, seq, enable }
    }

    #[test]
    fn last_request_for_a_key_wins() {
        let mut requests = [
            request(8, 3, true),
            request(4, 2, true),
            request(8, 1, false),
            request(4, 4, false),
        ];
        assert_eq!(
            coalesce(&mut requests),
            [request(4, 4, false), request(8, 3, true)]
        );
    }

    #[test]
    fn enable_then_disable_leaves_one_disable() {
        let mut requests = [request(1, 0, true), request(1, 1, false)];
        assert_eq!(coalesce(&mut requests), [request(1, 1, false)]);
    }

    #[test]
    fn equal_sequence_numbers_resolve_to_enable() {
        let mut requests = [request(1, 7, true), request(1, 7, false)];
        assert_eq!(coalesce(&mut requests), [request(1, 7, true)]);
    }

    #[test]
    fn empty_queue_coalesces_to_nothing() {
        assert_eq!(coalesce(&mut []), []);
    }

    #[test]
    fn entries_are_sorted_by_code_address() {
        let mut entries = [(30, 'a'), (10, 'b'), (20, 'c')];
        order_by_code(&mut entries, |entry| entry.0);
        assert_eq!(entries, [(10, 'b'), (20, 'c'), (30, 'a')]);
    }

    #[test]
    fn each_started_batch_costs_three_syncs() {
        assert_eq!(syncs(0, TEXT_POKE_BATCH), 0);
        assert_eq!(syncs(1, TEXT_POKE_BATCH), 3);
        assert_eq!(syncs(256, TEXT_POKE_BATCH), 3);
        assert_eq!(syncs(257, TEXT_POKE_BATCH), 6);
        assert_eq!(syncs(1876, TEXT_POKE_BATCH), 24);
    }

    #[test]
    fn batch_size_of_zero_counts_as_one() {
        assert_eq!(syncs(5, 0), 15);
        assert_eq!(flushes_unsorted(0..5, 0), 5);
    }

    #[test]
    fn syncs_saturate_for_a_huge_count() {
        assert_eq!(syncs(usize::MAX, 1), usize::MAX);
    }

    #[test]
    fn lower_address_flushes_the_array() {
        assert_eq!(flushes_unsorted([3, 2, 1].into_iter(), TEXT_POKE_BATCH), 3);
        assert_eq!(
            flushes_unsorted([1, 3, 2, 4].into_iter(), TEXT_POKE_BATCH),
            2
        );
    }

    #[test]
    fn equal_address_does_not_flush_the_array() {
        assert_eq!(flushes_unsorted([5, 5, 5].into_iter(), TEXT_POKE_BATCH), 1);
    }

    #[test]
    fn full_array_flushes_when_an_entry_follows() {
        assert_eq!(flushes_unsorted(0..256, TEXT_POKE_BATCH), 1);
        assert_eq!(flushes_unsorted(0..257, TEXT_POKE_BATCH), 2);
    }

    #[test]
    fn empty_array_is_not_flushed() {
        assert_eq!(flushes_unsorted(core::iter::empty(), TEXT_POKE_BATCH), 0);
    }
}
