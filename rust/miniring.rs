// SPDX-License-Identifier: GPL-2.0

//! Four LKML proposals as one loadable module.
//!
//! A folder uses only folders to its left: `bindings`, `pure` | `debugfs`, `kallsyms`,
//! `kmalloc`, `module_notifier` | `rcu` | `deferred`, `eventfd`, `static_key` | `dyndbg` | `ring`.

mod bindings;
mod debugfs;
pub mod deferred;
pub mod dyndbg;
pub mod eventfd;
mod kallsyms;
mod kmalloc;
mod module_notifier;
pub mod pure;
pub mod rcu;
mod ring;
pub mod static_key;

use kernel::prelude::*;
use ring::{
    call::{
        device,
        workers, //
    },
    req::rings,
    sys::task_work, //
};

module! {
    type: Miniring,
    name: "miniring",
    authors: ["The miniring developers"],
    description: "Miniature io_uring, queued static keys and a bulk toggler",
    license: "GPL",
}

/// The module's state.
///
/// Fields are dropped in this order: first the interfaces to userspace, last the wait for
/// callbacks.
#[pin_data]
struct Miniring {
    _directory: debugfs::Directory,
    #[pin]
    _device: device::Registration,
    _workers: workers::Workers,
    _toggler: dyndbg::Toggler,
    _static_keys: static_key::StaticKeys,
    _callbacks: rcu::Callbacks,
}

impl kernel::InPlaceModule for Miniring {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        let symbols = kallsyms::Symbols::find();
        task_work::find(symbols);
        // The fields are made in the order of dependency, and dropped in the order of declaration.
        // The interfaces to userspace come last, and no later step fails. Otherwise the module
        // could be freed while one of its files is open.
        try_pin_init!(Self {
            // SAFETY: `_callbacks` is the first field to be made and the last to be dropped.
            _callbacks: unsafe { rcu::Callbacks::new()? },
            _static_keys: static_key::StaticKeys::new(symbols)?,
            _toggler: dyndbg::Toggler::new(symbols)?,
            // SAFETY: The init function of a module is called once, and makes `_device` later.
            _workers: unsafe { workers::Workers::new()? },
            _device <- device::Registration::new(),
            _directory: debugfs::Directory::new()
                .with(&dyndbg::FILES)
                .with(&rings::FILES),
        })
    }
}
