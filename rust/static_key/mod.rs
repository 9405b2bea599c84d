// SPDX-License-Identifier: GPL-2.0

//! Queued static keys: many changes, one machine-wide synchronisation per batch of jump entries.
//!
//! A request only goes into the [queue](queue). [`apply_queued`] takes all requests, finds the keys
//! that change and collects their jump entries. Sorting the entries by code address lets the
//! architecture fill whole batches. The [backend](backend) that patches the code is chosen when the
//! module is loaded.
//!
//! | case | what happens |
//! | --- | --- |
//! | several requests for a key before the apply | the last one counts |
//! | `static_key_enabled()` before the apply | as before the request |
//! | the key's module is unloaded, or fails to load | its requests are [dropped](notifier) |
//! | the key was changed otherwise meanwhile | nothing is patched twice |
//! | a key with more than one reference | refused: `EBUSY`; at the apply: skipped and counted |
//! | a key sealed at the end of boot | refused: `EROFS` |
//! | a `__ro_after_init` key of a module being loaded | changed when the module is initialised, at the latest |
//! | a `__ro_after_init` key of a loaded module | refused: `EROFS` |
//! | a key of a module being unloaded | refused: `ENODEV` |
//! | no memory for a request | applied at once |
//! | no memory for the jump entries | applied key by key |
//! | two concurrent applies | the second waits for the first; then all requests are carried out |
//!
//! # Locks
//!
//! In the order in which they are taken; taking any of them may sleep:
//!
//! 1. dynamic debug's mutex, by callers that hold it;
//! 2. `APPLY` ([`apply`]), from before the queue is taken until its keys are published;
//! 3. `QUEUE` ([`queue`]), alone or inside `APPLY`; a leaf;
//! 4. `cpus_read_lock()`, without `QUEUE`;
//! 5. the kernel's jump label mutex, and inside it text_mutex.
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

/// Queues a request to enable `key`; the table of this [module](self) lists the outcomes.
///
/// Context: process; may sleep.
///
/// # Errors
///
/// `EBUSY` for a reference counted key, `EROFS` for a read-only key, `ENODEV` if the key's module
/// is being unloaded.
#[inline(never)]
pub fn enable_queued(key: &'static StaticKey) -> Result {
    request(key.key(), true)
}

/// Queues a request to disable `key`, with the context and the errors of [`enable_queued`].
#[inline(never)]
pub fn disable_queued(key: &'static StaticKey) -> Result {
    request(key.key(), false)
}

/// Returns the name of the backend.
pub(crate) fn backend_name() -> &'static str {
    Backend::get().name()
}

fn request(key: Key, enable: bool) -> Result {
    key.check()?;
    // Not in one expression: `QUEUE` must be released before `apply_now()` takes `APPLY`.
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
    /// Dropped last: as long as the notifiers are registered, an event of a module adds to the
    /// queue.
    _queue: Emptied,
}

/// Empties the queue on drop, because a `static` is never dropped.
struct Emptied;

impl StaticKeys {
    /// Chooses the backend and registers the module notifiers.
    ///
    /// Context: process; may sleep. Called once, before every other function of this module.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an unknown backend, `EOPNOTSUPP` if the kernel lacks what the backend needs.
    pub(crate) fn new(symbols: Result<Symbols, Missing>) -> Result<Self> {
        // SAFETY: This function is called once, before every use of the locks.
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
        // No module can queue more requests: each module that queues holds a reference to this
        // module.
        let dropped = core::mem::replace(&mut *QUEUE.lock(), Queue::new()).len();
        STATS.dropped.add(dropped);
    }
}
