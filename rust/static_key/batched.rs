// SPDX-License-Identifier: GPL-2.0

//! Patching through the architecture's queue.
//!
//! x86 queues up to 256 patch sites in ascending order of address. x86 patches all queued sites
//! with three synchronisations of all CPUs: breakpoints first, then the rest of each instruction,
//! then its first byte. If a site is below the last queued site, x86 patches the queue before
//! adding the site.

use super::{
    entries::Patch,
    transit::Transit,
    work::{
        trace_batch,
        Work, //
    }, //
};
use crate::{
    bindings as helpers,
    kallsyms::{
        Missing,
        Symbols, //
    },
    pure::batch::{
        flushes_unsorted,
        SYNCS_PER_BATCH,
        TEXT_POKE_BATCH, //
    }, //
};
use kernel::{
    bindings,
    prelude::*,
    time::{
        Instant,
        Monotonic, //
    }, //
};

/// The architecture's queue.
///
/// # Invariants
///
/// The static calls of `miniring_arch_jump_label_transform_queue()` and `_apply()` go to the
/// architecture's functions.
pub(super) struct Batched(());

impl Batched {
    pub(super) fn find(symbols: &Symbols) -> Result<Self, Missing> {
        let queue = symbols.address(c"arch_jump_label_transform_queue")?;
        let apply = symbols.address(c"arch_jump_label_transform_apply")?;
        // SAFETY: `queue` and `apply` are the addresses of the two functions.
        unsafe {
            helpers::miniring_set_arch_jump_label_transform_queue(queue.as_ptr());
            helpers::miniring_set_arch_jump_label_transform_apply(apply.as_ptr());
        }
        // INVARIANT: Both static calls are set here.
        Ok(Self(()))
    }

    /// Patches the code in the order of `patches`; ascending addresses cost the least.
    ///
    /// # Safety
    ///
    /// As for [`super::backend::Plan::carry_out`].
    pub(super) unsafe fn patch(&self, patches: &[Patch], transit: &mut Transit) -> Work {
        let mut work = Work::default();
        for batch in patches.chunks(TEXT_POKE_BATCH) {
            let start = Instant::<Monotonic>::now();
            for patch in batch {
                if transit.begin(patch) {
                    // SAFETY: `patch` meets the requirements (caller), and `begin()` marked its
                    // key.
                    unsafe { self.queue(patch) };
                }
            }
            // SAFETY: The static call is set (type invariant); only sleeping locks are held.
            unsafe { helpers::miniring_arch_jump_label_transform_apply() };

            let patched = batch.iter().filter(|patch| transit.is_under_way(patch));
            let entries = patched.clone().count();
            // 1 if the addresses ascend.
            let flushes = flushes_unsorted(patched.map(|patch| patch.code), TEXT_POKE_BATCH);
            let keys = batch.iter().filter(|patch| transit.end(patch)).count();
            trace_batch(keys, entries, SYNCS_PER_BATCH * flushes, start);
            work.entries += entries;
            work.batches += flushes;
            work.syncs += SYNCS_PER_BATCH * flushes;
            // SAFETY: Only sleeping locks are held.
            unsafe { helpers::miniring_cond_resched() };
        }
        work
    }

    /// Queues a patch site with the architecture.
    ///
    /// # Safety
    ///
    /// As for [`Batched::patch`], and the key of the patch site is marked.
    unsafe fn queue(&self, patch: &Patch) {
        let instruction = if patch.jump {
            bindings::jump_label_type_JUMP_LABEL_JMP
        } else {
            bindings::jump_label_type_JUMP_LABEL_NOP
        };
        // SAFETY: The patch site has the other instruction (caller), and the static calls are set
        // (type invariant). A full queue has room again after it is applied.
        unsafe {
            let entry = patch.entry;
            if !helpers::miniring_arch_jump_label_transform_queue(entry, instruction) {
                helpers::miniring_arch_jump_label_transform_apply();
                helpers::miniring_arch_jump_label_transform_queue(entry, instruction);
            }
        }
    }
}
