// SPDX-License-Identifier: GPL-2.0

//! Carries out a write to `control`, and lists the sites for a read.

use super::{
    kernel_sites,
    site::OWN, //
};
use crate::{
    bindings as helpers,
    dyn_debug,
    pure::dyndbg::{
        queries,
        ParseError,
        Query,
        Target,
        HEADER,
        WRITE_MAX, //
    },
    static_key::{
        self,
        Applied, //
    }, //
};
use kernel::{
    prelude::*,
    uaccess::UserSlice, //
};

/// Carries out the queries in `text`: all queries, or none if one is bad.
///
/// Context: process; may sleep.
///
/// # Errors
///
/// * `E2BIG` if `len` is more than 4095.
/// * `EINVAL` for a bad query; the kernel log has the reason.
/// * `EOPNOTSUPP` for a query that selects kernel sites, if they cannot be reached.
/// * `EFAULT` or `ENOMEM`.
pub(super) fn write(text: UserSlice, len: usize) -> Result {
    if len > WRITE_MAX {
        return Err(E2BIG);
    }
    let mut buffer = KVec::new();
    text.read_all(&mut buffer, GFP_KERNEL)?;

    let parsed = parse(&mut buffer, |error| {
        // SAFETY: The function may be called in any context.
        if unsafe { helpers::miniring_may_complain() } {
            pr_err!("control: {}; nothing changed\n", format_args!("{error}"));
        }
    })?;
    dyn_debug!(write, "{} queries in {len} bytes\n", parsed.len());
    apply(&parsed)
}

/// Carries out the queries of a module's parameter `dyndbg`. A query without a module name selects
/// only sites of `module`.
///
/// As in the kernel, a failure does not fail the load; the reason is logged. May sleep.
pub(super) fn at_load(module: &'static CStr, text: &CStr) {
    let outcome = || {
        let mut buffer = KVec::new();
        buffer.extend_from_slice(text.to_bytes(), GFP_KERNEL)?;
        let mut parsed = parse(&mut buffer, |error| {
            pr_err!("dyndbg of {module}: {}\n", format_args!("{error}"));
        })?;
        for query in &mut parsed {
            query.module.get_or_insert(module.to_bytes());
        }
        apply(&parsed)
    };
    if let Err(error) = outcome() {
        pr_err!("dyndbg of {module}: nothing changed: {error:?}\n");
    }
}

/// Parses the queries in `text`.
///
/// # Errors
///
/// `EINVAL` for a bad query; `complain` gets the reason of the first bad query.
fn parse<'a>(text: &'a mut [u8], complain: impl FnOnce(ParseError<'a>)) -> Result<KVec<Query<'a>>> {
    let mut parsed = KVec::new();
    for query in queries(text) {
        match Query::parse(query) {
            Ok(query) => parsed.push(query, GFP_KERNEL)?,
            Err(error) => {
                complain(error);
                return Err(EINVAL);
            }
        }
    }
    Ok(parsed)
}

/// Changes flags query by query, because later queries build on earlier queries, then all keys at
/// once.
fn apply(queries: &[Query<'_>]) -> Result {
    let about_kernel = queries.iter().any(|query| query.target == Target::Kernel);
    let kernel = about_kernel.then(kernel_sites::get).transpose()?;

    let own = OWN.lock();
    let kernel = kernel.map(|sites| sites.lock());
    for query in queries {
        match (query.target, &kernel) {
            (Target::Kernel, Some(sites)) => {
                sites.for_each_match(query, &mut |site| site.change(query.change));
            }
            (Target::Kernel, None) => {}
            (Target::Own, _) => {
                // These sites have no classes.
                if let Some(class) = query.class_id([]) {
                    for site in own.sites() {
                        if query.matches(class, &site.own_view()) {
                            site.change(query.change);
                        }
                    }
                }
            }
        }
        // SAFETY: Only mutexes are held, so the task may sleep.
        unsafe { helpers::miniring_cond_resched() };
    }
    // Apply with the locks held, so that a reader of the flags finds the code patched.
    report(&static_key::apply_queued());
    Ok(())
}

fn report(applied: &Applied) {
    dyn_debug!(
        report,
        "{} of {} keys changed: {} entries in {} batches, {} ns\n",
        applied.keys,
        applied.requests,
        applied.work.entries,
        applied.work.batches,
        applied.nanoseconds
    );
}

/// Writes the list of the registered sites to `emit`.
pub(super) fn list(emit: &mut dyn FnMut(&[u8])) {
    emit(HEADER);
    for site in OWN.lock().sites() {
        site.own_view().print(site.flags(), emit);
    }
}
