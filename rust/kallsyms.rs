// SPDX-License-Identifier: GPL-2.0

//! Addresses of symbols that the kernel does not export.
//!
//! For test machines only. The kernel guarantees nothing about such a function. Calling the
//! function works only because the module was built for the running kernel.

use crate::bindings as helpers;
use core::ptr::NonNull;
use kernel::{
    bindings,
    error::{
        from_err_ptr,
        to_result, //
    },
    fmt,
    prelude::*, //
};

/// The function that finds the address of a name.
const LOOKUP: &CStr = c"kallsyms_lookup_name";

/// The reason why an address is unknown.
#[derive(Clone, Copy)]
pub(crate) enum Missing {
    /// `register_kprobe()` on [`LOOKUP`] failed.
    Probe(Error),
    /// The kernel has no symbol of that name.
    Symbol(&'static CStr),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Probe(error) => f.write_fmt(fmt!("the kprobe on {LOOKUP} failed: {error:?}")),
            Self::Symbol(name) => f.write_fmt(fmt!("the kernel has no {name}")),
        }
    }
}

/// Returns whether the parameter `without` names the symbol. For tests.
fn is_hidden(name: &CStr) -> bool {
    // SAFETY: The parameter is a string, and is not written after the parameters were parsed.
    let hidden = unsafe { CStr::from_char_ptr(helpers::miniring_without) };
    let mut hidden = hidden.to_bytes().split(|&c| c == b',');
    hidden.any(|hidden| hidden == name.to_bytes())
}

/// The kernel's table of symbols.
///
/// # Invariants
///
/// The static call of `miniring_kallsyms_lookup_name()` goes to the function.
#[derive(Clone, Copy)]
pub(crate) struct Symbols(());

impl Symbols {
    /// Finds [`LOOKUP`], by registering a kprobe on it. May sleep.
    ///
    /// # Errors
    ///
    /// [`Missing`] if the kprobe fails or the lookup does not find itself.
    pub(crate) fn find() -> Result<Self, Missing> {
        // If a test hides the function, probe a function that no kernel has.
        let probe = if is_hidden(LOOKUP) {
            c"miniring_hidden_symbol"
        } else {
            LOOKUP
        };
        // SAFETY: `probe` is a string; the kprobe is unregistered on return.
        let probed = from_err_ptr(unsafe {
            helpers::miniring_probe_address(probe.as_char_ptr()) //
        })
        .map_err(Missing::Probe)?;
        // SAFETY: `probed` is the address of the function, or of the instruction after its ENDBR.
        unsafe { helpers::miniring_set_kallsyms_lookup_name(probed) };
        // INVARIANT: The static call is set here.
        let symbols = Self(());
        let start = symbols.address(LOOKUP)?;
        // SAFETY: `start` is the address of the function.
        unsafe { helpers::miniring_set_kallsyms_lookup_name(start.as_ptr()) };
        Ok(symbols)
    }

    /// Finds the address of `name`.
    ///
    /// # Errors
    ///
    /// [`Missing::Symbol`] if the kernel has no such symbol, or a test hides it.
    pub(crate) fn address(&self, name: &'static CStr) -> Result<NonNull<c_void>, Missing> {
        if is_hidden(name) {
            return Err(Missing::Symbol(name));
        }
        // SAFETY: The static call is set (type invariant), and `name` is a string.
        let address = unsafe { helpers::miniring_kallsyms_lookup_name(name.as_char_ptr()) };
        NonNull::new(core::ptr::with_exposed_provenance_mut(address as usize))
            .ok_or(Missing::Symbol(name))
    }
}

/// Reads a `T` from an address that may not be mapped.
///
/// # Errors
///
/// `EFAULT` or `ERANGE` if the address cannot be read.
pub(crate) fn read_nofault<T: FromBytes>(from: *const T) -> Result<T> {
    let mut value = core::mem::MaybeUninit::<T>::uninit();
    // SAFETY: `value` has `size_of::<T>()` bytes; the source may be any address.
    to_result(unsafe {
        bindings::copy_from_kernel_nofault(
            value.as_mut_ptr().cast(),
            from.cast(),
            core::mem::size_of::<T>(),
        ) as c_int
    })?;
    // SAFETY: Every byte was written, and any bytes are a valid `T` (`FromBytes`).
    Ok(unsafe { value.assume_init() })
}

/// Types for which any bytes are a valid value.
///
/// # Safety
///
/// Any bytes are a valid value of the type.
pub(crate) unsafe trait FromBytes: Copy {}

// SAFETY: A number can have any value.
unsafe impl FromBytes for u8 {}
// SAFETY: Pointers can have any value.
unsafe impl FromBytes for bindings::list_head {}
