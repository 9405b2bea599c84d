// SPDX-License-Identifier: GPL-2.0

//! The file operations of `/dev/miniring`, and the threads and probes behind them.

pub(crate) mod clone;
pub(crate) mod device;
pub(crate) mod enter;
pub(crate) mod exec;
pub(crate) mod fdinfo;
pub(crate) mod probe;
pub(crate) mod register;
pub(crate) mod sqpoll;
pub(crate) mod submit;
pub(crate) mod workers;
