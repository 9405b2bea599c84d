// SPDX-License-Identifier: GPL-2.0

//! `kmalloc()` of sizes that are known at compile time.
//!
//! C header: [`include/linux/slab.h`](srctree/include/linux/slab.h)

use crate::bindings;
use core::{
    alloc::Layout,
    ptr::NonNull, //
};
use kernel::{
    alloc::{
        allocator::Kmalloc,
        AllocError,
        Allocator,
        Flags,
        NumaNode, //
    },
    prelude::*, //
};

/// Allocates as C code does with `kmalloc(sizeof(T), GFP_KERNEL)`: the compiler finds the cache.
///
/// [`Kmalloc`] calls `krealloc()`, which finds the cache at run time, and then frees the old
/// allocation, which is null. That costs about 90 instructions more (x86-64).
pub(crate) struct SizedKmalloc;

// SAFETY: Memory comes from `kmalloc()` or `Kmalloc`, and any of it may be passed to `krealloc()`
// and `kfree()`. `kmalloc()` aligns as `Kmalloc` requires of it, for a size that
// `aligned_layout()` made.
unsafe impl Allocator for SizedKmalloc {
    const MIN_ALIGN: usize = Kmalloc::MIN_ALIGN;

    #[inline(always)]
    unsafe fn realloc(
        ptr: Option<NonNull<u8>>,
        layout: Layout,
        old_layout: Layout,
        flags: Flags,
        nid: NumaNode,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let size = Kmalloc::aligned_layout(layout).size();
        let new = ptr.is_none() && flags == GFP_KERNEL && nid == NumaNode::NO_NODE;
        // SAFETY: The helpers only allocate memory. The caller's promises for the last arm are those
        // of `Kmalloc`, whose memory this is.
        let memory = unsafe {
            match size {
                1..=64 if new => bindings::miniring_kmalloc_64(),
                65..=96 if new => bindings::miniring_kmalloc_96(),
                97..=128 if new => bindings::miniring_kmalloc_128(),
                _ => return Kmalloc::realloc(ptr, layout, old_layout, flags, nid),
            }
        };
        let memory = NonNull::new(memory.cast()).ok_or(AllocError)?;
        Ok(NonNull::slice_from_raw_parts(memory, size))
    }

    #[inline]
    unsafe fn free(ptr: NonNull<u8>, layout: Layout) {
        if layout.size() != 0 {
            // SAFETY: `ptr` is an allocation of this allocator that is not used again (caller).
            unsafe { bindings::kfree(ptr.as_ptr().cast()) };
        }
    }
}
