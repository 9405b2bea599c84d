// SPDX-License-Identifier: GPL-2.0

//! What the queue does when a module is initialised, and when one goes.
//!
//! A module announces that it is going after its last own code has run and before its memory is
//! freed, and also when its initialisation failed. Waiting for the apply that is under way means
//! that no key of the module is in use when the announcement returns.
//!
//! Other subscribers hear of it too, and may request keys of that module: so requests are refused
//! from the first announcement on, and forgotten. A module is initialised before its
//! `__ro_after_init` data becomes read-only, so requests for keys in there are carried out at the
//! last announcement.

use super::{
    apply::{
        immediate,
        key,
        APPLY, //
    },
    queue::QUEUE,
    stats::STATS, //
};
use crate::module_notifier::{
    Announced,
    Block,
    Event,
    OnModule, //
};
use kernel::prelude::*;

/// Before all others.
pub(super) struct First;

/// Behind all others.
pub(super) struct Last;

pub(super) static FIRST: Block<First> = Block::new();
pub(super) static LAST: Block<Last> = Block::new();

impl OnModule for First {
    const PRIORITY: c_int = c_int::MAX;

    fn event(module: &Announced, event: Event) {
        if event == Event::Going {
            let _apply = APPLY.lock();
            let dropped = QUEUE.lock().close(module);
            STATS.dropped.add(dropped);
        }
    }
}

impl OnModule for Last {
    const PRIORITY: c_int = c_int::MIN;

    fn event(module: &Announced, event: Event) {
        // Held until the requests that are taken are carried out, as by an apply.
        let _apply = APPLY.lock();
        match event {
            Event::Live => {
                let sealed = QUEUE.lock().seal(module);
                for request in &sealed {
                    immediate(key(request), request.enable);
                }
            }
            Event::Going => {
                let dropped = QUEUE.lock().forget(module);
                STATS.dropped.add(dropped);
            }
        }
    }
}
