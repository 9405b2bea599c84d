// SPDX-License-Identifier: GPL-2.0

//! Issuer state, which only a submitter touches, behind the gate.

pub(crate) mod account;
pub(crate) mod buffers;
pub(crate) mod gate;
mod pinned;
pub(crate) mod polled;
pub(crate) mod position;
pub(crate) mod tally;
