// SPDX-License-Identifier: GPL-2.0

//! The results of requests.

use kernel::prelude::*;

/// The result of a request.
#[derive(Clone, Copy)]
pub(crate) struct Outcome {
    pub(crate) res: i32,
    /// Flags of the CQE (`IORING_CQE_F_*`).
    pub(crate) flags: u32,
    /// Whether the request failed: its chain ends, and its CQE is posted even with
    /// IOSQE_CQE_SKIP_SUCCESS.
    pub(crate) failed: bool,
}

impl Outcome {
    /// Makes an outcome, failed if `res` is negative.
    pub(crate) fn new(res: i32) -> Self {
        Self {
            res,
            flags: 0,
            failed: res < 0,
        }
    }

    /// Makes the outcome of an operation that ran to its end.
    pub(crate) fn of(result: Result<i32>) -> Self {
        result.map_or_else(Self::from, Self::new)
    }

    pub(crate) fn cancelled() -> Self {
        Self::new(ECANCELED.to_errno())
    }
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        Self::new(error.to_errno())
    }
}
