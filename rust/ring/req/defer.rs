// SPDX-License-Identifier: GPL-2.0

//! Task work: continues a request in its submitter's task.
//!
//! Polling a signalfd shows the signals of the polling task, and waits on that task's queue. So
//! requests on a signalfd continue in task work of the submitter. The wake-up cannot queue the task
//! work, because it runs under the lock of the task's signals. A worker queues the task work.
//!
//! Task work also continues these poll requests:
//!
//! * A poll that the submitter itself wakes, by a system call. No other CPU has to be woken, and
//!   the CQE is posted before that system call returns.
//! * A poll that is woken while its submitter submits, and a multishot poll that finds an event when
//!   it is issued. The event is reported when all SQEs of the submission were issued. If a worker
//!   reported the event at once, and a later SQE of the submission updated the poll, the poll would
//!   report the same event twice.
//!
//! Task work completes a timeout that expired or is due: see [`finish_later`].
//!
//! A worker continues any other request.
//!
//! The task work owns the request, and a canceller tells the owner to cancel. Task work runs when
//! the task next returns to userspace, or exits. While it is queued, it holds a reference to the
//! module.
//!
//! A task runs its task work in reverse order. io_uring completes requests in the order in which it
//! queued them. So a callback queues itself once more before it continues the request: see
//! [`called`].

use super::{
    operation::Wait,
    outcome::Outcome,
    request::{
        Issued,
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
    /// Returns whether `Wakers::arm` found that another task must continue the request.
    pub(crate) fn is_elsewhere(&self) -> bool {
        self.wakers.is_of_task() && !self.is_of_current()
    }

    /// Returns whether the current task is the submitter.
    fn is_of_current(&self) -> bool {
        ptr::eq(Task::current_raw(), self.submitter.as_ptr())
    }

    /// Returns whether the submitter has executed another program since it submitted the request.
    /// After an exec the task has other memory.
    pub(crate) fn is_of_another_program(&self) -> bool {
        // SAFETY: The request holds a reference to the task.
        let now = unsafe { bindings::miniring_exec_id(self.submitter.as_ptr()) };
        now != self.exec_id
    }

    /// Returns whether the submitter issues requests of the ring at this moment.
    fn is_issuing(&self) -> bool {
        ptr::eq(self.ring.issuing.load(Relaxed), self.submitter.as_ptr())
    }

    /// Returns whether the submitter has exited or is exiting: no task would continue the request
    /// in `io_uring`.
    pub(crate) fn is_orphan(&self) -> bool {
        // SAFETY: The request holds a reference to the task. A racing read of the flag may return
        // either value.
        unsafe { bindings::miniring_exiting(self.submitter.as_ptr()) }
    }
}

/// Queues task work to continue the request in its submitter's task. The task runs it at once if it
/// is in userspace or in an interruptible sleep. If the task exits, the request is cancelled.
/// Context: process.
pub(crate) fn hand_over(owned: Owned, step: Step) -> Issued {
    match queue(owned, step) {
        Ok(()) => Issued::Pending,
        Err(owned) => cancelled(owned),
    }
}

/// Continues a request that was woken. Context: any, also under locks.
///
/// A poll continues in its submitter's task if that task issues requests of the ring, or caused the
/// wake-up by a system call. Other requests continue in a worker.
pub(crate) fn go_on(mut owned: Owned, step: Step) {
    // SAFETY: Only reads the current context.
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

/// Queues task work to continue a poll before its submitter returns to userspace. Context: any,
/// also under locks.
///
/// # Errors
///
/// The request, if a worker has to continue it.
pub(crate) fn defer(mut owned: Owned, step: Step) -> Result<(), Owned> {
    // A worker continues a read or a chain, which may block. A worker also continues a request that
    // waits for signals: the lock of the task's signals may be held here. Without
    // `task_work_run()`, a waiting submitter could not run the work: its wait would end as for a
    // signal.
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

/// Decides the result of a timeout, so that no canceller finds it. Completes the timeout in task
/// work of its submitter, or in a worker if the submitter has exited. If the owner was told to
/// cancel, the result is `-ECANCELED`.
///
/// Context: any, also hard interrupt.
pub(crate) fn finish_later(mut owned: Owned, outcome: Outcome) {
    let outcome = if owned.try_finish() {
        outcome
    } else {
        owned.mark_finished();
        Outcome::cancelled()
    };
    owned.inner().verdict = Some(outcome);
    // Without `task_work_run()`, the wait of the submitter would end as for a signal.
    let refused = if task_work::can_run() {
        queue(owned, Step::Finish)
    } else {
        Err(owned)
    };
    if let Err(owned) = refused {
        owned.enqueue(Step::Finish, Kind::Prompt);
    }
}

/// Queues task work for the submitter. Context: any, unless the request waits for signals.
///
/// # Errors
///
/// The request, if the task exits or the module is unloaded.
fn queue(mut owned: Owned, step: Step) -> Result<(), Owned> {
    owned.inner().step = step;
    // SAFETY: This code belongs to the module, so the module exists.
    if unsafe { !bindings::try_module_get(bindings::this_module()) } {
        return Err(owned);
    }
    task_work::note_callback();
    let task = owned.submitter.clone();
    let request = Arc::into_raw(owned.into_arc());
    // SAFETY: Only the owner queues the callback, and gives up the ownership, so the callback is
    // not queued now. The callback gets the reference from `into_raw`, and the reference to the
    // module.
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
    // SAFETY: The callback was not queued: both references, and the ownership, are still held here.
    unsafe {
        bindings::module_put(bindings::this_module());
        Err(Owned::assume(Arc::from_raw(request)))
    }
}

fn cancelled(mut owned: Owned) -> Issued {
    let outcome = owned.cancelled();
    Issued::Done(owned, outcome)
}

/// Queues itself once more, as [`called_again`].
///
/// A task runs the callbacks that it finds, the last one first. The callbacks that they queue are
/// the next that it finds. So this second time reverses the order again.
///
/// # Safety
///
/// As for [`called_again`].
unsafe extern "C" fn called(work: *mut bindings::callback_head) {
    // SAFETY: `work` is off the list while it runs, and belongs to a request that the callback
    // holds (caller). The task is the current one, which looks for task work again.
    unsafe {
        bindings::init_task_work(work, Some(called_again));
        let ret = bindings::task_work_add(
            Task::current_raw(),
            work,
            bindings::task_work_notify_mode_TWA_NONE,
        );
        if ret != 0 {
            called_again(work);
        }
    }
}

/// Continues a request in its submitter's task, which may be exiting.
///
/// # Safety
///
/// `work` is a request's `task_work`, queued with a reference to the request, its ownership, and a
/// reference to the module.
unsafe extern "C" fn called_again(work: *mut bindings::callback_head) {
    // SAFETY: `work` is a request's `task_work`, with a reference and the ownership (caller).
    let mut owned = unsafe {
        let request = work.byte_sub(offset_of!(Request, task_work));
        Owned::assume(Arc::from_raw(request.cast::<Request>().cast_const()))
    };
    let step = owned.inner().step;
    run::work_in_task(owned, step);
    // SAFETY: The callback owns a reference to the module (caller). `task_work::wait_for_callbacks`
    // waits for the rest of this function.
    unsafe { bindings::module_put(bindings::this_module()) };
}
