// SPDX-License-Identifier: GPL-2.0

//! What patching took, for the caller and for the tracepoint.

use crate::bindings as helpers;
use kernel::{
    prelude::*,
    time::{
        Instant,
        Monotonic, //
    }, //
};

/// What patching took.
#[derive(Clone, Copy, Default)]
pub struct Work {
    /// Places in the code.
    pub entries: usize,
    /// Groups of them that were patched with one series of synchronisations.
    pub batches: usize,
    /// Synchronisations of all CPUs.
    pub syncs: usize,
}

/// Reports a batch to the tracepoint.
pub(super) fn trace_batch(keys: usize, entries: usize, syncs: usize, start: Instant<Monotonic>) {
    // SAFETY: It takes numbers.
    unsafe {
        helpers::miniring_trace_static_key_batch(
            keys as c_uint,
            entries as c_uint,
            syncs as c_uint,
            start.elapsed().as_nanos() as u64,
        )
    };
}
