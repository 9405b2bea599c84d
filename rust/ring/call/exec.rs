// SPDX-License-Identifier: GPL-2.0

//! Cancels the requests of a task that executes another program.
//!
//! A module learns of an exec only by the tracepoint `sched_process_exec`. A probe there queues
//! task work. The work runs before the new program, and cancels the requests that this task
//! submitted before. Most tasks have no requests: a count for each class of tasks ([`per_task`])
//! saves their task work.
//!
//! The work finds the rings in a list of all open rings.
//!
//! Locking: the mutex of the list is a leaf.

use crate::{
    bindings,
    ring::{
        req::per_task,
        sys::{
            queues,
            task_work, //
        },
        Ring, //
    }, //
};
use core::{
    mem::offset_of,
    ptr::{
        self,
        NonNull, //
    }, //
};
use kernel::{
    list::{
        impl_list_arc_safe,
        impl_list_item,
        List,
        ListArc,
        ListLinks, //
    },
    prelude::*,
    sync::{
        Arc,
        UniqueArc, //
    },
    task::Task,
    types::Opaque, //
};

kernel::sync::global_lock! {
    // SAFETY: Initialised by `ExecProbe::new()` before there is a device to make a ring of.
    unsafe(uninit) static OPEN: Mutex<List<Entry>> = List::new();
}

#[pin_data]
struct Entry {
    ring: Arc<Ring>,
    #[pin]
    links: ListLinks,
}

impl_list_arc_safe! {
    impl ListArcSafe<0> for Entry { untracked; }
}
impl_list_item! {
    impl ListItem<0> for Entry { using ListLinks { self.links }; }
}

/// A ring whose file is open, from SETUP to release.
///
/// # Invariants
///
/// The entry is in `OPEN`, or in no list.
pub(crate) struct Open(Arc<Entry>);

impl Open {
    /// Adds the ring to the list. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ENODEV` while the module is not loaded.
    pub(crate) fn new(ring: Arc<Ring>) -> Result<Self> {
        if !queues::is_open() {
            return Err(ENODEV);
        }
        let entry = UniqueArc::pin_init(
            pin_init!(Entry {
                ring,
                links <- ListLinks::new(),
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        let entry = ListArc::from(entry);
        // INVARIANT: The entry is added to `OPEN` below.
        let open = Self(entry.clone_arc());
        OPEN.lock().push_back(entry);
        Ok(open)
    }

    pub(crate) fn ring(&self) -> &Arc<Ring> {
        &self.0.ring
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        // SAFETY: The entry is in `OPEN` or in no list (type invariants).
        let entry = unsafe { OPEN.lock().remove(&self.0) };
        drop(entry);
    }
}

/// The probe. The module keeps it while rings can be made.
pub(crate) struct ExecProbe(Option<NonNull<c_void>>);

// SAFETY: Any task may unregister a probe.
unsafe impl Send for ExecProbe {}
// SAFETY: A shared reference gives no access to the fields.
unsafe impl Sync for ExecProbe {}

impl ExecProbe {
    /// Registers the probe, and makes the list of rings. May sleep.
    ///
    /// # Safety
    ///
    /// Called once, before there is an `EndQueue`.
    pub(crate) unsafe fn new() -> Self {
        // SAFETY: This function is called once, before a ring can be made (caller).
        unsafe { OPEN.init() };
        // SAFETY: The name is NUL-terminated.
        let point =
            unsafe { bindings::miniring_find_tracepoint(c"sched_process_exec".as_char_ptr()) };
        let point = NonNull::new(point).filter(|point| {
            let probe: Probe = executed;
            // SAFETY: `executed` has the signature of a probe of this tracepoint.
            let ret = unsafe {
                bindings::miniring_tracepoint_probe_register(point.as_ptr(), probe as *mut c_void)
            };
            ret == 0
        });
        if point.is_none() {
            pr_info!("an exec cancels no requests: the kernel has no sched_process_exec\n");
        }
        Self(point)
    }
}

impl Drop for ExecProbe {
    fn drop(&mut self) {
        if let Some(point) = self.0 {
            let probe: Probe = executed;
            // SAFETY: `new` registered the probe.
            unsafe {
                bindings::miniring_tracepoint_probe_unregister(point.as_ptr(), probe as *mut c_void)
            };
        }
    }
}

type Probe =
    unsafe extern "C" fn(*mut c_void, *mut bindings::task_struct, bindings::pid_t, *mut c_void);

/// The task work of a task that executed another program.
struct ExecWork {
    head: Opaque<bindings::callback_head>,
}

/// Queues the task work of a task that has executed another program.
///
/// Context: atomic.
///
/// # Safety
///
/// `task` is the current task, as in a probe of `sched_process_exec`.
unsafe extern "C" fn executed(
    _data: *mut c_void,
    task: *mut bindings::task_struct,
    _old_pid: bindings::pid_t,
    _bprm: *mut c_void,
) {
    if !per_task::has_any(task) {
        return;
    }
    // Without memory the requests stay. Requests never touch the memory of the new program.
    let Ok(work) = KBox::new(
        ExecWork {
            head: Opaque::uninit(),
        },
        GFP_ATOMIC,
    ) else {
        return;
    };
    let work = KBox::into_raw(work);
    // SAFETY:
    // - The callback gets the work, which stays allocated until then.
    // - The callback owns the reference to the module that is taken here.
    // - `task` is the current task (caller).
    unsafe {
        let head = (*work).head.get();
        let queued = bindings::try_module_get(bindings::this_module()) && {
            bindings::init_task_work(head, Some(cancel));
            let ret =
                bindings::task_work_add(task, head, bindings::task_work_notify_mode_TWA_RESUME);
            if ret != 0 {
                bindings::module_put(bindings::this_module());
            }
            ret == 0
        };
        if queued {
            task_work::note_callback();
        } else {
            drop(KBox::from_raw(work));
        }
    }
}

/// Cancels the requests that the current task submitted before its exec.
///
/// Context: process.
///
/// # Safety
///
/// `head` is the head of an [`ExecWork`] that this call owns, with a reference to the module.
unsafe extern "C" fn cancel(head: *mut bindings::callback_head) {
    // SAFETY: `head` is the head of an `ExecWork` that this call owns (caller).
    drop(unsafe {
        let work = head.byte_sub(offset_of!(ExecWork, head));
        KBox::from_raw(work.cast::<ExecWork>())
    });
    let current = Task::current_raw();
    let mut rings = KVec::new();
    {
        let open = OPEN.lock();
        for entry in open.iter() {
            // Without memory the requests of the remaining rings stay: see `executed`.
            if rings.push(entry.ring.clone(), GFP_KERNEL).is_err() {
                break;
            }
        }
    }
    for ring in &rings {
        ring.cancel_those(|request| {
            ptr::eq(request.submitter.as_ptr(), current) && request.is_of_another_program()
        });
    }
    drop(rings);
    // SAFETY: The call owns a reference to the module (caller). `task_work::wait_for_callbacks`
    // waits for the end of this function.
    unsafe { bindings::module_put(bindings::this_module()) };
}
