// SPDX-License-Identifier: GPL-2.0

//! Module notifiers of the queue, for modules that become live or are unloaded.
//!
//! GOING is notified after the exit function of the module and before its memory is freed, also
//! when its init function failed. The notifier waits for the apply in progress, so it returns when
//! no key of the module is in use.
//!
//! Other notifiers may still request keys of that module. So the first notifier drops and refuses
//! requests, and the last notifier ends the refusal.
//!
//! LIVE is notified before the `__ro_after_init` data of a module becomes read-only. So the last
//! notifier carries out the requests for keys in that data.

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

/// Called before all other notifiers.
pub(super) struct First;

/// Called after all other notifiers.
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
        // Held until the requests taken out of the queue are carried out, as in an apply.
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
