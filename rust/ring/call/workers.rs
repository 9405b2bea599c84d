// SPDX-License-Identifier: GPL-2.0

//! State for all rings, while the module is loaded.

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

/// The count of rings, the exec probe and the third queue. Dropping the value waits until all rings
/// are freed, and then for the queue's work items and for task work.
///
/// The module keeps the value in its state, and drops the value after the device is gone.
pub(crate) struct Workers {
    _probe: ExecProbe,
    _end: EndQueue,
}

impl Workers {
    /// Makes the lists, the probe and the queue. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    ///
    /// # Safety
    ///
    /// Called once, before the device exists.
    pub(crate) unsafe fn new() -> Result<Self> {
        if !thread::available() {
            pr_info!("no IORING_SETUP_SQPOLL: the kernel has no CONFIG_VHOST_TASK\n");
        }
        // SAFETY: This function is called once, before the device exists (caller). The probe is
        // made before the queue.
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
        // A request may outlive its ring's file, and may use any queue.
        rings::wait_until_none();
        task_work::wait_for_callbacks();
    }
}
