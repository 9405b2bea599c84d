// SPDX-License-Identifier: GPL-2.0

//! The query language of dynamic debug, and the lines of its control file.
//!
//! To the letter: the same bytes written to the kernel's control file and to ours select the same
//! sites, leave the same flags and read back the same, odd corners included. Where the code looks
//! arbitrary, that is why. Two things are our own: the word `kernel` in front of a query
//! ([`Target`]), and errors that say what was wrong and at which word ([`ParseError`]).
//!
//! A write is taken apart with [`queries`], each piece is parsed with [`Query::parse`], sites are
//! tried with [`Query::matches`], their flags changed with [`Change::apply`], and listed with
//! [`Site::print`]. Text is bytes, since nothing makes it UTF-8, and is parsed in place.
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
