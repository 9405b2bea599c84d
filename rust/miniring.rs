// SPDX-License-Identifier: GPL-2.0

//! Four LKML proposals as one loadable module.
//!
//! Every folder depends only on those above it in this list.

mod bindings;
pub mod pure;

pub mod rcu;

pub mod eventfd;

mod ring;

use kernel::prelude::*;

module! {
    type: Miniring,
    name: "miniring",
    authors: ["The miniring developers"],
    description: "Miniature io_uring, queued static keys and a bulk toggler",
    license: "GPL",
}

/// The module's state. Fields are dropped in this order: first what lets anybody in, last what
/// waits for the callbacks that are left.
#[pin_data]
struct Miniring {
    #[pin]
    _device: ring::Registration,
    _callbacks: rcu::Callbacks,
}

impl kernel::InPlaceModule for Miniring {
    fn init(_module: &'static ThisModule) -> impl PinInit<Self, Error> {
        try_pin_init!(Self {
            _device <- ring::Registration::new(),
            _callbacks: rcu::Callbacks::default(),
        })
    }
}
