// SPDX-License-Identifier: GPL-2.0

//! Registered buffers: user memory that is pinned once, so that accesses need no page tables of the
//! user.
//!
//! The table is issuer state. A request takes a reference to its buffer while it is prepared, and
//! does not use the table later. The last reference unpins the memory.

use super::{
    account::{
        Account,
        Charge, //
    },
    pinned::Pinned, //
};
use crate::{
    bindings,
    ring::abi::uaccess::read_iovec, //
};
use core::marker::PhantomData;
use kernel::{
    alloc::flags::__GFP_NOWARN,
    page::{
        PAGE_MASK,
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// Maximal number of entries of a table.
const MAX: u32 = 1 << 14;
/// Maximal number of bytes of a buffer.
const MAX_LEN: usize = 1 << 40;
/// Maximal number of bytes that one request transfers (`MAX_RW_COUNT`).
pub(crate) const MAX_TRANSFER: usize = c_int::MAX as usize & PAGE_MASK;

/// The registered buffers of a ring: none, or a table of a fixed size. An entry may be empty.
pub(crate) struct Table(KVVec<Option<Arc<Buffer>>>);

/// The buffers to clone, and their places in both tables.
pub(crate) struct Clones {
    pub(crate) from: u32,
    pub(crate) to: u32,
    /// Number of buffers; 0 for all.
    pub(crate) nr: u32,
    /// Replaces entries of an existing table, which keeps its other entries.
    pub(crate) replace: bool,
}

impl Table {
    pub(crate) const fn new() -> Self {
        Self(KVVec::new())
    }

    /// Registers the `nr` buffers that the iovecs at the user address `iovecs` describe. With
    /// `compat` the iovecs have the layout of a 32-bit program. May sleep.
    ///
    /// # Errors
    ///
    /// `EBUSY` if there is a table, `EINVAL` if `nr` is 0 or too large, and the errors of
    /// [`Buffer::new`]. After an error the table is unchanged.
    pub(crate) fn register(
        &mut self,
        account: &Arc<Account>,
        iovecs: u64,
        nr: u32,
        compat: bool,
    ) -> Result {
        if !self.0.is_empty() {
            return Err(EBUSY);
        }
        if nr == 0 || nr > MAX {
            return Err(EINVAL);
        }
        let mut buffers = KVVec::with_capacity(nr as usize, GFP_KERNEL_ACCOUNT)?;
        for i in 0..nr {
            let (addr, len) = read_iovec(iovecs, i, compat)?;
            let buffer = Buffer::new(account, addr, len)?;
            buffers.push(buffer, GFP_KERNEL_ACCOUNT)?;
        }
        self.0 = buffers;
        Ok(())
    }

    /// Takes the buffers out of the table. Requests keep their references.
    ///
    /// # Errors
    ///
    /// `ENXIO` if there is no table.
    pub(crate) fn unregister(&mut self) -> Result<Self> {
        if self.0.is_empty() {
            return Err(ENXIO);
        }
        Ok(core::mem::replace(self, Self::new()))
    }

    /// Returns the number of entries.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns this table with the buffers of `source` that `clones` names. Both tables share the
    /// buffers. `source` may be this table. May sleep.
    ///
    /// # Errors
    ///
    /// `EBUSY` if there is a table that `clones` does not replace, `ENXIO` if `source` is empty,
    /// `EINVAL` and `EOVERFLOW` for places out of range, `ENOMEM`.
    pub(crate) fn with_clones(&self, source: &Self, clones: &Clones) -> Result<Self> {
        if clones.nr == 0 && (clones.from != 0 || clones.to != 0) {
            return Err(EINVAL);
        }
        if !self.0.is_empty() && !clones.replace {
            return Err(EBUSY);
        }
        let len = source.0.len() as u32;
        let nr = match clones.nr {
            _ if len == 0 => return Err(ENXIO),
            0 => len,
            nr if nr > len => return Err(EINVAL),
            nr => nr,
        };
        let from_end = clones.from.checked_add(nr).ok_or(EOVERFLOW)?;
        let to_end = clones.to.checked_add(nr).ok_or(EOVERFLOW)?;
        if from_end > len {
            return Err(EOVERFLOW);
        }
        if to_end > MAX {
            return Err(EINVAL);
        }
        let mut table = KVVec::with_capacity(
            self.0.len().max(to_end as usize),
            GFP_KERNEL_ACCOUNT | __GFP_NOWARN,
        )?;
        let shared = |table: &Self, index: u32| table.0.get(index as usize).cloned().flatten();
        for index in 0..(self.0.len() as u32).max(to_end) {
            let buffer = match index.checked_sub(clones.to) {
                Some(offset) if offset < nr => shared(source, clones.from.saturating_add(offset)),
                _ => shared(self, index),
            };
            table.push(buffer, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(Self(table))
    }

    /// Returns whether no buffers are registered.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the buffer at `index`.
    ///
    /// # Errors
    ///
    /// `EFAULT` if there is no such buffer.
    pub(crate) fn get(&self, index: u16) -> Result<Arc<Buffer>> {
        let (index, len) = (usize::from(index), self.0.len());
        if index >= len {
            return Err(EFAULT);
        }
        // SAFETY: The helper accepts any numbers.
        let index = unsafe { bindings::miniring_array_index_nospec(index, len) };
        match self.0.get(index) {
            Some(Some(buffer)) => Ok(buffer.clone()),
            _ => Err(EFAULT),
        }
    }
}

/// The part of a buffer that lies in one page.
///
/// # Invariants
///
/// The value owns a pin of `bv_page`.
#[repr(transparent)]
struct Segment(bindings::bio_vec);

impl Segment {
    fn new(page: Pinned, offset: usize, len: usize) -> Self {
        // INVARIANT: `into_raw` passes the pin to this value.
        Self(bindings::bio_vec {
            bv_page: page.into_raw(),
            bv_len: len as c_uint,
            bv_offset: offset as c_uint,
        })
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: `self` owns the pin (type invariants).
        unsafe { bindings::unpin_user_page(self.0.bv_page) };
    }
}

/// The direction of a transfer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Into the buffer: a read of the file.
    Into,
    /// Out of the buffer: a write to the file.
    OutOf,
}

impl Direction {
    pub(crate) const fn as_raw(self) -> c_uint {
        match self {
            Self::Into => bindings::ITER_DEST,
            Self::OutOf => bindings::ITER_SOURCE,
        }
    }
}

/// A registered buffer: pinned user memory.
///
/// Context: dropping the last reference may sleep.
///
/// # Invariants
///
/// `segments` are the `len` bytes that were at the user address `addr`. Each segment but the last
/// ends with its page, each segment but the first starts with its page, and no segment is empty.
pub(crate) struct Buffer {
    addr: usize,
    len: usize,
    segments: KVVec<Segment>,
    /// Dropped after `segments`, which unpins the pages.
    _charge: Charge,
}

// SAFETY: Any task may access and unpin the pages.
unsafe impl Send for Buffer {}
// SAFETY: Any task may access the pages. No code assumes that their contents stay the same, because
// userspace may write them at any time.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// Pins and charges `len` bytes at the user address `addr`. Returns `None` if both are 0. May
    /// sleep.
    ///
    /// # Errors
    ///
    /// `EFAULT` if only one of the two is 0, or if the memory cannot be written or pinned; `EINVAL`
    /// for a length beyond 1 TiB; `EOVERFLOW` for a range beyond the address space; `ENOMEM`
    /// without memory, or beyond RLIMIT_MEMLOCK.
    fn new(account: &Arc<Account>, addr: usize, len: usize) -> Result<Option<Arc<Self>>> {
        match (addr, len) {
            (0, 0) => return Ok(None),
            (0, _) | (_, 0) => return Err(EFAULT),
            (_, len) if len > MAX_LEN => return Err(EINVAL),
            _ => (),
        }
        let pages = Pinned::pin(addr, len)?;
        let charge = Charge::new(account, &pages)?;
        let mut segments = KVVec::with_capacity(pages.len(), GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?;
        let mut offset = addr & !PAGE_MASK;
        let mut left = len;
        for page in pages {
            let part = left.min(PAGE_SIZE - offset);
            segments.push(Segment::new(page, offset, part), GFP_KERNEL_ACCOUNT)?;
            left -= part;
            offset = 0;
        }
        // INVARIANT: The pages are those of the range, in order. Each segment but the last ends
        // with its page, and each but the first starts with its page.
        Ok(Some(Arc::new(
            Self {
                addr,
                len,
                segments,
                _charge: charge,
            },
            GFP_KERNEL_ACCOUNT,
        )?))
    }

    /// Returns an iterator over `len` bytes at the user address `addr`, for the operations of a
    /// file. Any task may use the iterator.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the range is not inside the buffer, or is longer than [`MAX_TRANSFER`].
    pub(crate) fn iter(&self, addr: u64, len: u32, direction: Direction) -> Result<Iter<'_>> {
        let len = len as usize;
        let offset = (addr as usize).checked_sub(self.addr).ok_or(EFAULT)?;
        let end = offset.checked_add(len).ok_or(EFAULT)?;
        if end > self.len || len > MAX_TRANSFER {
            return Err(EFAULT);
        }
        let iter = Opaque::uninit();
        let first = self.segments.first().ok_or(EFAULT)?;
        // Offset from the start of the first page.
        let start = offset + first.0.bv_offset as usize;
        let index = start >> PAGE_SHIFT;
        let nr = (start + len).div_ceil(PAGE_SIZE) - index;
        // An empty range at the end of the buffer is valid, but no segment starts there.
        let segments = match len {
            0 => &[],
            _ => self.segments.get(index..index + nr).ok_or(EFAULT)?,
        };
        let skip = match index {
            0 => offset,
            _ => start & !PAGE_MASK,
        };
        // SAFETY: `iter` is a local value. `Segment` is a transparent `bio_vec`, and `segments` has
        // at least `skip` plus `len` bytes.
        unsafe {
            bindings::iov_iter_bvec(
                iter.get(),
                direction.as_raw(),
                segments.as_ptr().cast(),
                segments.len(),
                len,
            );
            if len != 0 {
                (*iter.get()).iov_offset = skip;
            }
        }
        // INVARIANT: `iter` was initialised above, and the segments live as long as the buffer.
        Ok(Iter {
            iter,
            _buffer: PhantomData,
        })
    }
}

/// A part of a buffer, for the operations of a file.
///
/// # Invariants
///
/// `iter` is initialised, and the segments that it points to live for `'a`.
pub(crate) struct Iter<'a> {
    iter: Opaque<bindings::iov_iter>,
    _buffer: PhantomData<&'a Buffer>,
}

impl Iter<'_> {
    /// Returns the `iov_iter`. The caller leaves it valid.
    pub(crate) fn as_raw(&mut self) -> *mut bindings::iov_iter {
        self.iter.get()
    }
}
