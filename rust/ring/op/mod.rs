// SPDX-License-Identifier: GPL-2.0

//! Operations: each has a file, and a row in [`table`].
//!
//! An operation is prepared under the ring's `Access`, and takes references to the submitter's
//! files and to issuer state. The submitter or a worker then issues the operation without the
//! `Access`.

mod cancel;
mod common;
mod message;
mod nop;
mod poll;
mod prepared;
mod rw;
mod table;
mod timeout;
mod transfer;

pub(crate) use self::{
    common::Context,
    nop::plain_nop,
    prepared::Op,
    table::{
        supported,
        Row, //
    }, //
};
