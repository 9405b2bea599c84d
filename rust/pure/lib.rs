// SPDX-License-Identifier: GPL-2.0

//! The parts of miniring that do not need the kernel, as a Cargo package.
//!
//! This file is the crate root for Cargo only; the module's root file has `pub mod pure;` instead.
//! The lints below reject code that can panic, except in tests.

#![cfg_attr(not(test), no_std)]
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::string_slice,
        clippy::unreachable,
        clippy::unwrap_used
    )
)]

#[path = "mod.rs"]
mod pure;

pub use pure::*;
