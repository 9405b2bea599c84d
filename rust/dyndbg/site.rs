// SPDX-License-Identifier: GPL-2.0

//! Sites: statements that print to the kernel log while they are turned on.
//!
//! A `struct _ddebug` describes every site, of the kernel or of this module. The sites of
//! [`dyn_debug!`](crate::dyn_debug) are in another section, so dynamic debug does not see them.
//! `sites_begin.c` and `sites_end.c` mark the ends of that section. These sites print through the
//! function of `pr_debug()`, which evaluates the flags.
//!
//! A module registers its sites with [`register_sites!`](crate::register_sites). They are
//! unregistered when the module is unloaded.

use crate::{
    module_notifier::{
        Announced,
        Block,
        Event,
        OnModule,
        Registration, //
    },
    pure::dyndbg::{
        Change,
        Class,
        Flags,
        Site,
        NO_CLASS, //
    },
    static_key::{
        self,
        StaticKey, //
    }, //
};
use kernel::{
    bindings,
    fmt,
    prelude::*,
    types::Opaque,
    ModuleMetadata, //
};

kernel::sync::global_lock! {
    // SAFETY: `OwnSites::new()` initialises the lock before any file exists.
    //
    /// Serialises writers of the flags of registered sites, and keeps the modules of the sites.
    pub(super) unsafe(uninit) static OWN: Mutex<Tables> = Tables(KVec::new());
}

/// The registered sites, of this module and others.
///
/// # Invariants
///
/// The module of a table exists: [`Forget`] is notified before the module is freed.
pub(super) struct Tables(KVec<&'static [Descriptor]>);

impl Tables {
    /// Returns all sites: tables in the order of registration, sites of a table in link order.
    pub(super) fn sites(&self) -> impl Iterator<Item = &'static Descriptor> + '_ {
        self.0.iter().flat_map(|table| table.iter())
    }
}

/// Length of the part of `file!()` before the root of the source.
const ROOT: usize = file!().len() - "rust/dyndbg/site.rs".len();

/// The description of a site.
///
/// # Invariants
///
/// The strings end in a NUL and live as long as the descriptor.
#[repr(transparent)]
pub struct Descriptor(Opaque<bindings::_ddebug>);

// SAFETY:
// - The flags are written under a mutex. A site that prints may read the old or the new flags.
// - The key is accessed atomically.
// - The other fields do not change.
unsafe impl Sync for Descriptor {}

impl Descriptor {
    /// Describes a site of module `M` that is off, for [`dyn_debug!`](crate::dyn_debug). Each text
    /// ends in a NUL.
    #[inline]
    pub const fn new<M: ModuleMetadata>(
        function: &'static str,
        file: &'static str,
        format: &'static str,
        line: u32,
    ) -> Self {
        let (_, file) = file
            .as_bytes()
            .split_at(if in_tree(file) { ROOT } else { 0 });
        // 18 bits of line, 6 of class, 8 of flags, from the lowest.
        let bits = (line & ((1 << 18) - 1)) | (NO_CLASS as u32) << 18;
        let mut descriptor: bindings::_ddebug = pin_init::zeroed();
        descriptor.modname = text(M::NAME.to_bytes_with_nul());
        descriptor.function = text(function.as_bytes());
        descriptor.filename = text(file);
        descriptor.format = text(format.as_bytes());
        descriptor._bitfield_1 = bindings::__BindgenBitfieldUnit::new(bits.to_ne_bytes());
        // INVARIANT: `text()` checked that the strings end in a NUL, and they are static.
        Self(Opaque::new(descriptor))
    }

    /// Returns the view of a registered site that queries match.
    pub(super) fn own_view(&self) -> Site<'_> {
        self.view(self.module())
    }

    /// Returns the module name that was compiled in.
    pub(super) fn module(&self) -> &CStr {
        // SAFETY: The descriptor is initialised, and its module name does not change.
        unsafe { CStr::from_char_ptr((*self.0.get()).modname) }
    }

    /// Returns the view of a site of `module` that queries match.
    pub(super) fn view<'a>(&'a self, module: &'a CStr) -> Site<'a> {
        // SAFETY: The descriptor is initialised, and the fields read here do not change.
        let (function, filename, format, lineno, id) = unsafe {
            let this = self.0.get();
            (
                bytes((*this).function),
                bytes((*this).filename),
                bytes((*this).format),
                bindings::_ddebug::lineno_raw(this),
                bindings::_ddebug::class_id_raw(this) as u8,
            )
        };
        Site {
            module: module.to_bytes(),
            function,
            filename,
            // The kernel is built with relative names.
            relative: filename,
            format,
            lineno,
            // Only the list of registered sites uses the name, and registered sites have no class.
            class: Class { id, name: None },
        }
    }

    /// Returns the flags.
    pub(super) fn flags(&self) -> Flags {
        // SAFETY: The descriptor is initialised; without the mutex of the flags they may be old.
        Flags::from_bits(unsafe { bindings::_ddebug::flags_raw(self.0.get()) as u8 })
    }

    /// Changes the flags, and queues a request for the key if the site is turned on or off.
    ///
    /// Locking: the caller holds the mutex of the flags until it has applied the requests.
    pub(super) fn change(&'static self, change: Change) {
        let old = self.flags();
        let new = change.apply(old);
        if new == old {
            return;
        }
        // The flags change even where the key refuses, as they do in the kernel.
        let _ = match (old.contains(Flags::PRINT), new.contains(Flags::PRINT)) {
            (false, true) => static_key::enable_queued(self.key()),
            (true, false) => static_key::disable_queued(self.key()),
            _ => Ok(()),
        };
        // SAFETY: The descriptor is initialised, and the mutex of the flags is held (caller).
        unsafe { bindings::_ddebug::set_flags_raw(self.0.get(), new.bits().into()) };
    }

    fn key(&'static self) -> &'static StaticKey {
        // SAFETY: The key is in the descriptor, which lives as long as its module.
        unsafe { StaticKey::from_raw((&raw mut (*self.0.get()).key).cast()) }
    }

    /// Prints `message`, with the prefixes that the flags select.
    #[cold]
    #[inline(never)]
    pub fn print(&self, message: fmt::Arguments<'_>) {
        // SAFETY: The descriptor is initialised, and `%pA` is for the address of `Arguments`.
        unsafe {
            bindings::__dynamic_pr_debug(
                self.0.get(),
                c"%s: %pA".as_char_ptr(),
                (*self.0.get()).modname,
                core::ptr::from_ref(&message).cast::<c_void>(),
            );
            if self.flags().contains(Flags::STACK) {
                bindings::dump_stack();
            }
        }
    }
}

/// Returns whether `file` is under the same root as this file.
const fn in_tree(file: &str) -> bool {
    let (mut file, mut this) = (file.as_bytes(), file!().as_bytes());
    while this.len() > file!().len() - ROOT {
        let (Some((a, files)), Some((b, these))) = (file.split_first(), this.split_first()) else {
            return false;
        };
        if *a != *b {
            return false;
        }
        (file, this) = (files, these);
    }
    true
}

/// Returns a pointer to `text`, which must be a C string.
const fn text(text: &'static [u8]) -> *const c_char {
    match core::ffi::CStr::from_bytes_with_nul(text) {
        Ok(text) => text.to_bytes_with_nul().as_ptr(),
        Err(_) => panic!("a text has a NUL in it"),
    }
}

/// Returns the string at `ptr`, without its NUL.
///
/// # Safety
///
/// `ptr` points to a C string that is valid for `'a`.
unsafe fn bytes<'a>(ptr: *const c_char) -> &'a [u8] {
    // SAFETY: `ptr` points to a C string that is valid for `'a` (caller).
    unsafe { CStr::from_char_ptr(ptr) }.to_bytes()
}

/// Prints to the kernel log if the site is turned on through `control`; a NOP otherwise.
///
/// Takes the name of the enclosing function, which Rust does not provide, and the arguments of
/// `pr_debug!`. Another module must call [`register_sites!`](crate::register_sites).
// `crate::LocalModule` is meant to be that of the module with the site.
#[allow(clippy::crate_in_macro_def)]
#[macro_export]
macro_rules! dyn_debug {
    ($function:ident, $format:tt $($rest:tt)*) => {{
        #[link_section = "__miniring_sites"]
        static SITE: $crate::dyndbg::Descriptor = $crate::dyndbg::Descriptor::new::<
            crate::LocalModule,
        >(
            ::core::concat!(::core::stringify!($function), "\0"),
            ::core::concat!(::core::file!(), "\0"),
            ::core::concat!($format, "\0"),
            ::core::line!(),
        );
        // SAFETY: `SITE` is a `_ddebug`, whose field `key` is its static key.
        if unsafe {
            ::kernel::jump_label::arch_static_branch! {
                SITE, ::kernel::bindings::_ddebug, key, false
            }
        } {
            SITE.print(::kernel::prelude::fmt!($format $($rest)*));
        }
    }};
}

/// Registers the sites of a module until it is unloaded, and returns a `Result`. Then carries out
/// the queries of the module's parameter `dyndbg`.
///
/// The module must be linked from `sites_begin.c` as its first object and `sites_end.c` as its
/// last.
///
/// Context: the init function of the module; may sleep.
///
/// # Errors
///
/// `EEXIST` if the sites are registered already, `ENOMEM`.
#[macro_export]
macro_rules! register_sites {
    () => {{
        extern "C" {
            static miniring_sites_begin: $crate::dyndbg::Descriptor;
            static miniring_sites_end: $crate::dyndbg::Descriptor;
            static miniring_sites_dyndbg: *const ::kernel::ffi::c_char;
        }
        let begin = &raw const miniring_sites_begin;
        let end = &raw const miniring_sites_end;
        // SAFETY: `begin` and `end` are the ends of the module's section of sites. The kernel has
        // parsed the parameters, and keeps their values until the module is freed.
        unsafe { $crate::dyndbg::register(begin, end, (&raw const miniring_sites_dyndbg).read()) }
    }};
}

/// Adds the sites of a module.
///
/// # Errors
///
/// `EEXIST` if the sites are registered already, `ENOMEM`.
///
/// # Safety
///
/// The module exists.
pub(super) unsafe fn add(sites: &'static [Descriptor]) -> Result {
    let mut tables = OWN.lock();
    if tables.0.iter().any(|table| core::ptr::eq(*table, sites)) {
        return Err(EEXIST);
    }
    // INVARIANT: The module exists (caller).
    tables.0.push(sites, GFP_KERNEL)?;
    Ok(())
}

/// Unregisters the sites of a module that is being unloaded.
struct Forget;

static FORGET: Block<Forget> = Block::new();

impl OnModule for Forget {
    const PRIORITY: c_int = 0;

    fn event(module: &Announced, event: Event) {
        if event != Event::Going {
            return;
        }
        let mut tables = OWN.lock();
        tables.0.retain(|table| !module.has(table.as_ptr().addr()));
    }
}

/// The registration of sites, from the load of this module until its unload.
pub(super) struct OwnSites {
    _notifier: Registration,
}

impl OwnSites {
    /// Registers the sites of this module, and the module notifier. Called once; may sleep.
    ///
    /// # Errors
    ///
    /// `EEXIST` if either is registered already, `ENOMEM`.
    pub(super) fn new() -> Result<Self> {
        // SAFETY: This function is called once, before any file that uses the lock exists.
        unsafe { OWN.init() };
        let sites = Self {
            _notifier: Registration::new(&FORGET)?,
        };
        register_sites!()?;
        Ok(sites)
    }
}

impl Drop for OwnSites {
    fn drop(&mut self) {
        // Only sites of this module are left: other modules with sites hold a reference to this
        // module. The sites stay on, because their code is freed with the module.
        OWN.lock().0 = KVec::new();
    }
}
