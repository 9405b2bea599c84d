// SPDX-License-Identifier: GPL-2.0

//! Trace events of `include/trace/events/miniring.h`. A disabled event is a NOP in the code.
//!
//! The address of its shared state identifies a ring.

use super::{
    shared::{
        Cqe,
        Shared, //
    },
    sqe::Sqe, //
};
use crate::bindings;
use core::ptr::from_ref;

/// Returns whether the event of `$tracepoint` is enabled.
macro_rules! enabled {
    ($tracepoint:path) => {
        // SAFETY: `$tracepoint` is a static `tracepoint`, whose `key` is a static key.
        unsafe {
            ::kernel::jump_label::arch_static_branch! {
                $tracepoint, bindings::tracepoint, key, false
            }
        }
    };
}

/// Traces that a ring was made with `flags` (`IORING_SETUP_*`).
pub(crate) fn create(shared: &Shared, flags: u32) {
    if enabled!(bindings::__tracepoint_miniring_create) {
        let geometry = shared.geometry();
        // SAFETY: The helper does not dereference the ring.
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

/// Traces that a register operation ended with `ret`. `registered` returns the number of registered
/// buffers, and whether an eventfd is registered; it is called only if the event is enabled.
#[inline(always)]
pub(crate) fn register(
    shared: &Shared,
    opcode: u32,
    ret: isize,
    registered: impl FnOnce() -> (usize, bool),
) {
    if enabled!(bindings::__tracepoint_miniring_register) {
        let (nr_bufs, eventfd) = registered();
        // SAFETY: The helper does not dereference the ring.
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

/// Traces that an SQE was taken off the queue.
#[inline(always)]
pub(crate) fn submit_req(shared: &Shared, sqe: &Sqe) {
    if enabled!(bindings::__tracepoint_miniring_submit_req) {
        // SAFETY: The helper does not dereference the ring.
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

/// Traces that a CQE was put into the queue.
#[inline(always)]
pub(crate) fn complete(shared: &Shared, cqe: &Cqe) {
    if enabled!(bindings::__tracepoint_miniring_complete) {
        // SAFETY: The helper does not dereference the ring.
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

/// Traces that a CQE did not fit, and is kept.
#[inline(always)]
pub(crate) fn cqe_overflow(shared: &Shared, cqe: &Cqe) {
    if enabled!(bindings::__tracepoint_miniring_cqe_overflow) {
        // SAFETY: The helper does not dereference the ring.
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
