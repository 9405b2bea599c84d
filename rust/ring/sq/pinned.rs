// SPDX-License-Identifier: GPL-2.0

//! User memory that is pinned for long.

use crate::bindings;
use core::mem::ManuallyDrop;
use kernel::{
    alloc::flags::__GFP_NOWARN,
    error::to_result,
    page::{
        page_align,
        PAGE_SHIFT, //
    },
    prelude::*, //
};

/// A page with a long-term pin.
///
/// # Invariants
///
/// The value owns a pin of the page.
#[repr(transparent)]
pub(super) struct Pinned(*mut bindings::page);

impl Pinned {
    /// Pins the pages that hold `len` bytes at the user address `addr`, for reading and writing.
    /// May sleep.
    ///
    /// # Errors
    ///
    /// `EOVERFLOW` if the range wraps around or is too long; `ENOMEM`; `EFAULT` if a page cannot be
    /// written or pinned long-term; and the errors of `pin_user_pages_fast()`.
    pub(super) fn pin(addr: usize, len: usize) -> Result<KVVec<Self>> {
        let end = addr
            .checked_add(len)
            .and_then(page_align)
            .ok_or(EOVERFLOW)?;
        let nr = (end >> PAGE_SHIFT) - (addr >> PAGE_SHIFT);
        if nr > c_int::MAX as usize / size_of::<Self>() {
            return Err(EOVERFLOW);
        }
        let mut pages = KVVec::<Self>::with_capacity(nr, GFP_KERNEL_ACCOUNT | __GFP_NOWARN)?;
        // SAFETY: `pages` has room for `nr` pointers.
        let pinned = unsafe {
            bindings::pin_user_pages_fast(
                addr,
                nr as c_int,
                bindings::FOLL_WRITE | bindings::FOLL_LONGTERM,
                pages.spare_capacity_mut().as_mut_ptr().cast(),
            )
        };
        to_result(pinned)?;
        // SAFETY: `pinned` pointers were written, at most `nr`.
        // INVARIANT: Each of these pages is pinned.
        unsafe { pages.inc_len(pinned as usize) };
        if pages.len() != nr {
            return Err(EFAULT);
        }
        Ok(pages)
    }

    /// Returns the address of the head page, and the number of pages of the compound page. A page
    /// that is not compound is its own head.
    pub(super) fn compound(&self) -> (usize, usize) {
        // SAFETY: The pin keeps the page and its compound page (type invariants).
        let (head, nr) = unsafe {
            let head = bindings::miniring_compound_head(self.0);
            (head, bindings::miniring_compound_nr(head))
        };
        (head as usize, nr)
    }

    /// Returns the page and its pin.
    pub(super) fn into_raw(self) -> *mut bindings::page {
        ManuallyDrop::new(self).0
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        // SAFETY: `self` owns the pin (type invariants).
        unsafe { bindings::unpin_user_page(self.0) };
    }
}
