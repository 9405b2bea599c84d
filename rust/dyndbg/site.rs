// SPDX-License-Identifier: GPL-2.0

//! A site: one place in the code that prints when it is asked to.
//!
//! A site is described by the kernel's `struct _ddebug` whether it is the kernel's or ours. Ours
//! and those of other modules that use [`dyn_debug!`](crate::dyn_debug) are in a section of their
//! own, so that dynamic debug does not see them, between two objects that `sites_begin.c` and
//! `sites_end.c` put at its ends. A module makes its sites known by [`register_sites!`]
//! (crate::register_sites), and they are forgotten when it goes. They print through the function
//! that `pr_debug()` prints through, which knows what the flags mean.

use super::control;
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
    // SAFETY: Initialised by `OwnSites::new()` before any file is there.
    //
    /// Protects the flags of these sites against other writers, and keeps their modules.
    pub(super) unsafe(uninit) static OWN: Mutex<Tables> = Tables(KVec::new());
}

/// The sites of this module, and of those that registered theirs.
///
/// # Invariants
///
/// The module that a table is in is not yet gone: its going is notified to [`Forget`].
pub(super) struct Tables(KVec<&'static [Descriptor]>);

impl Tables {
    /// All sites, table by table in the order in which these were registered, each in the order in
    /// which the linker has them.
    pub(super) fn sites(&self) -> impl Iterator<Item = &'static Descriptor> + '_ {
        self.0.iter().flat_map(|table| table.iter())
    }
}

/// How much of `file!()` comes before the root of the source.
const ROOT: usize = file!().len() - "rust/dyndbg/site.rs".len();

/// The description of a site.
///
/// # Invariants
///
/// Its strings end in a NUL and live as long as it does.
#[repr(transparent)]
pub struct Descriptor(Opaque<bindings::_ddebug>);

// SAFETY: The flags are written under a mutex, and read by a site that may as well see the ones
// before; the key is accessed atomically; the rest does not change.
unsafe impl Sync for Descriptor {}

impl Descriptor {
    /// Describes a site of module `M`, off. Each text ends in a NUL; for
    /// [`dyn_debug!`](crate::dyn_debug).
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
        // INVARIANT: `text()` has checked them.
        Self(Opaque::new(descriptor))
    }

    /// What queries can ask about it if it is one of ours.
    pub(super) fn own_view(&self) -> Site<'_> {
        self.view(self.module())
    }

    /// The name of the module that the compiler gave it.
    fn module(&self) -> &CStr {
        // SAFETY: The descriptor is initialised, and this does not change.
        unsafe { CStr::from_char_ptr((*self.0.get()).modname) }
    }

    /// What queries can ask about it, being of that module.
    pub(super) fn view<'a>(&'a self, module: &'a CStr) -> Site<'a> {
        // SAFETY: The descriptor is initialised, and these do not change.
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
            // The kernel's names are relative to begin with: it is built that way.
            relative: filename,
            format,
            lineno,
            // Only lists of these sites need the name, and ours have no class.
            class: Class { id, name: None },
        }
    }

    /// Its flags.
    pub(super) fn flags(&self) -> Flags {
        // SAFETY: The descriptor is initialised; other writers are kept out.
        Flags::from_bits(unsafe { bindings::_ddebug::flags_raw(self.0.get()) as u8 })
    }

    /// Changes the flags and requests what follows for the key. The lock that protects the flags is
    /// held, and is until the apply.
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
        // SAFETY: The descriptor is initialised, and other writers are kept out.
        unsafe { bindings::_ddebug::set_flags_raw(self.0.get(), new.bits().into()) };
    }

    fn key(&'static self) -> &'static StaticKey {
        // SAFETY: The key is in the descriptor, which lives as long as the module it is in.
        unsafe { StaticKey::from_raw((&raw mut (*self.0.get()).key).cast()) }
    }

    /// Prints `message` the way that the flags say.
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

/// Whether `file` starts as this file does.
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

/// A pointer to `text`, which must be a C string.
const fn text(text: &'static [u8]) -> *const c_char {
    match core::ffi::CStr::from_bytes_with_nul(text) {
        Ok(text) => text.to_bytes_with_nul().as_ptr(),
        Err(_) => panic!("a text has a NUL in it"),
    }
}

/// The text at `ptr`, without its NUL.
///
/// # Safety
///
/// There is one, for as long as `'a`.
unsafe fn bytes<'a>(ptr: *const c_char) -> &'a [u8] {
    // SAFETY: By the requirement.
    unsafe { CStr::from_char_ptr(ptr) }.to_bytes()
}

/// Prints to the kernel log where the site was turned on through `control`; a NOP otherwise.
///
/// Takes the name of the function that it is in, which Rust does not tell, and what `pr_debug!`
/// takes. Of a module that is not this one, see [`register_sites!`](crate::register_sites).
// `LocalModule` is that of the module that the site is in.
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
        // SAFETY: The site is a descriptor, whose key is at that place.
        if unsafe {
            ::kernel::jump_label::arch_static_branch! {
                SITE, ::kernel::bindings::_ddebug, key, false
            }
        } {
            SITE.print(::kernel::prelude::fmt!($format $($rest)*));
        }
    }};
}

/// Makes the sites of a module known to `control`, until it is unloaded: a `Result`. Then carries
/// out the queries of the module's parameter `dyndbg`.
///
/// For a module whose first object is compiled from `sites_begin.c` and whose last one from
/// `sites_end.c`; to be used while it is initialised. Sleeps.
///
/// # Errors
///
/// `EEXIST` if they are known already, `ENOMEM`.
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
        // SAFETY: The two are the ends of the module's section of sites. The kernel has parsed the
        // parameters and keeps the values until the module goes.
        unsafe { $crate::dyndbg::register(begin, end, (&raw const miniring_sites_dyndbg).read()) }
    }};
}

/// For [`register_sites!`](crate::register_sites).
///
/// # Safety
///
/// Between `begin` and `end` are descriptors, in a module that is not yet gone. `dyndbg` is null or a
/// string.
#[inline(never)]
pub unsafe fn register(
    begin: *const Descriptor,
    end: *const Descriptor,
    dyndbg: *const c_char,
) -> Result {
    let bytes = end.addr().wrapping_sub(begin.addr());
    // SAFETY: By the requirement.
    let sites = unsafe {
        core::slice::from_raw_parts(begin, bytes / core::mem::size_of::<Descriptor>())
        //
    };
    let Some(site) = sites.first() else {
        return Ok(());
    };
    {
        let mut tables = OWN.lock();
        if tables.0.iter().any(|table| core::ptr::eq(*table, sites)) {
            return Err(EEXIST);
        }
        // INVARIANT: By the requirement.
        tables.0.push(sites, GFP_KERNEL)?;
    }
    if !dyndbg.is_null() {
        // SAFETY: By the requirement.
        control::at_load(site.module(), unsafe { CStr::from_char_ptr(dyndbg) });
    }
    Ok(())
}

/// Forgets the sites of a module that goes.
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

/// The sites that are known, from the load of this module until its unload.
pub(super) struct OwnSites {
    _notifier: Registration,
}

impl OwnSites {
    pub(super) fn new() -> Result<Self> {
        // SAFETY: Once, before any file is there.
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
        // Ours alone are left: other modules that have sites hold a reference to this one. Their
        // code goes with the module, so they stay as they are.
        OWN.lock().0 = KVec::new();
    }
}
