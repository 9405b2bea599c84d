// SPDX-License-Identifier: GPL-2.0

//! How keys are changed: the choice that is made when the module is loaded.
//!
//! | backend | how | needs |
//! | --- | --- | --- |
//! | batched | the architecture's queue, 256 jump entries for three synchronisations | functions that are not exported |
//! | immediate | the kernel's own function, key by key | nothing |
//!
//! `auto` is batched where that is possible, otherwise immediate. A backend that is asked for by
//! name and cannot be had fails the load with `EOPNOTSUPP`, an unknown one with `EINVAL`.

use super::{
    entries::{
        JumpTable,
        Patch, //
    },
    stats::STATS,
    symbols::{
        Missing,
        Symbols, //
    }, //
};
use crate::{
    bindings as helpers,
    dyndbg::dyn_debug,
    pure::batch::{
        order_by_code,
        TEXT_POKE_BATCH, //
    }, //
};
use kernel::{
    bindings,
    prelude::*,
    sync::SetOnce, //
};

static BACKEND: SetOnce<Backend> = SetOnce::new();

/// How keys are changed.
pub(super) enum Backend {
    /// In batches of jump entries.
    Batched(Patcher),
    /// One at a time.
    Immediate,
}

impl Backend {
    /// Chooses the backend for good, as the module's parameter says.
    pub(super) fn choose(symbols: Option<&Symbols>) -> Result {
        // SAFETY: Not written after parameters were parsed, and a string then.
        let asked = unsafe { CStr::from_char_ptr(helpers::miniring_backend) };
        let batched = || match symbols {
            Some(symbols) => Patcher::find(symbols).map(Self::Batched),
            None => Err(Missing(c"kprobe on kallsyms_lookup_name")),
        };

        let backend = match (asked.to_bytes(), batched) {
            (b"immediate", _) => {
                pr_info!("static keys: immediate, as asked for\n");
                Self::Immediate
            }
            (name @ (b"auto" | b"batched"), batched) => match batched() {
                Ok(backend) => {
                    pr_info!("static keys: batched, all that it needs was found\n");
                    backend
                }
                Err(missing) if name == b"auto" => {
                    pr_info!("static keys: immediate, since {missing}\n");
                    Self::Immediate
                }
                Err(missing) => {
                    pr_err!("static keys: cannot be batched, since {missing}\n");
                    return Err(EOPNOTSUPP);
                }
            },
            _ => {
                pr_err!("static keys: no backend {asked}: auto, batched or immediate\n");
                return Err(EINVAL);
            }
        };
        BACKEND.populate(backend);
        Ok(())
    }

    /// The one that was chosen.
    pub(super) fn get() -> &'static Self {
        BACKEND.as_ref().unwrap_or(&Self::Immediate)
    }

    /// What to call it.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Batched(_) => "batched",
            Self::Immediate => "immediate",
        }
    }
}

/// The architecture's means to patch code.
///
/// # Invariants
///
/// The static calls of `miniring_arch_jump_label_transform_queue()` and `_apply()` go to these
/// functions.
pub(super) struct Patcher {
    /// Where the jump entries are.
    pub(super) table: JumpTable,
}

impl Patcher {
    fn find(symbols: &Symbols) -> Result<Self, Missing> {
        let queue = symbols.address(c"arch_jump_label_transform_queue")?;
        let apply = symbols.address(c"arch_jump_label_transform_apply")?;
        let table = JumpTable::find(symbols)?;
        // SAFETY: These are the addresses of the functions.
        unsafe {
            helpers::miniring_set_arch_jump_label_transform_queue(queue.as_ptr());
            helpers::miniring_set_arch_jump_label_transform_apply(apply.as_ptr());
        }
        // INVARIANT: Set just now.
        Ok(Self { table })
    }

    /// Patches the code.
    ///
    /// # Safety
    ///
    /// The jump label mutex has been held since `patches` were collected, each has the other
    /// instruction at present, and none is there twice.
    pub(super) unsafe fn patch(&self, patches: &mut [Patch]) {
        order_by_code(patches, |patch| patch.code);
        for batch in patches.chunks(TEXT_POKE_BATCH) {
            for patch in batch {
                let instruction = if patch.jump {
                    bindings::jump_label_type_JUMP_LABEL_JMP
                } else {
                    bindings::jump_label_type_JUMP_LABEL_NOP
                };
                // SAFETY: By the requirement; the calls are set by the invariant. Should the
                // queue be full, there is room after it was applied.
                unsafe {
                    if !helpers::miniring_arch_jump_label_transform_queue(patch.entry, instruction)
                    {
                        helpers::miniring_arch_jump_label_transform_apply();
                        helpers::miniring_arch_jump_label_transform_queue(patch.entry, instruction);
                    }
                }
            }
            // SAFETY: The call is set by the invariant; nothing is held that must not sleep.
            unsafe {
                helpers::miniring_arch_jump_label_transform_apply();
                helpers::miniring_cond_resched();
            }
            STATS.batches.add(1);
        }
        STATS.entries.add(patches.len());
        dyn_debug!(patch, "{} entries patched\n", patches.len());
    }
}
