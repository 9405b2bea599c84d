// SPDX-License-Identifier: GPL-2.0

//! Queued static keys from Rust: a module that changes a few keys together.
//!
//! On load, the module queues requests that enable two of its three features, logs that no feature
//! has changed yet, and applies. On unload, the module turns its keys off. The module uses
//! miniring's crate: `Kbuild` passes the metadata of the crate to the compiler, and miniring.ko
//! exports the functions.

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

/// Runs the optional parts that are on. A part that is off is a NOP.
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
        // This step is optional: the branches of a key are freed with the module, and its requests
        // are dropped.
        for key in [&COUNTING, &CHECKING, &TRACING] {
            // A request for a boolean key of this module is not refused.
            let _ = static_key::disable_queued(key);
        }
        static_key::apply_queued();
        pr_info!("off: parts {}\n", work());
    }
}
