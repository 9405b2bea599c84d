// SPDX-License-Identifier: GPL-2.0

//! The interface with userspace: SQEs, the mapped pages, the arguments of SETUP.

pub(crate) mod relaxed;
pub(crate) mod setup;
pub(crate) mod shared;
pub(crate) mod sqe;
pub(crate) mod trace;
pub(crate) mod uaccess;
