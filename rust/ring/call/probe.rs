// SPDX-License-Identifier: GPL-2.0

//! `IORING_REGISTER_PROBE`: lists the operations.

use crate::{
    bindings,
    ring::op, //
};
use core::mem::{
    offset_of,
    size_of, //
};
use kernel::{
    prelude::*,
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// Maximal number of operations of a probe.
const MAX: u32 = 256;
/// Size of a `struct io_uring_probe` without its operations. The first two bytes are `last_op` and
/// `ops_len`.
const HEADER: usize = 16;
/// Size of a `struct io_uring_probe_op`.
const OP: usize = 8;

const _: () = {
    assert!(size_of::<bindings::io_uring_probe_op>() == OP);
    assert!(offset_of!(bindings::io_uring_probe_op, op) == 0);
    assert!(offset_of!(bindings::io_uring_probe_op, flags) == 2);
    assert!(bindings::IORING_OP_LAST <= MAX);
};

/// Fills in the user's `struct io_uring_probe`, which must be zero.
///
/// # Errors
///
/// `EINVAL` without a structure, for more than [`MAX`] operations, or if the structure is not zero;
/// `EFAULT`; `ENOMEM`.
pub(crate) fn probe(args: &bindings::miniring_register) -> Result<u32> {
    if args.arg == 0 || args.nr_args > MAX {
        return Err(EINVAL);
    }
    let nr = args.nr_args.min(bindings::IORING_OP_LAST);
    let user = UserPtr::from_addr(args.arg as usize);
    let size = HEADER + OP * nr as usize;
    let mut probe = KVec::new();
    UserSlice::new(user, size).read_all(&mut probe, GFP_KERNEL)?;
    if probe.iter().any(|byte| *byte != 0) {
        return Err(EINVAL);
    }
    let (header, ops) = probe.split_at_mut_checked(HEADER).ok_or(EINVAL)?;
    if let [last_op, ops_len, ..] = header {
        *last_op = (bindings::IORING_OP_LAST - 1) as u8;
        *ops_len = nr as u8;
    }
    for (opcode, op) in (0u8..).zip(ops.chunks_exact_mut(OP)) {
        if let [op, _, flags, ..] = op {
            *op = opcode;
            if op::supported(opcode) {
                *flags = bindings::IO_URING_OP_SUPPORTED as u8;
            }
        }
    }
    UserSlice::new(user, size).writer().write_slice(&probe)?;
    Ok(0)
}
