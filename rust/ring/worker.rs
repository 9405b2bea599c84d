// SPDX-License-Identifier: GPL-2.0

//! The module's workqueues, and acting for a submitter on them.
//!
//! Requests that wait for something go on in one queue when it has happened; work that may block is
//! done in another, so that it cannot hold up the first.

use super::{
    exec::ExecProbe,
    rings,
    task,
    thread, //
};
use crate::bindings;
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    cred::Credential,
    mm::Mm,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            ordering::{Acquire, Release},
            Atomic, //
        }, //
    },
    workqueue::Queue, //
};

/// Which workqueue.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Requests that go on; work that does not block for long.
    Prompt,
    /// Work that may block.
    Blocking,
    /// Threads are stopped, each of which may be held up by a signal that stops its process.
    Ending,
}

static PROMPT: Atomic<*mut bindings::workqueue_struct> = Atomic::new(ptr::null_mut());
static ENDING: Atomic<*mut bindings::workqueue_struct> = Atomic::new(ptr::null_mut());
static BLOCKING: Atomic<*mut bindings::workqueue_struct> = Atomic::new(ptr::null_mut());

impl Kind {
    fn slot(self) -> &'static Atomic<*mut bindings::workqueue_struct> {
        match self {
            Self::Prompt => &PROMPT,
            Self::Blocking => &BLOCKING,
            Self::Ending => &ENDING,
        }
    }

    /// The queue.
    pub(crate) fn queue(self) -> &'static Queue {
        // SAFETY: The queues are made before the device, and destroyed behind it, when there is no
        // ring any more: see `Workers`. Requests, who queue things, hold their ring.
        unsafe { Queue::from_raw(self.slot().load(Acquire)) }
    }
}

/// The workqueues, and the list of rings. Dropping this waits for the rings to be freed, for what is
/// on the queues, and for task work.
///
/// A module keeps one in its state, and drops it when no ring can be made any more.
pub(crate) struct Workers {
    _probe: ExecProbe,
}

impl Workers {
    /// Makes the queues, and the list. To be called once. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new() -> Result<Self> {
        rings::init();
        if !thread::available() {
            pr_info!("no IORING_SETUP_SQPOLL: the kernel has no CONFIG_VHOST_TASK\n");
        }
        let workers = Self {
            _probe: ExecProbe::new(),
        };
        for (kind, name) in [
            (Kind::Prompt, c"miniring"),
            (Kind::Blocking, c"miniring_block"),
            (Kind::Ending, c"miniring_end"),
        ] {
            // SAFETY: The name is a string.
            let queue = unsafe { bindings::miniring_alloc_workqueue(name.as_char_ptr()) };
            let queue = NonNull::new(queue).ok_or(ENOMEM)?;
            kind.slot().store(queue.as_ptr(), Release);
        }
        Ok(workers)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        // A ring's requests may outlive its file. While there is one it may use either queue.
        rings::wait_until_none();
        for kind in [Kind::Blocking, Kind::Prompt, Kind::Ending] {
            let queue = kind.slot().load(Acquire);
            if !queue.is_null() {
                kind.slot().store(ptr::null_mut(), Release);
                // SAFETY: Made by `new`, and nobody has it any more.
                unsafe { bindings::destroy_workqueue(queue) };
            }
        }
        task::wait_for_callbacks();
    }
}

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

    /// Calls `action` on behalf of this identity. On a workqueue.
    ///
    /// # Errors
    ///
    /// `ECANCELED` if the address space is gone.
    pub(crate) fn assume<T>(&self, action: impl FnOnce() -> T) -> Result<T> {
        let mm = match &self.mm {
            Some(mm) => Some(mm.mmget_not_zero().ok_or(ECANCELED)?),
            None => None,
        };
        if let Some(mm) = &mm {
            // SAFETY: A workqueue's thread has no address space; this one is held.
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
