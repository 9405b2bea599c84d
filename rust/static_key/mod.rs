// SPDX-License-Identifier: GPL-2.0

//! Queued static keys: many changes, one machine-wide synchronisation per batch of jump entries.
//!
//! A request only goes into the [queue](queue). [`apply_queued`] takes what is there, sees which
//! keys really change, collects their jump entries, sorts them by code address and has the
//! architecture patch them; the order is what lets it fill whole batches. How the last step is done
//! is a [backend's](backend) business, chosen when the module is loaded.
//!
//! | case | what happens |
//! | --- | --- |
//! | several requests for a key before the apply | the last one counts |
//! | `static_key_enabled()` before the apply | as before the request |
//! | the key's module goes away, or fails to load | its requests are [dropped](notifier) |
//! | the key was changed otherwise meanwhile | nothing is patched twice |
//! | a key with more than one reference | refused: `EBUSY`, or counted if it became so since |
//! | a key sealed at the end of boot | refused: `EROFS` |
//! | a `__ro_after_init` key of a module that loads | changed when the module is initialised, at the latest |
//! | such a key of a module that is loaded | refused: `EROFS` |
//! | a key of a module that goes | refused: `ENODEV` |
//! | no memory for a request | applied at once |
//! | no memory for the jump entries | applied key by key |
//! | two callers | one apply at a time, after which the requests of both are carried out |
//!
//! # Locks
//!
//! In the order in which they are taken; all of them sleep:
//!
//! 1. dynamic debug's mutex, by callers that hold it;
//! 2. `APPLY` ([`apply`]), from before the queue is taken until its keys are published;
//! 3. `QUEUE` ([`queue`]), alone or inside `APPLY`, with nothing taken inside;
//! 4. `cpus_read_lock()`, without `QUEUE`;
//! 5. the kernel's jump label mutex, and inside of it text_mutex.
//!
//! C header: `include/linux/static_key_queued.h`.

mod apply;
mod backend;
mod batched;
mod capi;
mod entries;
mod key;
mod notifier;
mod queue;
mod stats;
mod stopped;
#[cfg(CONFIG_KUNIT)]
mod tests;
mod transit;
mod work;

pub use apply::{
    apply_queued,
    Applied, //
};
pub use key::StaticKey;
pub(crate) use stats::STATS;
pub use work::Work;

use crate::{
    kallsyms::{
        Missing,
        Symbols, //
    },
    module_notifier::Registration, //
};
use backend::Backend;
use kernel::prelude::*;
use key::Key;
use queue::{
    Queue,
    QUEUE, //
};

/// Requests that `key` be on; see the module's table for what may come of it.
#[inline(never)]
pub fn enable_queued(key: &'static StaticKey) -> Result {
    request(key.key(), true)
}

/// Requests that `key` be off.
#[inline(never)]
pub fn disable_queued(key: &'static StaticKey) -> Result {
    request(key.key(), false)
}

/// The name of the backend in use.
pub(crate) fn backend_name() -> &'static str {
    Backend::get().name()
}

fn request(key: Key, enable: bool) -> Result {
    key.check()?;
    // Not in one expression: what is applied at once must not hold the queue.
    let queued = {
        let mut queue = QUEUE.lock();
        queue.check(key)?;
        queue.push(key, enable)
    };
    queued.or_else(|_| apply::apply_now(key, enable))
}

/// The subsystem, from the module's load until its unload.
pub(crate) struct StaticKeys {
    _first: Registration,
    _last: Registration,
    /// Dropped last: a module that goes live would add to the queue again.
    _queue: Emptied,
}

/// Empties the queue when it is dropped: no one drops a `static`.
struct Emptied;

impl StaticKeys {
    /// Chooses the backend and starts to watch modules. To be called once, before anything else in
    /// here is.
    pub(crate) fn new(symbols: Result<Symbols, Missing>) -> Result<Self> {
        // SAFETY: This is the only call, and the only function that is called before others.
        unsafe {
            queue::QUEUE.init();
            apply::APPLY.init();
        }
        Backend::choose(symbols)?;
        Ok(Self {
            _first: Registration::new(&notifier::FIRST)?,
            _last: Registration::new(&notifier::LAST)?,
            _queue: Emptied,
        })
    }
}

impl Drop for Emptied {
    fn drop(&mut self) {
        // No module can queue more requests: each such module holds a reference to this one.
        let dropped = core::mem::replace(&mut *QUEUE.lock(), Queue::new()).len();
        STATS.dropped.add(dropped);
    }
}
