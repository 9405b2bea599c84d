// SPDX-License-Identifier: GPL-2.0

//! The pages that the kernel and userspace share.
//!
//! Userspace may write the pages at any time. So the contents are only referenced as atomics, every
//! word is loaded once, and every entry is copied before it is used. Offsets come from
//! [`Geometry`], which reduces every index.
//!
//! The words synchronise with atomics of userspace, which follow the C11 model. So the words are
//! atomics of `core`. The kernel's atomics pair with kernel code.

use super::sqe::Sqe;
use crate::pure::geometry::{
    self,
    Geometry, //
};
use core::{
    mem::size_of,
    ptr::NonNull,
    sync::atomic::{
        AtomicU32,
        Ordering::{
            Acquire,
            Relaxed,
            Release,
            SeqCst, //
        }, //
    }, //
};
use kernel::{
    alloc::{
        allocator::VmallocPageIter,
        flags::__GFP_NOWARN, //
    },
    mm::virt::VmaNew,
    page::{
        page_align,
        PAGE_SIZE, //
    },
    prelude::*, //
};

/// A completion queue entry (`struct io_uring_cqe`).
#[repr(C)]
#[derive(Clone, Copy, Default)]
pub(crate) struct Cqe {
    pub(crate) user_data: u64,
    pub(crate) res: i32,
    pub(crate) flags: u32,
}

const _: () = assert!(size_of::<Cqe>() == geometry::CQE_SIZE);
const _: () = assert!(size_of::<Sqe>() == geometry::SQE_SIZE);

/// Whole pages that may be mapped to userspace, zeroed at first.
///
/// The pages are charged to the memory cgroup of the maker, but not to RLIMIT_MEMLOCK, as in
/// `io_uring`. No code makes a reference to the contents.
struct Region(VVec<u8>);

impl Region {
    /// Allocates at least `size` bytes.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn new(size: usize) -> Result<Self> {
        let size = page_align(size).ok_or(ENOMEM)?;
        Ok(Self(VVec::zeroed(size, GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?))
    }

    #[inline]
    fn base(&self) -> *mut u8 {
        self.0.as_ptr().cast_mut()
    }

    /// Maps the region, from its start, over `vma`.
    ///
    /// # Errors
    ///
    /// `EINVAL` if `vma` is longer than the region, `ENOMEM`.
    fn map(&self, vma: &VmaNew) -> Result {
        let len = vma.end() - vma.start();
        if len > self.0.len() {
            return Err(EINVAL);
        }
        vma.set_dontexpand();
        vma.set_dontdump();
        let vma_of_pages = vma.set_mixedmap();
        let base = NonNull::new(self.base()).ok_or(EINVAL)?;
        // SAFETY: `base` is the start of an allocation of `self.0.len()` bytes, which lives as long
        // as `self`.
        let pages = unsafe { VmallocPageIter::new(base, self.0.len()) };
        for (addr, page) in (vma.start()..vma.end()).step_by(PAGE_SIZE).zip(pages) {
            vma_of_pages.vm_insert_page(addr, &page)?;
        }
        Ok(())
    }
}

/// The two regions that a program maps.
///
/// # Invariants
///
/// `rings` has at least `geometry.rings_size()` bytes, `sqes` at least `geometry.sqes_size()`.
pub(crate) struct Shared {
    geometry: Geometry,
    rings: Region,
    sqes: Region,
}

// SAFETY: All accesses to the memory are atomic or volatile.
unsafe impl Send for Shared {}
// SAFETY: As above.
unsafe impl Sync for Shared {}

/// Accessors for the 32-bit words of the rings mapping. Two words have no accessor:
/// [`geometry::CQ_TAIL_USER`] belongs to the user, and the overflow count stays 0 because no
/// completion is ever lost.
macro_rules! words {
    ($($(#[$attr:meta])* $name:ident = $offset:ident;)*) => {
        $(
            $(#[$attr])*
            #[inline]
            fn $name(&self) -> &AtomicU32 {
                const { assert!(geometry::$offset + 4 <= geometry::CQES) };
                // SAFETY: The offset is a multiple of four and below `CQES` (asserted above), and
                // the mapping includes the CQEs (type invariants). The kernel accesses the word
                // only through this reference.
                unsafe { AtomicU32::from_ptr(self.rings.base().byte_add(geometry::$offset).cast()) }
            }
        )*
    };
}

impl Shared {
    /// Allocates and initialises the pages of a ring.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(geometry: Geometry) -> Result<Self> {
        let shared = Self {
            geometry,
            rings: Region::new(geometry.rings_size())?,
            sqes: Region::new(geometry.sqes_size())?,
        };
        let sq_entries = geometry.sq_entries();
        let cq_entries = geometry.cq_entries();
        shared
            .sq_ring_mask()
            .store(geometry::mask(sq_entries), Relaxed);
        shared.sq_ring_entries().store(sq_entries, Relaxed);
        shared
            .cq_ring_mask()
            .store(geometry::mask(cq_entries), Relaxed);
        shared.cq_ring_entries().store(cq_entries, Relaxed);
        Ok(shared)
    }

    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    words! {
        sq_head_word = SQ_HEAD;
        sq_tail_word = SQ_TAIL;
        cq_head_word = CQ_HEAD;
        cq_tail_word = CQ_TAIL;
        sq_ring_mask = SQ_RING_MASK;
        sq_ring_entries = SQ_RING_ENTRIES;
        cq_ring_mask = CQ_RING_MASK;
        cq_ring_entries = CQ_RING_ENTRIES;
        sq_dropped_word = SQ_DROPPED;
        sq_flags_word = SQ_FLAGS;
        cq_flags_word = CQ_FLAGS;
    }

    /// Returns the SQ tail. The SQEs before the tail are visible to the caller.
    #[inline]
    pub(crate) fn sq_tail(&self) -> u32 {
        self.sq_tail_word().load(Acquire)
    }

    /// Returns the CQ head. The caller may overwrite the entries before the head.
    #[inline]
    pub(crate) fn cq_head(&self) -> u32 {
        self.cq_head_word().load(Acquire)
    }

    /// Returns the CQ tail that userspace sees, and can overwrite. The CQEs before the tail are
    /// visible to the caller.
    #[inline]
    pub(crate) fn cq_tail(&self) -> u32 {
        self.cq_tail_word().load(Acquire)
    }

    /// Stores the CQ head, as userspace does when it has taken the entries before `head`.
    #[cfg(CONFIG_KUNIT = "y")]
    pub(crate) fn set_cq_head(&self, head: u32) {
        self.cq_head_word().store(head, Release);
    }

    /// Stores an index, as userspace does for the SQ position `head`.
    #[cfg(CONFIG_KUNIT = "y")]
    pub(crate) fn set_sq_index(&self, head: u32, index: u32) -> Result {
        let offset = self.geometry.sq_index_offset(head).ok_or(EINVAL)?;
        // SAFETY: `offset` is a multiple of four inside of the mapping (type invariants).
        unsafe {
            self.rings
                .base()
                .byte_add(offset)
                .cast::<u32>()
                .write_volatile(index)
        }
        Ok(())
    }

    /// Fills the SQE that `index` selects, as userspace does.
    #[cfg(CONFIG_KUNIT = "y")]
    pub(crate) fn set_sqe(&self, index: u32, words: [u64; geometry::SQE_SIZE / 8]) {
        // SAFETY: The offset is a multiple of the entry size inside of the mapping (type
        // invariants).
        unsafe {
            self.sqes
                .base()
                .byte_add(self.geometry.sqe_offset(index))
                .cast::<[u64; geometry::SQE_SIZE / 8]>()
                .write_volatile(words)
        }
    }

    /// Reads the CQE at the CQ position `tail`, as userspace does.
    #[cfg(CONFIG_KUNIT = "y")]
    pub(crate) fn cqe(&self, tail: u32) -> Cqe {
        // SAFETY: The offset is a multiple of the entry size inside of the mapping (type
        // invariants).
        unsafe {
            self.rings
                .base()
                .byte_add(self.geometry.cqe_offset(tail))
                .cast::<Cqe>()
                .read_volatile()
        }
    }

    /// Returns the CQ flags that userspace sets (`IORING_CQ_*`).
    #[inline]
    pub(crate) fn cq_flags(&self) -> u32 {
        self.cq_flags_word().load(Relaxed)
    }

    /// Publishes the SQ head: the SQEs before `head` belong to userspace again.
    #[inline]
    pub(crate) fn publish_sq_head(&self, head: u32) {
        self.sq_head_word().store(head, Release);
    }

    /// Publishes the CQ tail: userspace may read the CQEs before `tail`.
    #[inline]
    pub(crate) fn publish_cq_tail(&self, tail: u32) {
        self.cq_tail_word().store(tail, Release);
    }

    /// Sets `flags` (`IORING_SQ_*`) among the SQ flags, with a full barrier.
    pub(crate) fn raise_sq_flags(&self, flags: u32) {
        self.sq_flags_word().fetch_or(flags, SeqCst);
    }

    /// Clears `flags` among the SQ flags.
    pub(crate) fn lower_sq_flags(&self, flags: u32) {
        self.sq_flags_word().fetch_and(!flags, Relaxed);
    }

    pub(crate) fn set_sq_dropped(&self, dropped: u32) {
        self.sq_dropped_word().store(dropped, Relaxed);
    }

    /// Returns the current indices, as `(sq_head, sq_tail, cq_head, cq_tail)`.
    pub(crate) fn indices(&self) -> (u32, u32, u32, u32) {
        (
            self.sq_head_word().load(Relaxed),
            self.sq_tail_word().load(Relaxed),
            self.cq_head_word().load(Relaxed),
            self.cq_tail_word().load(Relaxed),
        )
    }

    /// Returns the index array's entry for the SQ position `head`, unreduced. Without an array,
    /// returns the slot of the position.
    #[inline]
    pub(crate) fn sq_index(&self, head: u32) -> u32 {
        let Some(offset) = self.geometry.sq_index_offset(head) else {
            return geometry::slot(head, self.geometry.sq_entries());
        };
        // SAFETY: `offset` is a multiple of four inside of the mapping (type invariants).
        unsafe {
            self.rings
                .base()
                .byte_add(offset)
                .cast::<u32>()
                .read_volatile()
        }
    }

    /// Copies the SQE that `index` selects, once.
    #[inline]
    pub(crate) fn copy_sqe(&self, index: u32) -> Sqe {
        let mut words = [0u64; geometry::SQE_SIZE / 8];
        // SAFETY: The offset is a multiple of the entry size inside of the mapping (type
        // invariants).
        let entry = unsafe { self.sqes.base().byte_add(self.geometry.sqe_offset(index)) };
        let entry = entry.cast::<u64>();
        for (i, word) in words.iter_mut().enumerate() {
            // SAFETY: The entry has as many words as `words`, and is aligned to its size.
            *word = unsafe { entry.add(i).read_volatile() };
        }
        Sqe::from_words(words)
    }

    /// Writes the CQE at the CQ position `tail`. Userspace sees it from
    /// [`Shared::publish_cq_tail`] on.
    #[inline]
    pub(crate) fn write_cqe(&self, tail: u32, cqe: Cqe) {
        // SAFETY: The offset is a multiple of the entry size inside of the mapping (type
        // invariants). Userspace may read the entry meanwhile; the store is volatile.
        unsafe {
            self.rings
                .base()
                .byte_add(self.geometry.cqe_offset(tail))
                .cast::<Cqe>()
                .write_volatile(cqe)
        }
    }

    /// Maps the rings (`IORING_OFF_SQ_RING`, `IORING_OFF_CQ_RING`).
    pub(crate) fn map_rings(&self, vma: &VmaNew) -> Result {
        self.rings.map(vma)
    }

    /// Maps the SQEs (`IORING_OFF_SQES`).
    pub(crate) fn map_sqes(&self, vma: &VmaNew) -> Result {
        self.sqes.map(vma)
    }
}
