// SPDX-License-Identifier: GPL-2.0

//! Four LKML proposals as one loadable module.

use kernel::prelude::*;

mod bindings;
mod dyndbg;
pub mod pure;
mod static_key;

module! {
    type: Miniring,
    name: "miniring",
    authors: ["The miniring developers"],
    description: "Miniature io_uring, queued static keys and a bulk toggler",
    license: "GPL",
}

struct Miniring {
    _toggler: dyndbg::Toggler,
    _static_keys: static_key::StaticKeys,
}

impl kernel::Module for Miniring {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let symbols = static_key::symbols::Symbols::find().ok();
        let static_keys = static_key::StaticKeys::new(symbols.as_ref())?;
        Ok(Self {
            _toggler: dyndbg::Toggler::new(symbols.as_ref()),
            _static_keys: static_keys,
        })
    }
}

impl Drop for Miniring {
    fn drop(&mut self) {
        pr_info!("unloaded\n");
    }
}
