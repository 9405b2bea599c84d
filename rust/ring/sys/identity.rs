// SPDX-License-Identifier: GPL-2.0

//! Lets a worker act for a submitter.

use crate::bindings;
use kernel::{
    cred::Credential,
    mm::Mm,
    prelude::*,
    sync::aref::ARef, //
};

/// A submitter's credentials and address space, for a worker that acts for the submitter.
pub(crate) struct Identity {
    cred: ARef<Credential>,
    /// `None` for a kernel thread.
    mm: Option<ARef<Mm>>,
}

impl Identity {
    /// Returns the identity of the current task.
    pub(crate) fn current() -> Self {
        // SAFETY: The credentials of the current task stay while the task runs this function.
        let cred = unsafe { Credential::from_ptr(bindings::miniring_current_cred()) };
        Self {
            cred: ARef::from(cred),
            mm: kernel::current!().mm().map(|mm| {
                let mm: &Mm = mm;
                ARef::from(mm)
            }),
        }
    }

    /// Calls `action` with this identity.
    ///
    /// Context: process, in a kernel thread.
    ///
    /// # Errors
    ///
    /// `ECANCELED` if the address space is gone, `EINVAL` in a task that has one.
    pub(crate) fn assume<T>(&self, action: impl FnOnce() -> T) -> Result<T> {
        // SAFETY: Only reads the current task.
        if !unsafe { bindings::miniring_is_worker() } {
            return Err(EINVAL);
        }
        let mm = match &self.mm {
            Some(mm) => Some(mm.mmget_not_zero().ok_or(ECANCELED)?),
            None => None,
        };
        if let Some(mm) = &mm {
            // SAFETY: The current task is a kernel thread without an address space (checked above),
            // and `mm` is held.
            unsafe { bindings::kthread_use_mm(mm.as_raw()) };
        }
        // SAFETY: `self` holds the credentials, and they are reverted below.
        let old = unsafe { bindings::miniring_override_creds(self.cred.as_ptr()) };
        let result = action();
        // SAFETY: `old` was returned by the override above.
        unsafe { bindings::miniring_revert_creds(old) };
        if let Some(mm) = mm {
            // SAFETY: `mm` was taken above. The put is asynchronous, because the last put tears
            // down the address space, which may wait for this queue.
            unsafe {
                bindings::kthread_unuse_mm(mm.as_raw());
                bindings::mmput_async(ARef::into_raw(mm).as_ref().as_raw());
            }
        }
        Ok(result)
    }
}
