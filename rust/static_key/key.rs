// SPDX-License-Identifier: GPL-2.0

//! Static keys: [`StaticKey`] for the statics of this module, [`Key`] for a key of any module.
//!
//! C header: `include/linux/jump_label.h`.

use crate::bindings as helpers;
use core::ptr::NonNull;
use kernel::{
    bindings,
    prelude::*,
    sync::atomic::{
        Acquire,
        Atomic,
        Full,
        Release, //
    },
    types::Opaque, //
};

/// A static key that is off until it is enabled, for a `static`.
///
/// Branch on it with [`static_branch!`](crate::static_branch).
#[repr(transparent)]
pub struct StaticKey {
    #[doc(hidden)]
    pub inner: Opaque<bindings::static_key>,
}

// SAFETY: The key is accessed by the kernel's functions, which lock, or by atomic accesses.
unsafe impl Sync for StaticKey {}

impl StaticKey {
    /// Makes a key that is off.
    #[expect(clippy::new_without_default)]
    #[inline]
    pub const fn new() -> Self {
        Self {
            inner: Opaque::new(pin_init::zeroed()),
        }
    }

    /// Borrows the key at `ptr`.
    ///
    /// # Safety
    ///
    /// `ptr` points to a static key that lives as long as its module.
    pub(crate) unsafe fn from_raw(ptr: *mut bindings::static_key) -> &'static Self {
        // SAFETY: `ptr` is valid as long as its module (caller), and `Self` has the layout of
        // `static_key`.
        unsafe { &*ptr.cast() }
    }

    pub(super) fn key(&'static self) -> Key {
        // SAFETY: `self` is a static key that lives as long as its module.
        unsafe { Key::from_raw(self.inner.get()) }
    }
}

/// Branches on a [`StaticKey`], given by its path: true while the key is on.
///
/// The branch is a NOP while the key is off.
#[macro_export]
macro_rules! static_branch {
    ($key:path) => {{
        let _: &$crate::static_key::StaticKey = &$key;
        // SAFETY: `$key` is a static of type `StaticKey`, whose field `inner` is a static key.
        unsafe {
            ::kernel::jump_label::arch_static_branch! {
                $key, $crate::static_key::StaticKey, inner, false
            }
        }
    }};
}

/// The bit of `static_key::type` for [`Users::Linked`], and the mask of all its low bits.
const LINKED: usize = 2;
const TYPE_MASK: usize = 3;

/// The location of a key's jump entries, from `static_key::type`.
pub(super) enum Users {
    /// One row; null without entries.
    Entries(*mut bindings::jump_entry),
    /// A list of modules: several modules, or a module other than that of the key.
    Linked(*const c_void),
    /// Discarded: the key is read-only since the end of boot.
    Sealed,
}

/// A static key of the kernel or of any module.
///
/// # Invariants
///
/// Points to a static key that is valid until its module, if it has one, is freed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(NonNull<bindings::static_key>);

impl Key {
    /// Makes a `Key` of a pointer.
    ///
    /// # Safety
    ///
    /// `ptr` is not null, and points to a static key that is valid until its module, if it has one,
    /// is freed.
    pub(super) unsafe fn from_raw(ptr: *mut bindings::static_key) -> Self {
        // SAFETY: `ptr` is not null (caller).
        // INVARIANT: `ptr` satisfies the invariant (caller).
        Self(unsafe { NonNull::new_unchecked(ptr) })
    }

    pub(super) fn as_ptr(self) -> *mut bindings::static_key {
        self.0.as_ptr()
    }

    /// Returns the address, which identifies the key.
    pub(super) fn address(self) -> usize {
        self.0.as_ptr().expose_provenance()
    }

    /// Makes a `Key` of an address that [`Key::address`] returned.
    ///
    /// # Safety
    ///
    /// [`Key::address`] returned `address` for a key whose module, if any, exists.
    pub(super) unsafe fn from_address(address: usize) -> Self {
        // SAFETY: `address` is that of a key whose module exists (caller).
        unsafe { Self::from_raw(core::ptr::with_exposed_provenance_mut(address)) }
    }

    fn enabled(&self) -> &Atomic<i32> {
        // SAFETY: The key is valid (type invariant), and all accesses to its counter are atomic.
        unsafe { Atomic::from_ptr(&raw mut (*self.0.as_ptr()).enabled.counter) }
    }

    /// Returns the number of references: 1 for a boolean key that is on, -1 while a key is being
    /// enabled.
    pub(super) fn count(self) -> i32 {
        self.enabled().load(Acquire)
    }

    /// Returns the location of its jump entries.
    ///
    /// Locking: without the jump label mutex the result may change, except for [`Users::Sealed`].
    pub(super) fn users(self) -> Users {
        // SAFETY: The key is valid (type invariant). The read is volatile, because the field may
        // change.
        let users =
            unsafe { (&raw const (*self.0.as_ptr()).__bindgen_anon_1.next).read_volatile() };
        let bits = users.addr() & TYPE_MASK;
        let users = users.map_addr(|users| users & !TYPE_MASK);
        match (bits & LINKED != 0, users.is_null()) {
            (false, _) => Users::Entries(users.cast()),
            (true, false) => Users::Linked(users.cast()),
            (true, true) => Users::Sealed,
        }
    }

    /// Checks that the key is a boolean key that can change.
    ///
    /// # Errors
    ///
    /// `EBUSY` if it has several references, `EROFS` if it is read-only.
    pub(super) fn check(self) -> Result {
        if self.count() > 1 {
            Err(EBUSY)
        } else if matches!(self.users(), Users::Sealed) || !self.is_writable() {
            Err(EROFS)
        } else {
            Ok(())
        }
    }

    /// Returns whether the memory of the key is now writable.
    fn is_writable(self) -> bool {
        // SAFETY: Only reads the page tables.
        unsafe { helpers::miniring_is_writable(self.address()) }
    }

    /// Returns the outcome of a request to change the key to `enable` now.
    pub(super) fn verdict(self, enable: bool) -> Verdict {
        match (self.count(), enable) {
            (2.., _) => Verdict::Refused,
            (0, false) | (1, true) => Verdict::AlreadySo,
            (i32::MIN..=-1, _) => Verdict::UnderWay,
            (0 | 1, _) => Verdict::Changes,
        }
    }

    /// Marks the key before it is patched, as the kernel does. The count is -1 until the key is
    /// enabled, and 0 at once if the key is disabled.
    ///
    /// Returns false if another task took a reference meanwhile. Locking: the caller holds the jump
    /// label mutex.
    pub(super) fn mark(self, enable: bool) -> bool {
        let (from, to) = if enable { (0, -1) } else { (1, 0) };
        self.enabled().cmpxchg(from, to, Full).is_ok()
    }

    /// Stores 1 for a key that was marked with -1. A reader that sees 1 runs the patched code.
    pub(super) fn publish(self) {
        self.enabled().store(1, Release);
    }
}

/// The outcome of a request, if the key does not change before the apply.
pub(super) enum Verdict {
    /// The key must change.
    Changes,
    /// The key is in the requested state.
    AlreadySo,
    /// The key is reference counted.
    Refused,
    /// Another task is enabling the key, with the jump label mutex held.
    UnderWay,
}
