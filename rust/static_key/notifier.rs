// SPDX-License-Identifier: GPL-2.0

//! Forgetting the requests for keys of a module that goes away.
//!
//! A module announces that it is going after its last own code has run and before its memory is
//! freed, and also when its initialisation failed. Waiting for the apply that is under way means
//! that no key of the module is in use when the announcement returns.

use super::{
    apply::APPLY,
    queue::QUEUE,
    stats::STATS, //
};
use kernel::{
    bindings,
    error::to_result,
    prelude::*,
    types::Opaque, //
};

struct Block(Opaque<bindings::notifier_block>);

// SAFETY: Only the kernel accesses it, under the lock of the list it is in.
unsafe impl Sync for Block {}

static BLOCK: Block = Block(Opaque::new(bindings::notifier_block {
    notifier_call: Some(on_module),
    next: core::ptr::null_mut(),
    priority: 0,
}));

/// # Safety
///
/// `data` is the module that `state` is about.
unsafe extern "C" fn on_module(
    _: *mut bindings::notifier_block,
    state: c_ulong,
    data: *mut c_void,
) -> c_int {
    if state == bindings::module_state_MODULE_STATE_GOING as c_ulong {
        let _apply = APPLY.lock();
        // SAFETY: By the requirement.
        let dropped = unsafe { QUEUE.lock().drop_within(data.cast()) };
        STATS.dropped.add(dropped);
    }
    bindings::NOTIFY_OK as c_int
}

/// The proof that modules are being watched, until it is dropped.
pub(super) struct Registration(());

impl Registration {
    pub(super) fn new() -> Result<Self> {
        // SAFETY: It is static, and in no list: there is one `Registration` at a time, made by the
        // one `StaticKeys`.
        to_result(unsafe { bindings::register_module_notifier(BLOCK.0.get()) })?;
        Ok(Self(()))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // SAFETY: It is registered, as `self` exists.
        unsafe { bindings::unregister_module_notifier(BLOCK.0.get()) };
    }
}
