// SPDX-License-Identifier: GPL-2.0

//! A static key, as the Rust code of this module defines it and as anyone hands it in.
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

// SAFETY: All access to the key is by the kernel's functions, atomic, or patches code.
unsafe impl Sync for StaticKey {}

impl StaticKey {
    /// A key that is off.
    #[expect(clippy::new_without_default)]
    #[inline]
    pub const fn new() -> Self {
        Self {
            inner: Opaque::new(pin_init::zeroed()),
        }
    }

    /// Takes the key at `ptr` for one of ours.
    ///
    /// # Safety
    ///
    /// `ptr` points to a static key that lives as long as the module it is in.
    pub(crate) unsafe fn from_raw(ptr: *mut bindings::static_key) -> &'static Self {
        // SAFETY: By the requirement, and since the layout is that of `static_key`.
        unsafe { &*ptr.cast() }
    }

    pub(super) fn key(&'static self) -> Key {
        // SAFETY: `self` is static.
        unsafe { Key::from_raw(self.inner.get()) }
    }
}

/// Whether a [`StaticKey`] is on, as a branch that costs a NOP while it is off.
///
/// Takes the path of the static.
#[macro_export]
macro_rules! static_branch {
    ($key:path) => {{
        let _: &$crate::static_key::StaticKey = &$key;
        // SAFETY: It is a static of that type, which is a key.
        unsafe {
            ::kernel::jump_label::arch_static_branch! {
                $key, $crate::static_key::StaticKey, inner, false
            }
        }
    }};
}

/// How the low bits of `static_key::type` are used.
const LINKED: usize = 2;
const TYPE_MASK: usize = 3;

/// What `static_key::type` says about where the key's jump entries are.
pub(super) enum Users {
    /// In one place; null if there are none.
    Entries(*mut bindings::jump_entry),
    /// In several modules, or in one that the key is not in: a list of them.
    Linked(*const c_void),
    /// Nobody remembers: the key is read-only since the end of boot.
    Sealed,
}

/// Any static key.
///
/// # Invariants
///
/// Points to a static key that exists until the module that it is in, if any, is gone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key(NonNull<bindings::static_key>);

impl Key {
    /// # Safety
    ///
    /// `ptr` is not null and satisfies the type's invariant.
    pub(super) unsafe fn from_raw(ptr: *mut bindings::static_key) -> Self {
        // SAFETY: Not null by the requirement.
        // INVARIANT: By the requirement.
        Self(unsafe { NonNull::new_unchecked(ptr) })
    }

    pub(super) fn as_ptr(self) -> *mut bindings::static_key {
        self.0.as_ptr()
    }

    /// What tells it from other keys.
    pub(super) fn address(self) -> usize {
        self.0.as_ptr().expose_provenance()
    }

    /// The reverse of [`Key::address`].
    ///
    /// # Safety
    ///
    /// `address` is what that function gave for a key whose module, if any, is still there.
    pub(super) unsafe fn from_address(address: usize) -> Self {
        // SAFETY: By the requirement.
        unsafe { Self::from_raw(core::ptr::with_exposed_provenance_mut(address)) }
    }

    fn enabled(&self) -> &Atomic<i32> {
        // SAFETY: By the invariant there is a key, and its counter is only accessed atomically.
        unsafe { Atomic::from_ptr(&raw mut (*self.0.as_ptr()).enabled.counter) }
    }

    /// The number of references; 1 for a boolean that is on, -1 while it is being enabled.
    pub(super) fn count(self) -> i32 {
        self.enabled().load(Acquire)
    }

    /// Where its jump entries are. Not stable without the jump label mutex, except for
    /// [`Users::Sealed`].
    pub(super) fn users(self) -> Users {
        // SAFETY: By the invariant; volatile, since it may change.
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

    /// Whether it is a boolean that can change.
    pub(super) fn check(self) -> Result {
        if self.count() > 1 {
            Err(EBUSY)
        } else if matches!(self.users(), Users::Sealed) || !self.is_writable() {
            Err(EROFS)
        } else {
            Ok(())
        }
    }

    /// Whether it can be written to at this moment.
    fn is_writable(self) -> bool {
        // SAFETY: Looks at the page tables.
        unsafe { helpers::miniring_is_writable(self.address()) }
    }

    /// What a request to make it `enable` would come to at this moment.
    pub(super) fn verdict(self, enable: bool) -> Verdict {
        match (self.count(), enable) {
            (2.., _) => Verdict::Refused,
            (0, false) | (1, true) => Verdict::AlreadySo,
            (i32::MIN..=-1, _) => Verdict::UnderWay,
            (0 | 1, _) => Verdict::Changes,
        }
    }

    /// Marks it as about to change, the way that the kernel does: -1 on the way to 1, but 0 at once.
    ///
    /// False if there is another reference by now. The jump label mutex must be held.
    pub(super) fn mark(self, enable: bool) -> bool {
        let (from, to) = if enable { (0, -1) } else { (1, 0) };
        self.enabled().cmpxchg(from, to, Full).is_ok()
    }

    /// Makes a key that was marked on its way to 1 available to those who count references. They
    /// see all patched code.
    pub(super) fn publish(self) {
        self.enabled().store(1, Release);
    }
}

/// What there is to do for a request.
pub(super) enum Verdict {
    /// The key has to change.
    Changes,
    /// It is as requested.
    AlreadySo,
    /// It is not a boolean.
    Refused,
    /// Somebody else is enabling it, who holds the jump label mutex.
    UnderWay,
}
