// SPDX-License-Identifier: GPL-2.0

//! Ring geometry: entry counts, the layout of the mapped pages, and index arithmetic that is safe
//! for any value that userspace writes.
//!
//! Entry counts follow `io_uring_setup(2)`. The layout may differ from that of `io_uring`, because
//! programs read the offsets from `struct io_uring_params`. Here each head and each tail starts a
//! cache line in every configuration. So the word after the CQ tail is free for userspace
//! ([`CQ_TAIL_USER`]).
//!
//! C source: `io_uring/io_uring.c`, `io_uring_fill_params()` and `rings_size()`.

use core::fmt;

/// Most SQ entries (`IORING_MAX_ENTRIES`).
pub const MAX_SQ_ENTRIES: u32 = 32768;
/// Most CQ entries (`IORING_MAX_CQ_ENTRIES`).
pub const MAX_CQ_ENTRIES: u32 = 65536;

/// Bytes in a cache line of x86.
pub const CACHE_LINE: usize = 64;
/// Bytes in a `struct io_uring_sqe`.
pub const SQE_SIZE: usize = 64;
/// Bytes in a `struct io_uring_cqe`.
pub const CQE_SIZE: usize = 16;
/// Bytes in an entry of the SQ index array.
pub const SQ_INDEX_SIZE: usize = 4;

/// Byte offset of the SQ head, which the kernel writes.
pub const SQ_HEAD: usize = 0;
/// Byte offset of the SQ tail, which userspace writes.
pub const SQ_TAIL: usize = 64;
/// Byte offset of the CQ head, which userspace writes.
pub const CQ_HEAD: usize = 128;
/// Byte offset of the CQ tail, which the kernel writes, 32 bits at a time.
pub const CQ_TAIL: usize = 192;
/// Byte offset of the 32-bit word for userspace. The kernel never reads or writes the word.
pub const CQ_TAIL_USER: usize = CQ_TAIL + 4;
/// Byte offset of the SQ ring mask (constant).
pub const SQ_RING_MASK: usize = 256;
/// Byte offset of the number of SQ entries (constant).
pub const SQ_RING_ENTRIES: usize = 260;
/// Byte offset of the CQ ring mask (constant).
pub const CQ_RING_MASK: usize = 264;
/// Byte offset of the number of CQ entries (constant).
pub const CQ_RING_ENTRIES: usize = 268;
/// Byte offset of the count of SQEs dropped for a bad index, which the kernel writes.
pub const SQ_DROPPED: usize = 272;
/// Byte offset of the SQ flags (`IORING_SQ_*`), which the kernel writes.
pub const SQ_FLAGS: usize = 276;
/// Byte offset of the CQ flags (`IORING_CQ_*`), which userspace writes.
pub const CQ_FLAGS: usize = 280;
/// Byte offset of the count of lost completions, which the kernel writes.
pub const CQ_OVERFLOW: usize = 284;
/// Byte offset of the CQEs.
pub const CQES: usize = 320;

const _: () = {
    assert!(SQ_HEAD % CACHE_LINE == 0);
    assert!(SQ_TAIL % CACHE_LINE == 0 && SQ_TAIL > SQ_HEAD);
    assert!(CQ_HEAD % CACHE_LINE == 0 && CQ_HEAD > SQ_TAIL);
    assert!(CQ_TAIL % CACHE_LINE == 0 && CQ_TAIL > CQ_HEAD);
    assert!(CQ_TAIL_USER / CACHE_LINE == CQ_TAIL / CACHE_LINE);
    assert!(SQ_RING_MASK % CACHE_LINE == 0 && SQ_RING_MASK >= CQ_TAIL_USER + 4);
    assert!(CQES % CACHE_LINE == 0 && CQES >= CQ_OVERFLOW + 4);
};

/// The numbers of entries are out of range (`EINVAL`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid;

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("invalid number of ring entries")
    }
}

/// The sizes of a ring.
///
/// # Invariants
///
/// Both numbers of entries are powers of two, and
/// `1 <= sq_entries <= cq_entries`, `sq_entries <= MAX_SQ_ENTRIES`, `cq_entries <= MAX_CQ_ENTRIES`.
/// So no size or offset below exceeds `CQES + 2 MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    sq_entries: u32,
    cq_entries: u32,
    sq_array: bool,
}

impl Geometry {
    /// Computes the geometry of a ring with `entries` SQ entries.
    ///
    /// `cq_entries` is set with `IORING_SETUP_CQSIZE`; otherwise the CQ is twice the SQ. `clamp` is
    /// `IORING_SETUP_CLAMP`. Both counts are rounded up to powers of two.
    ///
    /// # Errors
    ///
    /// [`Invalid`] if a count is 0, or above its maximum without `clamp`, or if the CQ is smaller
    /// than the SQ after rounding.
    pub fn new(entries: u32, cq_entries: Option<u32>, clamp: bool) -> Result<Self, Invalid> {
        let sq_entries = round(entries, MAX_SQ_ENTRIES, clamp)?;
        let cq_entries = match cq_entries {
            Some(cq_entries) => round(cq_entries, MAX_CQ_ENTRIES, clamp)?,
            None => sq_entries.saturating_mul(2),
        };
        if cq_entries < sq_entries {
            return Err(Invalid);
        }
        // INVARIANT: `round` returns a power of two from 1 to the maximum, and the maximum of the
        // CQ is twice that of the SQ.
        Ok(Self {
            sq_entries,
            cq_entries,
            sq_array: true,
        })
    }

    /// Removes the SQ index array (`IORING_SETUP_NO_SQARRAY`).
    pub const fn without_sq_array(self) -> Self {
        Self {
            sq_array: false,
            ..self
        }
    }

    /// Returns the number of SQ entries, a power of two.
    pub const fn sq_entries(&self) -> u32 {
        self.sq_entries
    }

    /// Returns the number of CQ entries, a power of two.
    pub const fn cq_entries(&self) -> u32 {
        self.cq_entries
    }

    /// Returns the size of the mapping of the SQEs in bytes, not rounded to pages.
    pub const fn sqes_size(&self) -> usize {
        (self.sq_entries as usize).saturating_mul(SQE_SIZE)
    }

    /// Returns the byte offset in the SQE mapping of the SQE that `index`, any number, selects.
    pub const fn sqe_offset(&self, index: u32) -> usize {
        (slot(index, self.sq_entries) as usize).saturating_mul(SQE_SIZE)
    }

    /// Returns the size of the mapping of the rings in bytes, not rounded to pages.
    pub const fn rings_size(&self) -> usize {
        match self.sq_array_offset() {
            Some(offset) => {
                offset.saturating_add((self.sq_entries as usize).saturating_mul(SQ_INDEX_SIZE))
            }
            None => self.cqes_end(),
        }
    }

    /// Returns the byte offset in the ring mapping of the CQE that `index`, any number, selects.
    pub const fn cqe_offset(&self, index: u32) -> usize {
        CQES.saturating_add((slot(index, self.cq_entries) as usize).saturating_mul(CQE_SIZE))
    }

    /// Returns the byte offset in the ring mapping of the SQ index array, if there is one.
    pub const fn sq_array_offset(&self) -> Option<usize> {
        if self.sq_array {
            Some(self.cqes_end())
        } else {
            None
        }
    }

    /// Returns the byte offset in the ring mapping of the SQ index that `index`, any number,
    /// selects.
    ///
    /// Returns `None` without an SQ index array.
    pub const fn sq_index_offset(&self, index: u32) -> Option<usize> {
        match self.sq_array_offset() {
            Some(offset) => Some(offset.saturating_add(
                (slot(index, self.sq_entries) as usize).saturating_mul(SQ_INDEX_SIZE),
            )),
            None => None,
        }
    }

    /// Returns the end of the CQEs, rounded up to a cache line.
    const fn cqes_end(&self) -> usize {
        let end = CQES.saturating_add((self.cq_entries as usize).saturating_mul(CQE_SIZE));
        end.saturating_add(CACHE_LINE - 1) & !(CACHE_LINE - 1)
    }
}

/// Rounds `entries` up to a power of two, at most `max`, which is a power of two.
fn round(entries: u32, max: u32, clamp: bool) -> Result<u32, Invalid> {
    match entries {
        0 => Err(Invalid),
        _ if entries > max && !clamp => Err(Invalid),
        _ => Ok(entries.min(max).next_power_of_two()),
    }
}

/// Returns the mask that reduces an index to a slot of `entries`, a power of two.
pub const fn mask(entries: u32) -> u32 {
    entries.wrapping_sub(1)
}

/// Returns the entry that `index` selects in a ring of `entries`, a power of two.
pub const fn slot(index: u32, entries: u32) -> u32 {
    index & mask(entries)
}

/// Returns the distance from `head` to `tail`, which both wrap around at 2^32.
pub const fn distance(tail: u32, head: u32) -> u32 {
    tail.wrapping_sub(head)
}

/// Returns the number of SQEs to take, from the kernel's own `head` and the `tail` that userspace
/// wrote.
///
/// Returns at most `entries`, for any `tail`.
pub fn sq_ready(head: u32, tail: u32, entries: u32) -> u32 {
    distance(tail, head).min(entries)
}

/// Returns the number of free CQEs, from the kernel's own `cached_tail` and the `user_head` that
/// userspace wrote.
///
/// Returns 0 for an invalid head: ahead of the tail, or more than `entries` behind it.
pub fn cq_free(cached_tail: u32, user_head: u32, entries: u32) -> u32 {
    entries.saturating_sub(distance(cached_tail, user_head))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries(geometry: Result<Geometry, Invalid>) -> Result<(u32, u32), Invalid> {
        geometry.map(|geometry| (geometry.sq_entries(), geometry.cq_entries()))
    }

    #[test]
    fn entries_round_up_to_a_power_of_two() {
        assert_eq!(entries(Geometry::new(1, None, false)), Ok((1, 2)));
        assert_eq!(entries(Geometry::new(3, None, false)), Ok((4, 8)));
        assert_eq!(entries(Geometry::new(64, None, false)), Ok((64, 128)));
        assert_eq!(entries(Geometry::new(5, Some(9), false)), Ok((8, 16)));
    }

    #[test]
    fn zero_entries_are_invalid_even_with_clamp() {
        assert_eq!(entries(Geometry::new(0, None, true)), Err(Invalid));
        assert_eq!(entries(Geometry::new(1, Some(0), true)), Err(Invalid));
    }

    #[test]
    fn too_many_entries_are_invalid_without_clamp() {
        assert_eq!(entries(Geometry::new(32769, None, false)), Err(Invalid));
        assert_eq!(
            entries(Geometry::new(32769, None, true)),
            Ok((32768, 65536))
        );
        assert_eq!(entries(Geometry::new(1, Some(65537), false)), Err(Invalid));
        assert_eq!(
            entries(Geometry::new(1, Some(u32::MAX), true)),
            Ok((1, 65536))
        );
    }

    #[test]
    fn largest_ring_needs_no_clamp() {
        assert_eq!(
            entries(Geometry::new(32768, Some(65536), false)),
            Ok((32768, 65536))
        );
    }

    #[test]
    fn cq_smaller_than_sq_is_invalid_after_rounding() {
        assert_eq!(entries(Geometry::new(8, Some(4), false)), Err(Invalid));
        assert_eq!(entries(Geometry::new(8, Some(4), true)), Err(Invalid));
        assert_eq!(entries(Geometry::new(8, Some(5), false)), Ok((8, 8)));
        assert_eq!(entries(Geometry::new(8, Some(8), false)), Ok((8, 8)));
    }

    #[test]
    fn sq_array_starts_a_cache_line_after_the_cqes() {
        let smallest = Geometry::new(1, Some(1), false).unwrap();
        assert_eq!(smallest.sq_array_offset(), Some(384));
        assert_eq!(smallest.rings_size(), 388);

        let usual = Geometry::new(8, None, false).unwrap();
        assert_eq!(usual.sq_array_offset(), Some(320 + 16 * 16));
        assert_eq!(usual.rings_size(), 320 + 16 * 16 + 8 * 4);
        assert_eq!(usual.sqes_size(), 512);
    }

    #[test]
    fn ring_without_sq_array_reserves_no_room_for_it() {
        let ring = Geometry::new(8, None, false).unwrap().without_sq_array();
        assert_eq!(ring.sq_array_offset(), None);
        assert_eq!(ring.sq_index_offset(3), None);
        assert_eq!(ring.rings_size(), 320 + 16 * 16);
    }

    #[test]
    fn indices_wrap_at_the_size_of_their_ring() {
        let ring = Geometry::new(4, None, false).unwrap();
        assert_eq!(ring.sqe_offset(5), 64);
        assert_eq!(ring.cqe_offset(u32::MAX), CQES + 7 * 16);
        assert_eq!(ring.sq_index_offset(6), Some(CQES + 8 * 16 + 2 * 4));
    }

    #[test]
    fn distance_wraps_at_32_bits() {
        assert_eq!(distance(2, u32::MAX), 3);
        assert_eq!(distance(7, 7), 0);
    }

    #[test]
    fn hostile_sq_tail_is_clamped() {
        assert_eq!(sq_ready(10, 13, 8), 3);
        assert_eq!(sq_ready(10, 10, 8), 0);
        assert_eq!(sq_ready(10, 9, 8), 8);
        assert_eq!(sq_ready(10, u32::MAX, 8), 8);
    }

    #[test]
    fn hostile_cq_head_leaves_no_room() {
        assert_eq!(cq_free(10, 10, 8), 8);
        assert_eq!(cq_free(10, 7, 8), 5);
        assert_eq!(cq_free(10, 2, 8), 0);
        assert_eq!(cq_free(10, 1, 8), 0);
        assert_eq!(cq_free(10, 11, 8), 0);
    }
}
