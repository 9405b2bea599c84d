// SPDX-License-Identifier: GPL-2.0

//! The life of a request, from its SQE to its completion.

pub(crate) mod core;
pub(crate) mod defer;
pub(crate) mod drain;
mod events;
pub(crate) mod operation;
pub(crate) mod outcome;
pub(crate) mod pending;
pub(crate) mod per_task;
pub(crate) mod poster;
pub(crate) mod request;
pub(crate) mod rings;
pub(crate) mod run;
pub(crate) mod sequenced;
pub(crate) mod target;
pub(crate) mod timer;
pub(crate) mod wakers;
