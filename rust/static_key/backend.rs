// SPDX-License-Identifier: GPL-2.0

//! The backend that changes keys, chosen when the module is loaded.
//!
//! | backend | how | needs |
//! | --- | --- | --- |
//! | batched | the architecture's [queue](super::batched), three synchronisations for 256 entries | functions that are not exported |
//! | unsorted | as batched, but in the RFC's order | as batched |
//! | stopped | all other CPUs [stopped](super::stopped) while the code is written | other symbols that are not exported |
//! | immediate | the kernel's own function, key by key | nothing |
//!
//! `auto` is batched if its functions are found, otherwise immediate. The load fails with
//! `EOPNOTSUPP` if the kernel lacks what the named backend needs, and with `EINVAL` if the name is
//! unknown.
//!
//! The RFC patches key by key in the order of the key addresses, which is the order of dynamic
//! debug's descriptors. The backend `unsorted` is for comparison only.

use super::{
    batched::Batched,
    entries::{
        JumpTable,
        Patch, //
    },
    stats::STATS,
    stopped::{
        Mapping,
        Stopped, //
    },
    transit::Transit,
    work::Work, //
};
use crate::{
    bindings as helpers,
    kallsyms::{
        Missing,
        Symbols, //
    },
    pure::batch::order_by_code, //
};
use kernel::{
    prelude::*,
    sync::SetOnce, //
};

static BACKEND: SetOnce<Backend> = SetOnce::new();

/// The way in which keys are changed.
pub(super) enum Backend {
    /// Many at a time: this module patches their code.
    Patching(Patcher),
    /// One at a time, by the kernel's own function.
    Immediate,
}

/// The means to patch code.
pub(super) struct Patcher {
    /// The jump entries of the kernel and its modules.
    pub(super) table: JumpTable,
    means: Means,
}

enum Means {
    Batched(Batched),
    Unsorted(Batched),
    Stopped(Stopped),
}

impl Backend {
    /// Chooses the backend by the module parameter, until the module is unloaded.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an unknown backend, `EOPNOTSUPP` if the kernel lacks what the named backend
    /// needs.
    pub(super) fn choose(symbols: Result<Symbols, Missing>) -> Result {
        // SAFETY: The parameter is a string, and is not written after the parameters were parsed.
        let asked = unsafe { CStr::from_char_ptr(helpers::miniring_backend) };
        let found = match asked.to_bytes() {
            b"immediate" => Ok(Self::Immediate),
            b"auto" | b"batched" => Patcher::find(symbols, |symbols| {
                Ok(Means::Batched(Batched::find(symbols)?)) //
            }),
            b"unsorted" => Patcher::find(symbols, |symbols| {
                Ok(Means::Unsorted(Batched::find(symbols)?)) //
            }),
            b"stopped" => Patcher::find(symbols, |symbols| {
                Ok(Means::Stopped(Stopped::find(symbols)?)) //
            }),
            _ => {
                pr_err!("static keys: no backend {asked}: auto, batched, immediate, stopped or unsorted\n");
                return Err(EINVAL);
            }
        };

        let backend = match found {
            Ok(backend) => {
                let why = match asked.to_bytes() {
                    b"auto" => "all that it needs was found",
                    _ => "as asked for",
                };
                pr_info!("static keys: {}, {why}\n", backend.name());
                backend
            }
            Err(missing) if asked.to_bytes() == b"auto" => {
                pr_info!("static keys: immediate, since {missing}\n");
                Self::Immediate
            }
            Err(missing) => {
                pr_err!("static keys: cannot be {asked}, since {missing}\n");
                return Err(EOPNOTSUPP);
            }
        };
        BACKEND.populate(backend);
        Ok(())
    }

    /// Returns the backend.
    pub(super) fn get() -> &'static Self {
        BACKEND.as_ref().unwrap_or(&Self::Immediate)
    }

    /// Returns the name of the backend, as in the module parameter.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Patching(patcher) => match patcher.means {
                Means::Batched(_) => "batched",
                Means::Unsorted(_) => "unsorted",
                Means::Stopped(_) => "stopped",
            },
            Self::Immediate => "immediate",
        }
    }
}

impl Patcher {
    fn find(
        symbols: Result<Symbols, Missing>,
        means: impl FnOnce(&Symbols) -> Result<Means, Missing>,
    ) -> Result<Backend, Missing> {
        let symbols = &symbols?;
        Ok(Backend::Patching(Self {
            means: means(symbols)?,
            table: JumpTable::find(symbols)?,
        }))
    }

    /// Sorts `patches` by code address, except for `unsorted`, and does every step that can fail.
    pub(super) fn prepare(&self, patches: &mut [Patch]) -> Result<Plan<'_>> {
        if !matches!(self.means, Means::Unsorted(_)) {
            order_by_code(patches, |patch| patch.code);
        }
        Ok(match &self.means {
            Means::Batched(means) | Means::Unsorted(means) => Plan::Batched(means),
            Means::Stopped(means) => Plan::Stopped(means.map(patches)?),
        })
    }
}

/// A prepared change, which cannot fail.
pub(super) enum Plan<'a> {
    /// See [`super::batched`].
    Batched(&'a Batched),
    /// See [`super::stopped`].
    Stopped(Mapping<'a>),
}

impl Plan<'_> {
    /// Patches the code, and updates the state of the keys in `transit`.
    ///
    /// # Safety
    ///
    /// * `patches` are the ones that were prepared.
    /// * The jump label mutex has been held since `patches` were collected.
    /// * A patch site has the other instruction, if its key can be marked.
    /// * No patch site is in `patches` twice.
    pub(super) unsafe fn carry_out(
        &self,
        patches: &mut KVVec<Patch>,
        transit: &mut Transit,
    ) -> Work {
        // SAFETY: `patches` meet the requirements of this function (caller). Both callees have the
        // same requirements.
        let work = unsafe {
            match self {
                Self::Batched(means) => means.patch(patches, transit),
                Self::Stopped(mapping) => mapping.patch(patches, transit),
            }
        };
        STATS.batches.add(work.batches);
        STATS.entries.add(work.entries);
        work
    }
}
