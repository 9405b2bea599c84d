// SPDX-License-Identifier: GPL-2.0

//! Registered buffers: user memory that is pinned once, and read and written without the user's
//! page tables from then on.
//!
//! The table is issuer state. A request takes a reference to its buffer while it is prepared, and
//! needs the table no more; the memory is unpinned with the last reference.

use super::account::{
    Account,
    Charge, //
};
use crate::{
    bindings,
    ring::abi::uaccess::read_iovec, //
};
use core::{
    marker::PhantomData,
    mem::ManuallyDrop, //
};
use kernel::{
    alloc::flags::__GFP_NOWARN,
    error::to_result,
    page::{
        page_align,
        PAGE_MASK,
        PAGE_SHIFT,
        PAGE_SIZE, //
    },
    prelude::*,
    sync::Arc,
    types::Opaque, //
};

/// Most entries of a table.
const MAX: u32 = 1 << 14;
/// Most bytes of a buffer.
const MAX_LEN: usize = 1 << 40;
/// Most bytes that one request may transfer (`MAX_RW_COUNT`).
pub(crate) const MAX_TRANSFER: usize = c_int::MAX as usize & PAGE_MASK;

/// The registered buffers of a ring: none, or a table of a fixed size. An entry may be empty.
pub(crate) struct Table(KVVec<Option<Arc<Buffer>>>);

/// Which buffers of one table go where in another.
pub(crate) struct Clones {
    pub(crate) from: u32,
    pub(crate) to: u32,
    /// How many; 0 for all.
    pub(crate) nr: u32,
    /// A table that is there keeps its other entries.
    pub(crate) replace: bool,
}

impl Table {
    pub(crate) const fn new() -> Self {
        Self(KVVec::new())
    }

    /// Fills the table with buffers as `nr` iovecs at the user address `iovecs` describe them;
    /// `compat` tells that these are those of a 32-bit program. May sleep.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the table is filled, `EINVAL` for a number that cannot be, or what
    /// [`Buffer::new`] says, and then there is no table.
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

    /// Takes the buffers out of the table. Requests that have one keep it.
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

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// This table with buffers of `source`, which may be the same, at the places that `clones`
    /// names. They are shared. May sleep.
    ///
    /// # Errors
    ///
    /// `EBUSY` if the table is filled and not to be replaced, `ENXIO` if `source` is not, `EINVAL`
    /// and `EOVERFLOW` for places that cannot be, `ENOMEM`.
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

    /// Whether no buffers are registered.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The buffer with this index.
    ///
    /// # Errors
    ///
    /// `EFAULT` if there is none.
    pub(crate) fn get(&self, index: u16) -> Result<Arc<Buffer>> {
        let (index, len) = (usize::from(index), self.0.len());
        if index >= len {
            return Err(EFAULT);
        }
        // SAFETY: May be called with any numbers.
        let index = unsafe { bindings::miniring_array_index_nospec(index, len) };
        match self.0.get(index) {
            Some(Some(buffer)) => Ok(buffer.clone()),
            _ => Err(EFAULT),
        }
    }
}

/// A page that is pinned for long.
///
/// # Invariants
///
/// A page, with a pin that is this value's.
#[repr(transparent)]
pub(crate) struct Pinned(*mut bindings::page);

impl Pinned {
    /// Pins the pages that hold `len` bytes at the user address `addr`, for reading and writing.
    /// May sleep.
    ///
    /// # Errors
    ///
    /// `EOVERFLOW` if there is no such range, `ENOMEM`, `EFAULT` if not all of it can be written,
    /// or is of a kind that cannot be pinned for long, and what `pin_user_pages_fast()` says.
    fn pin(addr: usize, len: usize) -> Result<KVVec<Self>> {
        let end = addr
            .checked_add(len)
            .and_then(page_align)
            .ok_or(EOVERFLOW)?;
        let nr = (end >> PAGE_SHIFT) - (addr >> PAGE_SHIFT);
        if nr > c_int::MAX as usize / size_of::<Self>() {
            return Err(EOVERFLOW);
        }
        let mut pages = KVVec::<Self>::with_capacity(nr, GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?;
        // SAFETY: There is room for as many pointers.
        let pinned = unsafe {
            bindings::pin_user_pages_fast(
                addr,
                nr as c_int,
                bindings::FOLL_WRITE | bindings::FOLL_LONGTERM,
                pages.spare_capacity_mut().as_mut_ptr().cast(),
            )
        };
        to_result(pinned)?;
        // SAFETY: So many were written, which is not more than asked for.
        // INVARIANT: They are pinned.
        unsafe { pages.inc_len(pinned as usize) };
        if pages.len() != nr {
            return Err(EFAULT);
        }
        Ok(pages)
    }

    /// The address of the compound page that it is part of, or its own, and how many pages that
    /// has.
    pub(crate) fn compound(&self) -> (usize, usize) {
        // SAFETY: By the type invariants the page, and what it is part of, stays.
        let (head, nr) = unsafe {
            let head = bindings::miniring_compound_head(self.0);
            (head, bindings::miniring_compound_nr(head))
        };
        (head as usize, nr)
    }

    /// The page, and its pin.
    fn into_raw(self) -> *mut bindings::page {
        ManuallyDrop::new(self).0
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::unpin_user_page(self.0) };
    }
}

/// The part of a buffer that lies in one page.
///
/// # Invariants
///
/// As [`Pinned`].
#[repr(transparent)]
struct Segment(bindings::bio_vec);

impl Segment {
    fn new(page: Pinned, offset: usize, len: usize) -> Self {
        // INVARIANT: The pin moves here.
        Self(bindings::bio_vec {
            bv_page: page.into_raw(),
            bv_len: len as c_uint,
            bv_offset: offset as c_uint,
        })
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: By the type invariants.
        unsafe { bindings::unpin_user_page(self.0.bv_page) };
    }
}

/// Which way data goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    /// Into the buffer: it is read into.
    Into,
    /// Out of the buffer: it is written from.
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

/// A registered buffer: user memory that stays where it is.
///
/// The last reference is dropped in process context; that may sleep.
///
/// # Invariants
///
/// `segments` are `len` bytes that were at the user address `addr`: each but the last ends with its
/// page, each but the first starts with it, and none is empty.
pub(crate) struct Buffer {
    addr: usize,
    len: usize,
    segments: KVVec<Segment>,
    /// Ends after the pages were unpinned.
    _charge: Charge,
}

// SAFETY: Pages may be accessed, and unpinned, by any task.
unsafe impl Send for Buffer {}
// SAFETY: As above; what is in them is accessed as memory that userspace writes at any time.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// Registers `len` bytes at the user address `addr`; none, if both are 0. May sleep.
    ///
    /// # Errors
    ///
    /// `EFAULT` for no address or no length alone, and for memory that cannot be written or pinned;
    /// `EINVAL` for a length beyond 1 TiB; `EOVERFLOW` for a range beyond the address space;
    /// `ENOMEM` without memory, or beyond RLIMIT_MEMLOCK.
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
        // INVARIANT: The pages are those of the range, in order; each segment but the last goes to
        // the end of its page, and all but the first start with it.
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

    /// What an operation on a file needs to transfer `len` bytes, which userspace knows as those at
    /// `addr`, without the user's page tables. In any task.
    ///
    /// # Errors
    ///
    /// `EFAULT` if they are not all in the buffer, or are more than one transfer takes.
    pub(crate) fn iter(&self, addr: u64, len: u32, direction: Direction) -> Result<Iter<'_>> {
        let len = len as usize;
        let offset = (addr as usize).checked_sub(self.addr).ok_or(EFAULT)?;
        let end = offset.checked_add(len).ok_or(EFAULT)?;
        if end > self.len || len > MAX_TRANSFER {
            return Err(EFAULT);
        }
        let iter = Opaque::uninit();
        let first = self.segments.first().ok_or(EFAULT)?;
        // From the start of the first page.
        let start = offset + first.0.bv_offset as usize;
        let index = start >> PAGE_SHIFT;
        let nr = (start + len).div_ceil(PAGE_SIZE) - index;
        // There is no segment behind the end of a buffer, where nothing may be asked for.
        let segments = match len {
            0 => &[],
            _ => self.segments.get(index..index + nr).ok_or(EFAULT)?,
        };
        let skip = match index {
            0 => offset,
            _ => start & !PAGE_MASK,
        };
        // SAFETY: `iter` is ours to write. By their type's representation the segments are an array
        // of bio_vec, of which `skip` bytes of the first and then `len` are there.
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
        // INVARIANT: Just made; the segments live as long as the buffer.
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
/// `iter` is initialised, and what it points to lives for `'a`.
pub(crate) struct Iter<'a> {
    iter: Opaque<bindings::iov_iter>,
    _buffer: PhantomData<&'a Buffer>,
}

impl Iter<'_> {
    /// The `iov_iter`. The caller leaves it valid.
    pub(crate) fn as_raw(&mut self) -> *mut bindings::iov_iter {
        self.iter.get()
    }
}
