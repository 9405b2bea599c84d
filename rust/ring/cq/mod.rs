// SPDX-License-Identifier: GPL-2.0

//! Completions, and the eventfd that is signalled for them.

pub(crate) mod completion;
pub(crate) mod notify;
