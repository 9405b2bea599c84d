// SPDX-License-Identifier: GPL-2.0

//! Acting for a submitter on a workqueue.

use crate::bindings;
use kernel::{
    cred::Credential,
    mm::Mm,
    prelude::*,
    sync::aref::ARef, //
};

/// Whom a worker acts for: a submitter's credentials and address space.
pub(crate) struct Identity {
    cred: ARef<Credential>,
    /// None for a kernel thread.
    mm: Option<ARef<Mm>>,
}

impl Identity {
    /// The current task's.
    pub(crate) fn current() -> Self {
        // SAFETY: The current task has credentials, which stay while it is running this.
        let cred = unsafe { Credential::from_ptr(bindings::miniring_current_cred()) };
        Self {
            cred: ARef::from(cred),
            mm: kernel::current!().mm().map(|mm| {
                let mm: &Mm = mm;
                ARef::from(mm)
            }),
        }
    }

    /// Calls `action` on behalf of this identity. Process context, in a kernel thread.
    ///
    /// # Errors
    ///
    /// `ECANCELED` if the address space is gone, `EINVAL` in a task that has one.
    pub(crate) fn assume<T>(&self, action: impl FnOnce() -> T) -> Result<T> {
        // SAFETY: Looks at the current task.
        if !unsafe { bindings::miniring_is_worker() } {
            return Err(EINVAL);
        }
        let mm = match &self.mm {
            Some(mm) => Some(mm.mmget_not_zero().ok_or(ECANCELED)?),
            None => None,
        };
        if let Some(mm) = &mm {
            // SAFETY: The current task is a kernel thread without an address space, as was checked;
            // this one is held.
            unsafe { bindings::kthread_use_mm(mm.as_raw()) };
        }
        // SAFETY: The credentials are held until they are given back below.
        let old = unsafe { bindings::miniring_override_creds(self.cred.as_ptr()) };
        let result = action();
        // SAFETY: What was overridden comes back.
        unsafe { bindings::miniring_revert_creds(old) };
        if let Some(mm) = mm {
            // SAFETY: Taken above. The last user of an address space tears it down, which may wait
            // for this queue: that is left to another.
            unsafe {
                bindings::kthread_unuse_mm(mm.as_raw());
                bindings::mmput_async(ARef::into_raw(mm).as_ref().as_raw());
            }
        }
        Ok(result)
    }
}
