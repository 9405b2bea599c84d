// SPDX-License-Identifier: GPL-2.0

//! `/proc/PID/fdinfo/FD` of a ring, in the format of `io_uring`. Two lines are added: the number of
//! calls that submitted, and the number of times that the ring's mutex was taken.

use crate::{
    pure::geometry,
    ring::{
        abi::shared::Cqe,
        Ring, //
    }, //
};
use kernel::{
    seq_file::SeqFile,
    seq_print, //
};

/// Maximal number of overflowed completions to show.
const OVERFLOW: usize = 32;

impl Ring {
    /// Shows the ring's state without a lock, so the values may not belong together. May sleep.
    pub(crate) fn show(&self, m: &SeqFile) {
        let (sq_head, sq_tail, cq_head, cq_tail) = self.shared.indices();
        let sq_entries = self.config.geometry.sq_entries();
        let cq_entries = self.config.geometry.cq_entries();
        seq_print!(m, "SqMask:\t0x{:x}\n", geometry::mask(sq_entries));
        seq_print!(m, "SqHead:\t{}\n", sq_head);
        seq_print!(m, "SqTail:\t{}\n", sq_tail);
        seq_print!(m, "CachedSqHead:\t{}\n", self.cached_sq_head());
        seq_print!(m, "CqMask:\t0x{:x}\n", geometry::mask(cq_entries));
        seq_print!(m, "CqHead:\t{}\n", cq_head);
        seq_print!(m, "CqTail:\t{}\n", cq_tail);
        seq_print!(m, "CachedCqTail:\t{}\n", self.completion.tail());
        seq_print!(m, "SQEs:\t{}\n", geometry::distance(sq_tail, sq_head));
        for i in 0..geometry::sq_ready(sq_head, sq_tail, sq_entries) {
            let index = self.shared.sq_index(sq_head.wrapping_add(i));
            if index >= sq_entries {
                continue;
            }
            let sqe = self.shared.copy_sqe(index);
            seq_print!(
                m,
                "{:5}: opcode:{}, fd:{}, flags:{:x}, off:{}, addr:0x{:x}, rw_flags:0x{:x}, \
                 buf_index:{} user_data:{}\n",
                index,
                sqe.opcode,
                sqe.fd,
                sqe.flags,
                sqe.off,
                sqe.addr,
                sqe.op_flags,
                sqe.buf_index,
                sqe.user_data
            );
        }
        seq_print!(m, "CQEs:\t{}\n", geometry::distance(cq_tail, cq_head));
        seq_print!(m, "CqOverflowList:\n");
        let mut first = [Cqe::default(); OVERFLOW];
        let (nr, more) = self.completion.first_overflow(&mut first);
        for cqe in first.iter().take(nr) {
            seq_print!(
                m,
                "  user_data={}, res={}, flags={:x}\n",
                cqe.user_data,
                cqe.res,
                cqe.flags
            );
        }
        if more {
            seq_print!(m, "  ...\n");
        }
        let tally = self.gate.tally();
        seq_print!(m, "submits:\t{}\n", tally.submits());
        seq_print!(m, "locks:\t{}\n", tally.locks());
    }
}
