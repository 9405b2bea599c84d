// SPDX-License-Identifier: GPL-2.0

//! The bulk toggler: dynamic debug's language, over queued static keys.
//!
//! `/sys/kernel/debug/miniring/control` takes queries about the [sites](site) of this module and of
//! those that use [`dyn_debug!`](crate::dyn_debug), and behind the word `kernel`, about those of the
//! [running kernel](kernel_sites); read, it lists the former. However many queries a
//! [write](control) has, the keys of all their sites are changed by one apply. `stats` beside it
//! says what came of that, `backend` how it is done, and `reach` whether the kernel's sites are
//! within reach.
//!
//! # Locks
//!
//! In the order in which they are taken; all of them sleep:
//!
//! 1. `OWN` ([`site`]), for these sites and their flags;
//! 2. dynamic debug's mutex, for those of the kernel's;
//! 3. those of [`crate::static_key`], for the apply.
//!
//! C source: `lib/dynamic_debug.c`. Reference:
//! <https://docs.kernel.org/admin-guide/dynamic-debug-howto.html>

mod control;
mod files;
mod kernel_sites;
mod site;

pub(crate) use files::FILES;
pub use site::{
    register,
    Descriptor, //
};

use crate::kallsyms::{
    Missing,
    Symbols, //
};
use kernel::prelude::*;

/// The toggler, from the module's load until its unload. Its files go before it, so that nobody
/// turns a site on after that.
pub(crate) struct Toggler {
    _sites: site::OwnSites,
}

impl Toggler {
    /// Makes [`FILES`] ready for use. To be called once, with static keys ready.
    ///
    /// # Errors
    ///
    /// What `OwnSites::new` says.
    pub(crate) fn new(symbols: Result<Symbols, Missing>) -> Result<Self> {
        // The parameter dyndbg, which `OwnSites::new()` obeys, may be about the kernel's sites.
        kernel_sites::find(symbols);
        Ok(Self {
            _sites: site::OwnSites::new()?,
        })
    }
}
