// SPDX-License-Identifier: GPL-2.0

//! Task work: code of rings that runs in the submitter's task.
//!
//! Queued task work ends the sleep of a task, as a signal does. A wait runs that work and sleeps
//! again: see [`do_work`].

use crate::{
    bindings,
    kallsyms::{
        Missing,
        Symbols, //
    }, //
};
use kernel::{
    pr_info,
    sync::atomic::{
        ordering::{
            Acquire,
            Relaxed,
            Release, //
        },
        AtomicFlag, //
    }, //
};

/// The address of `task_work_run()` is known. The kernel does not export the function.
static CAN_RUN: AtomicFlag = AtomicFlag::new(false);

/// A callback was queued since the module was loaded.
static USED: AtomicFlag = AtomicFlag::new(false);

/// Returns whether [`do_work`] can run the work of the current task.
pub(crate) fn can_run() -> bool {
    CAN_RUN.load(Acquire)
}

/// Notes that a callback of this module was queued.
pub(crate) fn note_callback() {
    USED.store(true, Relaxed);
}

/// Looks up `task_work_run()` for [`do_work`].
pub(crate) fn find(symbols: Result<Symbols, Missing>) {
    match symbols.and_then(|symbols| symbols.address(c"task_work_run")) {
        Ok(run) => {
            // SAFETY: `run` is the address of `task_work_run()`.
            unsafe { bindings::miniring_set_task_work_run(run.as_ptr()) };
            CAN_RUN.store(true, Release);
        }
        Err(missing) => pr_info!("waits do no task work, since {missing}\n"),
    }
}

/// Runs the task work that ended the current task's sleep. Returns false if a signal ended the
/// sleep, or if the work must wait until the system call returns.
///
/// Context: process, without locks.
pub(crate) fn do_work() -> bool {
    // SAFETY: Both helpers use only the current task, which holds no lock (caller).
    unsafe {
        if bindings::miniring_sigpending() || !CAN_RUN.load(Acquire) {
            return false;
        }
        bindings::miniring_clear_notify_signal();
        bindings::miniring_task_work_run();
    }
    true
}

/// Waits for the end of callbacks that have released the module. May sleep.
///
/// Context: process, while the module exits.
pub(crate) fn wait_for_callbacks() {
    if USED.load(Relaxed) {
        // SAFETY: Process context, and no lock is held. A callback does not sleep after it has
        // released the module, so an RCU-tasks grace period waits for its end.
        unsafe { bindings::miniring_synchronize_rcu_tasks() };
    }
}
