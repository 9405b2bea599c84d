// SPDX-License-Identifier: GPL-2.0

//! The sites of the running kernel: its `pr_debug()` calls and those of its modules.
//!
//! Dynamic debug keeps a list of tables, one for each module, under a mutex. The list, the mutex
//! and the layout of a table are private to dynamic debug. So the module checks the layout below at
//! load: the built-in tables must cover the section of the built-in sites. Without built-in sites
//! the layout cannot be checked, so the sites of modules cannot be reached either.

use super::site::Descriptor;
use crate::{
    bindings as helpers,
    kallsyms::{
        read_nofault,
        FromBytes,
        Missing,
        Symbols, //
    },
    pure::dyndbg::{
        count_built_in,
        Distrust,
        Query, //
    }, //
};
use core::ptr::NonNull;
use kernel::{
    bindings,
    fmt,
    prelude::*,
    sync::{
        lock::{
            mutex::MutexBackend,
            Guard,
            Lock, //
        },
        SetOnce, //
    }, //
};

/// The kernel's sites; set at load, if they can be reached.
static KERNEL: SetOnce<KernelSites> = SetOnce::new();

/// A table of sites: the kernel's `struct ddebug_table`.
#[repr(C)]
#[derive(Clone, Copy)]
struct Table {
    link: bindings::list_head,
    maps: bindings::list_head,
    mod_name: *const c_char,
    num_ddebugs: c_uint,
    ddebugs: *mut bindings::_ddebug,
}

// SAFETY: Pointers and integers can have any value.
unsafe impl FromBytes for Table {}

/// Dynamic debug's mutex and list of tables.
///
/// # Invariants
///
/// `mutex` and `tables` point to dynamic debug's mutex and list, and the nodes of the list are
/// [`Table`]s.
pub(super) struct KernelSites {
    mutex: NonNull<c_void>,
    tables: NonNull<bindings::list_head>,
}

// SAFETY: Any task may take the mutex, and the list is only accessed with the mutex held.
unsafe impl Send for KernelSites {}
// SAFETY: As above.
unsafe impl Sync for KernelSites {}

/// The reason why the sites cannot be reached.
enum Unusable {
    Missing(Missing),
    Layout(Distrust),
}

impl From<Missing> for Unusable {
    fn from(missing: Missing) -> Self {
        Self::Missing(missing)
    }
}

impl From<Distrust> for Unusable {
    fn from(distrust: Distrust) -> Self {
        Self::Layout(distrust)
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(missing) => fmt::Display::fmt(missing, f),
            Self::Layout(distrust) => f.write_fmt(format_args!("{distrust}")),
        }
    }
}

/// Finds the kernel's sites, and logs the result. Called once; may sleep.
pub(super) fn find(symbols: Result<Symbols, Missing>) {
    let found = symbols.map_err(Unusable::from);
    match found.and_then(|symbols| KernelSites::find(&symbols)) {
        Ok((sites, count)) => {
            KERNEL.populate(sites);
            pr_info!("kernel sites: {count} built in\n");
        }
        Err(why) => pr_info!("kernel sites: out of reach, since {why}\n"),
    }
}

/// Returns the kernel's sites.
///
/// # Errors
///
/// `EOPNOTSUPP` if they cannot be reached.
pub(super) fn get() -> Result<&'static KernelSites> {
    KERNEL.as_ref().ok_or(EOPNOTSUPP)
}

impl KernelSites {
    fn find(symbols: &Symbols) -> Result<(Self, usize), Unusable> {
        let sites = Self {
            mutex: symbols.address(c"ddebug_lock")?,
            tables: symbols.address(c"ddebug_tables")?.cast(),
        };
        let start = symbols.address(c"__start___dyndbg")?.addr().get();
        let stop = symbols.address(c"__stop___dyndbg")?.addr().get();
        let size = core::mem::size_of::<bindings::_ddebug>();
        let count = {
            let _locked = sites.mutex();
            count_built_in(start..stop, size, sites.read_tables())?
        };
        // INVARIANT: The tables cover the section exactly, so their layout is that of `Table`.
        Ok((sites, count))
    }

    /// Reads the tables, up to the first node that cannot be a table. Yields the address of the
    /// first site, and the number of sites, of each table.
    ///
    /// Locking: the caller holds the mutex.
    fn read_tables(&self) -> impl Iterator<Item = (usize, usize)> {
        let head: *const bindings::list_head = self.tables.as_ptr();
        let mut last = head;
        let mut next = read_nofault(head).map_or(head, |head| head.next.cast_const());
        core::iter::from_fn(move || {
            if next == head {
                return None;
            }
            let table = read_nofault(next.cast::<Table>()).ok()?;
            if table.link.prev.cast_const() != last || read_nofault(table.mod_name).ok()? == 0 {
                return None;
            }
            (last, next) = (next, table.link.next);
            Some((table.ddebugs.addr(), table.num_ddebugs as usize))
        })
    }

    fn mutex(&self) -> Guard<'_, (), MutexBackend> {
        // SAFETY: `mutex` is dynamic debug's mutex (type invariant), which is initialised
        // statically.
        unsafe { Lock::<(), MutexBackend>::from_raw(self.mutex.as_ptr().cast()) }.lock()
    }

    /// Takes dynamic debug's mutex. May sleep.
    pub(super) fn lock(&self) -> Locked<'_> {
        Locked {
            sites: self,
            _mutex: self.mutex(),
        }
    }
}

/// The kernel's sites, with dynamic debug's mutex held.
pub(super) struct Locked<'a> {
    sites: &'a KernelSites,
    _mutex: Guard<'a, (), MutexBackend>,
}

impl Locked<'_> {
    /// Calls `visit` for each site that `query` selects.
    pub(super) fn for_each_match(
        &self,
        query: &Query<'_>,
        visit: &mut dyn FnMut(&'static Descriptor),
    ) {
        let head = self.sites.tables.as_ptr();
        // SAFETY: `head` is dynamic debug's list (type invariant), and the mutex is held.
        let mut next = unsafe { (*head).next };
        while next != head {
            // SAFETY: The node is a `Table` (type invariant), whose first field is the link.
            let table = unsafe { &*next.cast::<Table>() };
            table.for_each_match(query, visit);
            next = table.link.next;
            // SAFETY: Only mutexes are held, so the task may sleep.
            unsafe { helpers::miniring_cond_resched() };
        }
    }
}

impl Table {
    fn for_each_match(&self, query: &Query<'_>, visit: &mut dyn FnMut(&'static Descriptor)) {
        let Some(class) = query.class_id(self.classes()) else {
            return;
        };
        // SAFETY: A table in the list has that number of sites, and its module stays while the
        // mutex is held. No caller uses a site after releasing the mutex.
        let (module, sites) = unsafe {
            (
                CStr::from_char_ptr(self.mod_name),
                core::slice::from_raw_parts(
                    self.ddebugs.cast::<Descriptor>(),
                    self.num_ddebugs as usize,
                ),
            )
        };
        for site in sites {
            if query.matches(class, &site.view(module)) {
                visit(site);
            }
        }
    }

    /// Returns the module's classes, in the order of the maps. The kernel searches for a name in
    /// this order.
    fn classes(&self) -> impl Iterator<Item = (i32, &[u8])> {
        let head = &raw const self.maps;
        let mut next = self.maps.next.cast_const();
        core::iter::from_fn(move || {
            if next == head {
                return None;
            }
            // SAFETY: The nodes are maps, whose first field is the link, and live as long as the
            // table.
            let map = unsafe { &*next.cast::<bindings::ddebug_class_map>() };
            next = map.link.next;
            Some(map)
        })
        .flat_map(|map| {
            // A null pointer ends the names early, as for `match_string()`.
            (0..map.length).map_while(|at| {
                // SAFETY: The map has `length` names, or a null pointer after the last name.
                let name = unsafe { *map.class_names.add(at as usize) };
                // SAFETY: `name` is not null, so it is a string.
                let name = (!name.is_null()).then(|| unsafe { CStr::from_char_ptr(name) })?;
                Some((map.base.wrapping_add(at), name.to_bytes()))
            })
        })
    }
}
