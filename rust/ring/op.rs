// SPDX-License-Identifier: GPL-2.0

//! Operations: from an SQE to its result.

use super::sqe::Sqe;
use crate::bindings;
use kernel::prelude::*;

/// SQE flags (`IOSQE_*`) that requests here honour.
const SQE_FLAGS: u8 = bindings::CONST_IOSQE_CQE_SKIP_SUCCESS as u8;

/// Whether there is an operation with this number (`IORING_OP_*`).
pub(crate) const fn supported(opcode: u8) -> bool {
    matches!(opcode as u32, bindings::IORING_OP_NOP)
}

/// An SQE that was found to be in order.
pub(crate) enum Request {
    /// Completes with this result.
    Nop(i32),
}

impl Request {
    /// Checks an SQE.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an operation, a flag or a field that is not supported; `EOPNOTSUPP` for
    /// IOSQE_BUFFER_SELECT, which no operation here has.
    #[inline]
    pub(crate) fn prepare(sqe: &Sqe) -> Result<Self> {
        if sqe.flags & !SQE_FLAGS != 0 {
            return Err(if sqe.flags == bindings::CONST_IOSQE_BUFFER_SELECT as u8 {
                EOPNOTSUPP
            } else {
                EINVAL
            });
        }
        if sqe.personality != 0 {
            return Err(EINVAL);
        }
        match u32::from(sqe.opcode) {
            bindings::IORING_OP_NOP => prepare_nop(sqe),
            _ => Err(EINVAL),
        }
    }

    /// Carries the request out; the result is what its CQE reports.
    #[inline]
    pub(crate) fn issue(&self) -> i32 {
        match self {
            Self::Nop(result) => *result,
        }
    }
}

#[inline]
fn prepare_nop(sqe: &Sqe) -> Result<Request> {
    if sqe.op_flags & !bindings::IORING_NOP_INJECT_RESULT != 0 || sqe.ioprio != 0 {
        return Err(EINVAL);
    }
    Ok(Request::Nop(if sqe.op_flags != 0 {
        sqe.len as i32
    } else {
        0
    }))
}
