// SPDX-License-Identifier: GPL-2.0

//! Four LKML proposals as one loadable module.

use kernel::prelude::*;

mod bindings;

module! {
    type: Miniring,
    name: "miniring",
    authors: ["The miniring developers"],
    description: "Miniature io_uring, queued static keys and a bulk toggler",
    license: "GPL",
}

struct Miniring;

impl kernel::Module for Miniring {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        pr_info!("loaded {}\n", unsafe { bindings::miniring_eventfd_signal_allowed() });
        Ok(Self)
    }
}

impl Drop for Miniring {
    fn drop(&mut self) {
        pr_info!("unloaded\n");
    }
}
