// SPDX-License-Identifier: GPL-2.0

//! Kernel primitives that know no ring.

pub(crate) mod identity;
pub(crate) mod queues;
pub(crate) mod task_work;
pub(crate) mod thread;
pub(crate) mod wait;
