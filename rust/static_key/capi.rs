// SPDX-License-Identifier: GPL-2.0

//! The C interface of the queue, for other modules.
//!
//! `rust/helpers/static_key.c` exports functions that call the functions here.

use super::{
    apply,
    key::Key,
    request, //
};

use kernel::{
    bindings,
    error::from_result,
    prelude::*, //
};

/// Queues a request to enable `key`; see the header.
///
/// # Safety
///
/// `key` is a static key that lives until its module is freed.
#[no_mangle]
unsafe extern "C" fn miniring_static_key_enable_queued(key: *mut bindings::static_key) -> c_int {
    // SAFETY: `key` is a static key that lives until its module is freed (caller).
    let key = unsafe { Key::from_raw(key) };
    from_result(|| request(key, true).map(|()| 0))
}

/// Queues a request to disable `key`; see the header.
///
/// # Safety
///
/// As for [`miniring_static_key_enable_queued`].
#[no_mangle]
unsafe extern "C" fn miniring_static_key_disable_queued(key: *mut bindings::static_key) -> c_int {
    // SAFETY: `key` is a static key that lives until its module is freed (caller).
    let key = unsafe { Key::from_raw(key) };
    from_result(|| request(key, false).map(|()| 0))
}

/// Carries out the queued requests; see the header.
#[no_mangle]
extern "C" fn miniring_static_key_apply_queued() {
    apply::apply_queued();
}
