// SPDX-License-Identifier: GPL-2.0

//! Addresses of symbols that the kernel does not export.
//!
//! For test machines only. The sole guarantee that a function found this way does what it did is
//! that the module was built for the very kernel that runs.

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

/// The function that looks up names.
const LOOKUP: &CStr = c"kallsyms_lookup_name";

/// Why an address is not known.
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
    // SAFETY: Not written after parameters were parsed, and a string then.
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
    /// Finds the function that looks up names, by asking for a kprobe on it.
    pub(crate) fn find() -> Result<Self, Missing> {
        // For a test, register_kprobe() is asked for a function that no kernel has.
        let probe = if is_hidden(LOOKUP) {
            c"miniring_hidden_symbol"
        } else {
            LOOKUP
        };
        // SAFETY: It is a string, and the probe is gone on return.
        let probed = from_err_ptr(unsafe {
            helpers::miniring_probe_address(probe.as_char_ptr()) //
        })
        .map_err(Missing::Probe)?;
        // SAFETY: That is the function, or the instruction behind its ENDBR.
        unsafe { helpers::miniring_set_kallsyms_lookup_name(probed) };
        // INVARIANT: Set just now.
        let symbols = Self(());
        let start = symbols.address(LOOKUP)?;
        // SAFETY: That is where the function starts.
        unsafe { helpers::miniring_set_kallsyms_lookup_name(start.as_ptr()) };
        Ok(symbols)
    }

    /// Looks up the address of `name`.
    pub(crate) fn address(&self, name: &'static CStr) -> Result<NonNull<c_void>, Missing> {
        if is_hidden(name) {
            return Err(Missing::Symbol(name));
        }
        // SAFETY: The static call is set by the invariant.
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
    // SAFETY: `value` has that size, and any source is fine.
    to_result(unsafe {
        bindings::copy_from_kernel_nofault(
            value.as_mut_ptr().cast(),
            from.cast(),
            core::mem::size_of::<T>(),
        ) as c_int
    })?;
    // SAFETY: Every byte was written, and any bytes are a `T`.
    Ok(unsafe { value.assume_init() })
}

/// Types of which any bytes are a value.
///
/// # Safety
///
/// Every pattern of bytes is a valid value of the type.
pub(crate) unsafe trait FromBytes: Copy {}

// SAFETY: Plain numbers.
unsafe impl FromBytes for u8 {}
// SAFETY: Pointers can have any value.
unsafe impl FromBytes for bindings::list_head {}
