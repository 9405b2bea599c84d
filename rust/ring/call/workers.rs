// SPDX-License-Identifier: GPL-2.0

//! What all rings need while the module is loaded.

use super::exec::ExecProbe;
use crate::ring::{
    req::rings,
    sys::{
        queues::EndQueue,
        task_work,
        thread, //
    }, //
};
use kernel::prelude::*;

/// The count of rings, the exec probe and the queue that ends things. Dropping this waits for the
/// rings to be freed, for what is on that queue, and for task work.
///
/// A module keeps one in its state, and drops it when no ring can be made any more.
pub(crate) struct Workers {
    _probe: ExecProbe,
    _end: EndQueue,
}

impl Workers {
    /// May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    ///
    /// # Safety
    ///
    /// Called once.
    pub(crate) unsafe fn new() -> Result<Self> {
        if !thread::available() {
            pr_info!("no IORING_SETUP_SQPOLL: the kernel has no CONFIG_VHOST_TASK\n");
        }
        // SAFETY: By the safety requirements. There is no device to make a ring of yet.
        unsafe {
            let (probe, end) = (ExecProbe::new(), EndQueue::new()?);
            rings::init()?;
            Ok(Self {
                _probe: probe,
                _end: end,
            })
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // A ring's requests may outlive its file. While there is one it may use any queue.
        rings::wait_until_none();
        task_work::wait_for_callbacks();
    }
}
