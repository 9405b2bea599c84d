// SPDX-License-Identifier: GPL-2.0

//! The position of a submitter in the SQ.

use crate::ring::abi::{
    shared::Shared,
    sqe::Sqe,
    trace, //
};

/// The position of a submitter in the SQ.
#[derive(Default)]
pub(crate) struct Position {
    /// SQ position of the next SQE to take.
    pub(crate) head: u32,
    /// SQEs skipped because their index was out of range.
    dropped: u32,
}

impl Position {
    /// Copies the next SQE, and takes it. Drops the SQE and returns `None` if its index is out of
    /// range.
    #[inline]
    pub(crate) fn next(&mut self, shared: &Shared) -> Option<Sqe> {
        let head = self.head;
        self.head = head.wrapping_add(1);
        let index = shared.sq_index(head);
        if index >= shared.geometry().sq_entries() {
            self.dropped = self.dropped.wrapping_add(1);
            shared.set_sq_dropped(self.dropped);
            return None;
        }
        let sqe = shared.copy_sqe(index);
        trace::submit_req(shared, &sqe);
        Some(sqe)
    }

    /// Returns the last SQE, which was not consumed, to the SQ.
    pub(crate) fn put_back(&mut self) {
        self.head = self.head.wrapping_sub(1);
    }
}
