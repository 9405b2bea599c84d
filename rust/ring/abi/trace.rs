// SPDX-License-Identifier: GPL-2.0

//! Trace events, each a NOP in the code while nobody looks: `include/trace/events/miniring.h`.
//!
//! A ring is told from others by the address of its shared state.

use super::{
    shared::{
        Cqe,
        Shared, //
    },
    sqe::Sqe, //
};
use crate::bindings;
use core::ptr::from_ref;

/// Whether anybody looks at an event, which `$tracepoint` names.
macro_rules! enabled {
    ($tracepoint:path) => {
        // SAFETY: A static of that type, whose key is a static key.
        unsafe {
            ::kernel::jump_label::arch_static_branch! {
                $tracepoint, bindings::tracepoint, key, false
            }
        }
    };
}

/// A ring was made with `flags` (`IORING_SETUP_*`).
pub(crate) fn create(shared: &Shared, flags: u32) {
    if enabled!(bindings::__tracepoint_miniring_create) {
        let geometry = shared.geometry();
        // SAFETY: The ring is not dereferenced.
        unsafe {
            bindings::miniring_trace_create(
                from_ref(shared).cast(),
                geometry.sq_entries(),
                geometry.cq_entries(),
                flags,
            )
        };
    }
}

/// A register operation ended with `ret`. `registered` says how many buffers are registered now,
/// and whether an eventfd is; it is only called if somebody looks.
pub(crate) fn register(
    shared: &Shared,
    opcode: u32,
    ret: isize,
    registered: impl FnOnce() -> (usize, bool),
) {
    if enabled!(bindings::__tracepoint_miniring_register) {
        let (nr_bufs, eventfd) = registered();
        // SAFETY: As in `create`.
        unsafe {
            bindings::miniring_trace_register(
                from_ref(shared).cast(),
                opcode,
                nr_bufs as u32,
                eventfd,
                ret,
            )
        };
    }
}

/// An SQE was taken off the queue.
#[inline(always)]
pub(crate) fn submit_req(shared: &Shared, sqe: &Sqe) {
    if enabled!(bindings::__tracepoint_miniring_submit_req) {
        // SAFETY: As in `create`.
        unsafe {
            bindings::miniring_trace_submit_req(
                from_ref(shared).cast(),
                sqe.user_data,
                sqe.opcode,
                sqe.flags,
            )
        };
    }
}

/// A CQE was put into the queue.
#[inline(always)]
pub(crate) fn complete(shared: &Shared, cqe: &Cqe) {
    if enabled!(bindings::__tracepoint_miniring_complete) {
        // SAFETY: As in `create`.
        unsafe {
            bindings::miniring_trace_complete(
                from_ref(shared).cast(),
                cqe.user_data,
                cqe.res,
                cqe.flags,
            )
        };
    }
}

/// A CQE did not fit, and is kept.
#[inline(always)]
pub(crate) fn cqe_overflow(shared: &Shared, cqe: &Cqe) {
    if enabled!(bindings::__tracepoint_miniring_cqe_overflow) {
        // SAFETY: As in `create`.
        unsafe {
            bindings::miniring_trace_cqe_overflow(
                from_ref(shared).cast(),
                cqe.user_data,
                cqe.res,
                cqe.flags,
            )
        };
    }
}
