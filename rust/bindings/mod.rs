// SPDX-License-Identifier: GPL-2.0

//! Bindings that the kernel crate lacks.
//!
//! Generated from `bindings.h`. Types that `parameters` does not name are those of the kernel crate.

#![allow(
    clippy::all,
    clippy::undocumented_unsafe_blocks,
    dead_code,
    missing_docs,
    non_camel_case_types,
    non_snake_case,
    non_upper_case_globals,
    unreachable_pub,
    unsafe_op_in_unsafe_fn,
    improper_ctypes,
    unused_imports
)]

pub use kernel::bindings::*;

include!(env!("MINIRING_BINDINGS"));

extern "C" {
    static __this_module: module;
}

/// Returns this module, as `THIS_MODULE` in C.
pub const fn this_module() -> *mut module {
    (&raw const __this_module).cast_mut()
}
