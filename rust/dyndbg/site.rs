// SPDX-License-Identifier: GPL-2.0

//! A site: one place in the code that prints when it is asked to.
//!
//! A site is described by the kernel's `struct _ddebug` whether it is the kernel's or ours. Ours
//! are in a section of their own, so that dynamic debug does not see them, between two objects
//! that `rust/helpers/sites_begin.c` and `sites_end.c` put at its ends. They print through the
//! function that `pr_debug()` prints through, which knows what the flags mean.

use crate::{
    bindings as helpers,
    pure::dyndbg::{
        Change,
        Class,
        Flags,
        Site, //
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
    types::Opaque, //
};

kernel::sync::global_lock! {
    // SAFETY: Initialised by `OwnSites::new()` before any file is there.
    //
    /// Protects the flags of our own sites against other writers.
    pub(super) unsafe(uninit) static OWN: Mutex<()> = ();
}

/// The name that our own sites have for their module.
pub(super) const MODULE: &CStr = c"miniring";

/// How much of `file!()` comes before the root of the source.
const ROOT: usize = file!().len() - "rust/dyndbg/site.rs".len();

/// The description of a site.
///
/// # Invariants
///
/// Its strings end in a NUL and live as long as it does.
#[repr(transparent)]
pub(crate) struct Descriptor(Opaque<bindings::_ddebug>);

// SAFETY: The flags are written under a mutex, and read by a site that may as well see the ones
// before; the key is accessed atomically; the rest does not change.
unsafe impl Sync for Descriptor {}

impl Descriptor {
    /// Describes a site of ours, off. Each text ends in a NUL; for [`dyn_debug!`].
    pub(crate) const fn new(
        function: &'static str,
        file: &'static str,
        format: &'static str,
        line: u32,
    ) -> Self {
        /// `_DPRINTK_CLASS_DFLT`: no class.
        const NO_CLASS: u32 = 63;

        let (_, file) = file.as_bytes().split_at(ROOT);
        // 18 bits of line, 6 of class, 8 of flags, from the lowest.
        let bits = (line & ((1 << 18) - 1)) | NO_CLASS << 18;
        let mut descriptor: bindings::_ddebug = pin_init::zeroed();
        descriptor.modname = text(MODULE.to_bytes_with_nul());
        descriptor.function = text(function.as_bytes());
        descriptor.filename = text(file);
        descriptor.format = text(format.as_bytes());
        descriptor._bitfield_1 = bindings::__BindgenBitfieldUnit::new(bits.to_ne_bytes());
        // INVARIANT: `text()` has checked them.
        Self(Opaque::new(descriptor))
    }

    /// What queries can ask about it.
    pub(super) fn view<'a>(&'a self, module: &'a CStr, class: Class<'a>) -> Site<'a> {
        // SAFETY: The descriptor is initialised, and these do not change.
        let (function, filename, format, lineno) = unsafe {
            let this = self.0.get();
            (
                bytes((*this).function),
                bytes((*this).filename),
                bytes((*this).format),
                bindings::_ddebug::lineno_raw(this),
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
            class,
        }
    }

    /// The number of its class.
    pub(super) fn class_id(&self) -> u8 {
        // SAFETY: The descriptor is initialised, and this does not change.
        unsafe { bindings::_ddebug::class_id_raw(self.0.get()) as u8 }
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
    pub(crate) fn print(&self, message: fmt::Arguments<'_>) {
        // SAFETY: The descriptor is initialised, and `%pA` is for the address of `Arguments`.
        unsafe {
            bindings::__dynamic_pr_debug(
                self.0.get(),
                c"miniring: %pA".as_char_ptr(),
                core::ptr::from_ref(&message).cast::<c_void>(),
            );
            if self.flags().contains(Flags::STACK) {
                bindings::dump_stack();
            }
        }
    }
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
/// takes.
macro_rules! dyn_debug {
    ($function:ident, $format:tt $($rest:tt)*) => {{
        #[link_section = "__miniring_sites"]
        static SITE: $crate::dyndbg::Descriptor = $crate::dyndbg::Descriptor::new(
            ::core::concat!(::core::stringify!($function), "\0"),
            ::core::concat!(::core::file!(), "\0"),
            ::core::concat!($format, "\0"),
            ::core::line!(),
        );
        // SAFETY: The site is a descriptor, whose key is at that place.
        if unsafe {
            $crate::static_key::static_branch!(SITE, ::kernel::bindings::_ddebug, key) //
        } {
            SITE.print(::kernel::prelude::fmt!($format $($rest)*));
        }
    }};
}
pub(crate) use dyn_debug;

/// All sites of ours, in the order in which the linker has them.
pub(super) fn own() -> &'static [Descriptor] {
    // SAFETY: The two are the ends of the section, which has only descriptors in it.
    unsafe {
        let begin = (&raw const helpers::miniring_sites_begin).cast::<Descriptor>();
        let end = (&raw const helpers::miniring_sites_end).cast::<Descriptor>();
        core::slice::from_raw_parts(begin, end.offset_from(begin) as usize)
    }
}

/// Our own sites, from the module's load until its unload, when they are turned off: the code that
/// their keys are in goes away.
pub(super) struct OwnSites(());

impl OwnSites {
    pub(super) fn new() -> Self {
        // SAFETY: Once, before any file is there.
        unsafe { OWN.init() };
        Self(())
    }
}

impl Drop for OwnSites {
    fn drop(&mut self) {
        let _own = OWN.lock();
        for site in own() {
            site.change(Change { mask: 0, flags: 0 });
        }
        static_key::apply_queued();
    }
}
