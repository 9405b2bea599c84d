// SPDX-License-Identifier: GPL-2.0

//! The query language of dynamic debug, and the lines of its control file.
//!
//! The same bytes written to the control files of the kernel and of miniring have the same effect.
//! A write selects the same sites, and the flags read back the same. The rule includes corner
//! cases, so some code looks arbitrary. Two things differ: the word `kernel` before a query
//! ([`Target`]), and errors with a reason and the bad word ([`ParseError`]).
//!
//! [`queries`] splits a write, [`Query::parse`] parses each query, [`Query::matches`] selects
//! sites, [`Change::apply`] changes their flags, and [`Site::print`] lists them. Text is bytes,
//! because it need not be UTF-8, and is parsed in place.
//!
//! C source: `lib/dynamic_debug.c`. Reference:
//! <https://docs.kernel.org/admin-guide/dynamic-debug-howto.html>

mod error;
mod flags;
mod layout;
mod query;
mod site;
mod split;
mod text;

pub use error::{
    ParseError,
    Reason,
    Spec, //
};
pub use flags::{
    Change,
    Flags, //
};
pub use layout::{
    count_built_in,
    Distrust, //
};
pub use query::{
    Lines,
    Query,
    Target, //
};
pub use site::{
    Class,
    Site,
    HEADER,
    NO_CLASS, //
};
pub use split::{
    queries,
    Queries,
    WRITE_MAX, //
};
pub use text::match_wildcard;
