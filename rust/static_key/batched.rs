// SPDX-License-Identifier: GPL-2.0

//! Patching through the architecture's queue.
//!
//! x86 keeps up to 256 places sorted by address, and patches them all with three synchronisations
//! of all CPUs: breakpoints first, then the rest of each instruction, then its first byte. A place
//! that is below the last one has the queue patched before it is added.

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

/// The queue.
///
/// # Invariants
///
/// The static calls of `miniring_arch_jump_label_transform_queue()` and `_apply()` go to these
/// functions.
pub(super) struct Batched(());

impl Batched {
    pub(super) fn find(symbols: &Symbols) -> Result<Self, Missing> {
        let queue = symbols.address(c"arch_jump_label_transform_queue")?;
        let apply = symbols.address(c"arch_jump_label_transform_apply")?;
        // SAFETY: These are the addresses of the functions.
        unsafe {
            helpers::miniring_set_arch_jump_label_transform_queue(queue.as_ptr());
            helpers::miniring_set_arch_jump_label_transform_apply(apply.as_ptr());
        }
        // INVARIANT: Set just now.
        Ok(Self(()))
    }

    /// Patches the code, which had better be in order.
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
                    // SAFETY: By the requirement.
                    unsafe { self.queue(patch) };
                }
            }
            // SAFETY: The call is set by the invariant; nothing is held that must not sleep.
            unsafe { helpers::miniring_arch_jump_label_transform_apply() };

            let patched = batch.iter().filter(|patch| transit.is_under_way(patch));
            let entries = patched.clone().count();
            // One, unless they are not in order.
            let flushes = flushes_unsorted(patched.map(|patch| patch.code), TEXT_POKE_BATCH);
            let keys = batch.iter().filter(|patch| transit.end(patch)).count();
            trace_batch(keys, entries, SYNCS_PER_BATCH * flushes, start);
            work.entries += entries;
            work.batches += flushes;
            work.syncs += SYNCS_PER_BATCH * flushes;
            // SAFETY: Nothing is held that must not sleep.
            unsafe { helpers::miniring_cond_resched() };
        }
        work
    }

    /// Hands a place to the architecture.
    ///
    /// # Safety
    ///
    /// As for [`Batched::patch`], and the key of the place is marked.
    unsafe fn queue(&self, patch: &Patch) {
        let instruction = if patch.jump {
            bindings::jump_label_type_JUMP_LABEL_JMP
        } else {
            bindings::jump_label_type_JUMP_LABEL_NOP
        };
        // SAFETY: By the requirement; the calls are set by the invariant. Should the queue be
        // full, there is room after it was applied.
        unsafe {
            let entry = patch.entry;
            if !helpers::miniring_arch_jump_label_transform_queue(entry, instruction) {
                helpers::miniring_arch_jump_label_transform_apply();
                helpers::miniring_arch_jump_label_transform_queue(entry, instruction);
            }
        }
    }
}
