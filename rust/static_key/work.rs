// SPDX-License-Identifier: GPL-2.0

//! The cost of patching, for the caller and for the tracepoint.

use crate::bindings as helpers;
use kernel::{
    prelude::*,
    time::{
        Instant,
        Monotonic, //
    }, //
};

/// The cost of patching.
#[derive(Clone, Copy, Default)]
pub struct Work {
    /// Number of jump entries patched.
    pub entries: usize,
    /// Number of batches, each patched with one series of synchronisations.
    pub batches: usize,
    /// Number of synchronisations of all CPUs.
    pub syncs: usize,
}

/// Reports a batch to the tracepoint.
pub(super) fn trace_batch(keys: usize, entries: usize, syncs: usize, start: Instant<Monotonic>) {
    // SAFETY: The tracepoint takes numbers only.
    unsafe {
        helpers::miniring_trace_static_key_batch(
            keys as c_uint,
            entries as c_uint,
            syncs as c_uint,
            start.elapsed().as_nanos() as u64,
        )
    };
}
