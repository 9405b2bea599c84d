// SPDX-License-Identifier: GPL-2.0

//! Queued static keys from Rust: a module that has a few, and changes them together.
//!
//! Loaded, it requests two of its three features, shows in the log that nothing has changed yet, and
//! applies. Unloaded, it turns off what is on. It uses miniring's crate: `Kbuild` passes its
//! metadata to the compiler, and miniring.ko exports the functions.

use kernel::prelude::*;
use miniring::{
    static_branch,
    static_key::{
        self,
        StaticKey, //
    }, //
};

module! {
    type: QueuedKeys,
    name: "miniring_queued_keys",
    authors: ["The miniring developers"],
    description: "A sample of queued static keys in Rust",
    license: "GPL",
}

static COUNTING: StaticKey = StaticKey::new();
static CHECKING: StaticKey = StaticKey::new();
static TRACING: StaticKey = StaticKey::new();

/// What code does that has optional parts: each is a NOP while it is off.
#[inline(never)]
fn work() -> u32 {
    let mut parts = 0;
    if static_branch!(COUNTING) {
        parts |= 1;
    }
    if static_branch!(CHECKING) {
        parts |= 2;
    }
    if static_branch!(TRACING) {
        parts |= 4;
    }
    parts
}

struct QueuedKeys;

impl kernel::Module for QueuedKeys {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        static_key::enable_queued(&COUNTING)?;
        static_key::enable_queued(&CHECKING)?;
        static_key::enable_queued(&TRACING)?;
        // The last request counts.
        static_key::disable_queued(&CHECKING)?;
        pr_info!("requested: parts {}\n", work());

        let applied = static_key::apply_queued();
        pr_info!(
            "applied: parts {}; {} of {} keys, {} places in {} synchronisations\n",
            work(),
            applied.keys,
            applied.requests,
            applied.work.entries,
            applied.work.syncs
        );
        Ok(Self)
    }
}

impl Drop for QueuedKeys {
    fn drop(&mut self) {
        // A key of this module that stays on would do no harm: its branches go with it, and so
        // would a request that is not applied.
        for key in [&COUNTING, &CHECKING, &TRACING] {
            // It is a boolean, which is never refused.
            let _ = static_key::disable_queued(key);
        }
        static_key::apply_queued();
        pr_info!("off: parts {}\n", work());
    }
}
