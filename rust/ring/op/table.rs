// SPDX-License-Identifier: GPL-2.0

//! The operations, a row for each opcode, like io_uring's `io_issue_defs`.

use super::{
    cancel::Cancel,
    common::Context,
    message::Message,
    nop::Nop,
    poll::{
        self,
        Poll, //
    },
    prepared::Op,
    rw::Rw,
    timeout::{
        self,
        Timeout, //
    }, //
};
use crate::{
    bindings,
    ring::{
        abi::sqe::Sqe,
        req::operation::{
            Data,
            Operation, //
        }, //
    }, //
};
use kernel::prelude::*;

/// The known SQE flags (`IOSQE_*`).
const SQE_FLAGS: u32 = bindings::CONST_IOSQE_FIXED_FILE
    | bindings::CONST_IOSQE_IO_DRAIN
    | bindings::CONST_IOSQE_IO_LINK
    | bindings::CONST_IOSQE_IO_HARDLINK
    | bindings::CONST_IOSQE_ASYNC
    | bindings::CONST_IOSQE_BUFFER_SELECT
    | bindings::CONST_IOSQE_CQE_SKIP_SUCCESS;

type Prepare = fn(&Sqe, &Context<'_>) -> Result<Op>;

/// An opcode.
pub(crate) struct Row {
    /// `None` for a read or write, to save an indirect call.
    prepare: Option<Prepare>,
    /// The opcode accepts an `ioprio`.
    ioprio: bool,
    /// IOSQE_BUFFER_SELECT passes the check of flags; the operation handles it.
    buffer_select: bool,
}

impl Row {
    const RW: Self = Self {
        prepare: None,
        ioprio: true,
        buffer_select: false,
    };
    /// A read into memory that the SQE names.
    const READ: Self = Self {
        buffer_select: true,
        ..Self::RW
    };

    const fn new(prepare: Prepare) -> Self {
        Self {
            prepare: Some(prepare),
            ioprio: false,
            buffer_select: false,
        }
    }
}

const ROWS: usize = bindings::IORING_OP_LAST as usize;

/// Rows by opcode.
static TABLE: [Option<Row>; ROWS] = {
    let mut rows = [const { None }; ROWS];
    rows[bindings::IORING_OP_NOP as usize] =
        Some(Row::new(|sqe, with| Nop::prepare(sqe, with).map(Op::Nop)));
    rows[bindings::IORING_OP_READV as usize] = Some(Row::READ);
    rows[bindings::IORING_OP_WRITEV as usize] = Some(Row::RW);
    rows[bindings::IORING_OP_READ_FIXED as usize] = Some(Row::RW);
    rows[bindings::IORING_OP_WRITE_FIXED as usize] = Some(Row::RW);
    rows[bindings::IORING_OP_READ as usize] = Some(Row::READ);
    rows[bindings::IORING_OP_WRITE as usize] = Some(Row::RW);
    rows[bindings::IORING_OP_POLL_ADD as usize] =
        Some(Row::new(|sqe, with| other(Poll::prepare(sqe, with))));
    rows[bindings::IORING_OP_POLL_REMOVE as usize] =
        Some(Row::new(|sqe, _| other(poll::Update::prepare(sqe))));
    rows[bindings::IORING_OP_TIMEOUT as usize] =
        Some(Row::new(|sqe, _| other(Timeout::prepare(sqe))));
    rows[bindings::IORING_OP_TIMEOUT_REMOVE as usize] =
        Some(Row::new(|sqe, _| other(timeout::Update::prepare(sqe))));
    rows[bindings::IORING_OP_ASYNC_CANCEL as usize] =
        Some(Row::new(|sqe, with| other(Cancel::prepare(sqe, with))));
    rows[bindings::IORING_OP_MSG_RING as usize] =
        Some(Row::new(|sqe, with| other(Message::prepare(sqe, with))));
    rows
};

fn other(op: Result<impl Operation>) -> Result<Op> {
    op.map(Data::new).map(Op::Other)
}

/// Returns whether the operation `opcode` is supported (`IORING_OP_*`).
pub(crate) fn supported(opcode: u8) -> bool {
    row(opcode).is_some()
}

fn row(opcode: u8) -> Option<&'static Row> {
    TABLE.get(usize::from(opcode))?.as_ref()
}

impl Row {
    /// Returns the row of the operation of `sqe`, whose flags are checked.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an unknown opcode or flag; `EOPNOTSUPP` for IOSQE_BUFFER_SELECT where the
    /// operation does not support it.
    pub(crate) fn of(sqe: &Sqe) -> Result<&'static Self> {
        let row = row(sqe.opcode).ok_or(EINVAL)?;
        let flags = u32::from(sqe.flags);
        if flags != 0 {
            if flags & !SQE_FLAGS != 0 {
                return Err(EINVAL);
            }
            if flags & bindings::CONST_IOSQE_BUFFER_SELECT != 0 && !row.buffer_select {
                return Err(EOPNOTSUPP);
            }
        }
        Ok(row)
    }

    /// Prepares the operation of `sqe`, which has this row.
    ///
    /// # Errors
    ///
    /// `EINVAL` for a field that is not supported; and the errors of the operation.
    pub(crate) fn prepare(&self, sqe: &Sqe, context: &Context<'_>) -> Result<Op> {
        if sqe.personality != 0 || sqe.ioprio != 0 && !self.ioprio {
            return Err(EINVAL);
        }
        match self.prepare {
            None => Rw::prepare(sqe, context).map(Op::Rw),
            Some(prepare) => prepare(sqe, context),
        }
    }
}
