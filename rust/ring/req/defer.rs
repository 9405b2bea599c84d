// SPDX-License-Identifier: GPL-2.0

//! Task work: going on with a request in its submitter's task.
//!
//! What a signalfd says depends on which task asks: it shows that one's signals, and its wait queue
//! is that task's too. So what waits for one goes on in task work of the submitter. It is a worker
//! that queues the task work, and not the wake-up, which comes under the lock of the task's signals.
//!
//! A poll request that the submitter itself wakes, by a system call, goes on in task work too: that
//! costs no wake-up of another CPU, and the completion is there when the system call returns. So
//! does one that anybody wakes while its submitter issues requests, and a multishot poll that finds
//! an event when it is issued: what they report comes after all that is submitted by that call. If a
//! worker reported it, an update of the poll, further on in the SQ, would find the event again,
//! which the submitter had no chance to take. Anything else goes on in a worker.
//!
//! The owner of a request hands its ownership to the callback. Who cancels the request meanwhile
//! tells that owner, which the task's next way to userspace, or its exit, is sure to run. Each
//! callback that is queued holds the module.

use super::{
    operation::Wait,
    outcome::Issued,
    request::{
        Owned,
        Request,
        Step, //
    },
    run, //
};
use crate::{
    bindings,
    ring::sys::{
        queues::Kind,
        task_work, //
    }, //
};
use core::{
    mem::offset_of,
    ptr, //
};
use kernel::{
    sync::{
        atomic::ordering::Relaxed,
        Arc, //
    },
    task::Task, //
};

impl Request {
    /// Whether another task has to continue the request, as `Wakers::arm` found.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.wakers.is_of_task() && !self.is_of_current()
    }

    /// Whether the current task is the submitter.
    fn is_of_current(&self) -> bool {
        ptr::eq(Task::current_raw(), self.submitter.as_ptr())
    }

    /// Whether the submitter executes another program than the one that submitted the request. Its
    /// memory is another one then.
    pub(crate) fn is_of_another_program(&self) -> bool {
        // SAFETY: The task is held.
        let now = unsafe { bindings::miniring_exec_id(self.submitter.as_ptr()) };
        now != self.exec_id
    }

    /// Whether the submitter issues requests of the ring at this moment.
    fn is_issuing(&self) -> bool {
        ptr::eq(self.ring.issuing.load(Relaxed), self.submitter.as_ptr())
    }

    /// Whether no task would continue the request in `io_uring`: its submitter has ended, or is about
    /// to.
    pub(crate) fn is_orphan(&self) -> bool {
        // SAFETY: The task is held. A flag that is being set may be seen or not.
        unsafe { bindings::miniring_exiting(self.submitter.as_ptr()) }
    }
}

/// Has the submitter's task go on, at once if it is in userspace or sleeps so that a signal ends
/// that. If it exits, its request is cancelled. Process context.
pub(crate) fn hand_over(owned: Owned, step: Step) -> Issued {
    match queue(owned, step) {
        Ok(()) => Issued::Pending,
        Err(owned) => cancelled(owned),
    }
}

/// Goes on with a request that was woken: a poll in its submitter's task, if that issues requests of
/// the ring or woke this one itself, before its system call returns; else in a worker. Any context,
/// also under locks.
pub(crate) fn go_on(mut owned: Owned, step: Step) {
    // SAFETY: Looks at the current context.
    let here = || unsafe { bindings::miniring_in_system_call() };
    if owned.is_issuing() || (owned.is_of_current() && here()) {
        match defer(owned, step) {
            Ok(()) => return,
            Err(refused) => owned = refused,
        }
    }
    let kind = if owned.may_block(step) {
        Kind::Blocking
    } else {
        Kind::Prompt
    };
    owned.enqueue(step, kind);
}

/// Has a poll's submitter go on before it returns to userspace. Any context, also under locks.
///
/// # Errors
///
/// The request, if somebody else has to go on.
pub(crate) fn defer(mut owned: Owned, step: Step) -> Result<(), Owned> {
    // A read may block, and so may a chain's next request. The lock of a task's signals may be held
    // if the request waits for those. Without `task_work_run()` a wait would not do the work but end,
    // as for a signal.
    let can = owned.waits_for(Wait::Events)
        && !owned.wakers.is_of_task()
        && !owned.ring.polled
        && owned.inner().next.is_none()
        && task_work::can_run();
    if can {
        queue(owned, step)
    } else {
        Err(owned)
    }
}

/// Queues task work for the submitter. Any context, unless the request waits for signals.
///
/// # Errors
///
/// The request, if the task exits or the module goes.
fn queue(mut owned: Owned, step: Step) -> Result<(), Owned> {
    owned.inner().step = step;
    // SAFETY: The module.
    if unsafe { !bindings::try_module_get(bindings::this_module()) } {
        return Err(owned);
    }
    task_work::note_callback();
    let task = owned.submitter.clone();
    let request = Arc::into_raw(owned.into_arc());
    // SAFETY: Only the owner queues the callback, and gives the ownership up, so that it is not
    // queued now. It has the reference from `into_raw`, and the module's.
    let ret = unsafe {
        let work = (*request).task_work.get();
        bindings::init_task_work(work, Some(called));
        bindings::task_work_add(
            task.as_ptr(),
            work,
            bindings::task_work_notify_mode_TWA_SIGNAL,
        )
    };
    if ret == 0 {
        return Ok(());
    }
    // SAFETY: It was not queued: both references, and the ownership, are still ours.
    unsafe {
        bindings::module_put(bindings::this_module());
        Err(Owned::assume(Arc::from_raw(request)))
    }
}

fn cancelled(mut owned: Owned) -> Issued {
    let outcome = owned.cancelled();
    Issued::Done(owned, outcome)
}

/// Goes on. In the submitter's task, which may be exiting.
///
/// # Safety
///
/// `work` is that of a request, with a reference, its ownership, and a reference to the module.
unsafe extern "C" fn called(work: *mut bindings::callback_head) {
    // SAFETY: By the safety requirements.
    let mut owned = unsafe {
        let request = work.byte_sub(offset_of!(Request, task_work));
        Owned::assume(Arc::from_raw(request.cast::<Request>().cast_const()))
    };
    let step = owned.inner().step;
    run::work_in_task(owned, step);
    // SAFETY: By the safety requirements. What is left of this function is waited for by
    // `task_work::wait_for_callbacks`.
    unsafe { bindings::module_put(bindings::this_module()) };
}
