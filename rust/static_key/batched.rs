// SPDX-License-Identifier: GPL-2.0

//! Patching through the architecture's queue.
//!
//! x86 keeps up to 256 places sorted by address, and patches them all with three synchronisations
//! of all CPUs: breakpoints first, then the rest of each instruction, then its first byte. A place
//! that is below the last one has the queue patched before it is added.

use super::{
    entries::Patch,
    symbols::{
        Missing,
        Symbols, //
    }, //
};
use crate::{
    bindings as helpers,
    pure::batch::{
        flushes_unsorted,
        SYNCS_PER_BATCH,
        TEXT_POKE_BATCH, //
    },
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

    /// Patches the code, which had better be in order, and says in how many batches.
    ///
    /// # Safety
    ///
    /// As for [`super::backend::Plan::carry_out`].
    pub(super) unsafe fn patch(&self, patches: &[Patch]) -> usize {
        let mut count = 0;
        for batch in patches.chunks(TEXT_POKE_BATCH) {
            let start = Instant::<Monotonic>::now();
            // One, unless they are not in order.
            let flushes = flushes_unsorted(batch.iter().map(|patch| patch.code), TEXT_POKE_BATCH);
            for patch in batch {
                let instruction = if patch.jump {
                    bindings::jump_label_type_JUMP_LABEL_JMP
                } else {
                    bindings::jump_label_type_JUMP_LABEL_NOP
                };
                // SAFETY: By the requirement; the calls are set by the invariant. Should the
                // queue be full, there is room after it was applied.
                unsafe {
                    let entry = patch.entry;
                    if !helpers::miniring_arch_jump_label_transform_queue(entry, instruction) {
                        helpers::miniring_arch_jump_label_transform_apply();
                        helpers::miniring_arch_jump_label_transform_queue(entry, instruction);
                    }
                }
            }
            // SAFETY: The call is set by the invariant; nothing is held that must not sleep.
            unsafe {
                helpers::miniring_arch_jump_label_transform_apply();
                helpers::miniring_trace_static_key_batch(
                    batch.len() as c_uint,
                    (SYNCS_PER_BATCH * flushes) as c_uint,
                    start.elapsed().as_nanos() as u64,
                );
                helpers::miniring_cond_resched();
            }
            count += flushes;
        }
        count
    }
}
