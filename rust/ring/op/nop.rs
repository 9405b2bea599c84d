// SPDX-License-Identifier: GPL-2.0

//! IORING_OP_NOP.

use super::common::Context;
use crate::{
    bindings,
    ring::{
        abi::sqe::Sqe,
        req::{
            core::Core,
            operation::{
                Operation,
                OwnedOf, //
            },
            outcome::Outcome,
            poster::Poster,
            request::Issued, //
        }, //
    }, //
};
use kernel::prelude::*;

/// Supported flags: all but IORING_NOP_CQE32, which needs CQEs of 32 bytes.
const FLAGS: u32 = bindings::IORING_NOP_INJECT_RESULT
    | bindings::IORING_NOP_FILE
    | bindings::IORING_NOP_FIXED_FILE
    | bindings::IORING_NOP_FIXED_BUFFER
    | bindings::IORING_NOP_TW;

/// Completes with a result.
pub(crate) struct Nop {
    result: i32,
    /// IORING_NOP_TW: complete through task work, so not at once.
    deferred: bool,
}

impl Nop {
    #[inline]
    pub(super) fn prepare(sqe: &Sqe, context: &Context<'_>) -> Result<Self> {
        if sqe.op_flags & !FLAGS != 0 {
            return Err(EINVAL);
        }
        let has = |flag| sqe.op_flags & flag != 0;
        let mut result = if has(bindings::IORING_NOP_INJECT_RESULT) {
            sqe.len as i32
        } else {
            0
        };
        if has(bindings::IORING_NOP_FIXED_BUFFER) && context.buffer(sqe.buf_index).is_err() {
            result = EFAULT.to_errno();
        }
        if has(bindings::IORING_NOP_FILE)
            && (has(bindings::IORING_NOP_FIXED_FILE) || context.target(sqe).is_none())
        {
            result = EBADF.to_errno();
        }
        Ok(Self {
            result,
            deferred: has(bindings::IORING_NOP_TW),
        })
    }
}

impl Operation for Nop {
    #[inline]
    fn run_now(&mut self, _ring: &Core, _poster: &mut Poster<'_>) -> Option<Outcome> {
        (!self.deferred).then(|| Outcome::new(self.result))
    }

    fn issue(mut request: OwnedOf<Self>, _blocking: bool, _poster: &mut Poster<'_>) -> Issued {
        let result = request.op().result;
        request.done(Outcome::new(result))
    }
}

/// Returns the result of a NOP without other effects; `None` for any other SQE.
#[inline]
pub(crate) fn plain_nop(sqe: &Sqe) -> Option<i32> {
    let plain = u32::from(sqe.opcode) == bindings::IORING_OP_NOP
        && sqe.op_flags & !bindings::IORING_NOP_INJECT_RESULT == 0
        && u32::from(sqe.flags) & !bindings::CONST_IOSQE_CQE_SKIP_SUCCESS == 0
        && sqe.ioprio | sqe.personality == 0;
    plain.then_some(if sqe.op_flags != 0 { sqe.len as i32 } else { 0 })
}
