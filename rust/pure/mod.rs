// SPDX-License-Identifier: GPL-2.0

//! Logic that does not need the kernel.
//!
//! Nothing in here allocates, can fail by panicking, or knows where its input comes from: slices
//! and iterators in, slices and iterators out. The module includes it with `pub mod pure;` (public,
//! so that what only the tests use is not dead code there), Cargo through `lib.rs`.

pub mod batch;
pub mod dyndbg;
pub mod geometry;
pub mod ownership;

// What `ownership` is made of, by a name for which a test has others.
use core::sync::atomic;
