// SPDX-License-Identifier: GPL-2.0

//! The bulk toggler: dynamic debug's language, over queued static keys.
//!
//! A [write](control) to `/sys/kernel/debug/miniring/control` is one or more queries. A query
//! selects [sites](site) of this module and of modules that use [`dyn_debug!`](crate::dyn_debug). A
//! query after the word `kernel` selects sites of the [running kernel](kernel_sites). One apply
//! changes the keys of all sites that the queries of a write select. A read of `control` lists the
//! sites of this module and of modules that use `dyn_debug!`.
//!
//! `stats` has the counters of the applies, `backend` the name of the backend. `reach` tells
//! whether the kernel's sites can be reached.
//!
//! # Locks
//!
//! In the order in which they are taken; taking any of them may sleep:
//!
//! 1. `OWN` ([`site`]), for the registered sites and their flags;
//! 2. dynamic debug's mutex, for the kernel's sites and their flags;
//! 3. the locks of [`crate::static_key`], for the apply.
//!
//! C source: `lib/dynamic_debug.c`. Reference:
//! <https://docs.kernel.org/admin-guide/dynamic-debug-howto.html>

mod control;
mod files;
mod kernel_sites;
mod site;

pub(crate) use files::FILES;
pub use site::Descriptor;

use crate::kallsyms::{
    Missing,
    Symbols, //
};
use core::slice;
use kernel::prelude::*;

/// The toggler, from the module's load until its unload.
///
/// The files are removed before the toggler is dropped, so that userspace cannot turn a site on
/// afterwards.
pub(crate) struct Toggler {
    _sites: site::OwnSites,
}

impl Toggler {
    /// Makes [`FILES`] ready for use. Called once, after `StaticKeys::new()`. May sleep.
    ///
    /// # Errors
    ///
    /// The errors of `OwnSites::new`: `EEXIST`, `ENOMEM`.
    pub(crate) fn new(symbols: Result<Symbols, Missing>) -> Result<Self> {
        // Find the kernel's sites first: the parameter dyndbg, which `OwnSites::new()` carries out,
        // may select them.
        kernel_sites::find(symbols);
        Ok(Self {
            _sites: site::OwnSites::new()?,
        })
    }
}

/// Registers sites, for [`register_sites!`](crate::register_sites).
///
/// # Errors
///
/// `EEXIST` if the sites are registered already, `ENOMEM`.
///
/// # Safety
///
/// * Between `begin` and `end` are the descriptors of a module that exists.
/// * `dyndbg` is null or a string.
#[inline(never)]
pub unsafe fn register(
    begin: *const Descriptor,
    end: *const Descriptor,
    dyndbg: *const c_char,
) -> Result {
    let bytes = end.addr().wrapping_sub(begin.addr());
    // SAFETY: Between `begin` and `end` are descriptors (caller).
    let sites = unsafe { slice::from_raw_parts(begin, bytes / size_of::<Descriptor>()) };
    let Some(site) = sites.first() else {
        return Ok(());
    };
    // SAFETY: The module exists (caller).
    unsafe { site::add(sites)? };
    if !dyndbg.is_null() {
        // SAFETY: `dyndbg` is not null, so it is a string (caller).
        control::at_load(site.module(), unsafe { CStr::from_char_ptr(dyndbg) });
    }
    Ok(())
}
