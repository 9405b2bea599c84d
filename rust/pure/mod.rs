// SPDX-License-Identifier: GPL-2.0

//! Logic that does not need the kernel.
//!
//! This code neither allocates nor panics. It takes slices and iterators and returns slices and
//! iterators, so it does not depend on the source of its input.
//!
//! The kernel module includes this folder with `pub mod pure;`, Cargo through `lib.rs`. `pure` is
//! public, so that functions for tests alone are not dead code in the kernel module.

pub mod batch;
pub mod dyndbg;
pub mod geometry;
pub mod ownership;

// `ownership` uses this name, so that a test can replace the atomics by loom's atomics.
use core::sync::atomic;
