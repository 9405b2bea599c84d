// SPDX-License-Identifier: GPL-2.0

//! Task work, for what rings do in their submitters' tasks.
//!
//! Work for a task, of miniring's or others', ends its sleep as a signal would. A wait does that work
//! and sleeps again: see [`do_work`].

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

/// There is an address to call for `task_work_run()`, which the kernel does not export.
static CAN_RUN: AtomicFlag = AtomicFlag::new(false);

/// A callback was queued since the module was loaded.
static USED: AtomicFlag = AtomicFlag::new(false);

/// Whether [`do_work`] can do the work of the current task.
pub(crate) fn can_run() -> bool {
    CAN_RUN.load(Acquire)
}

/// Notes that a callback of this module was queued.
pub(crate) fn note_callback() {
    USED.store(true, Relaxed);
}

/// Looks for what [`do_work`] needs.
pub(crate) fn find(symbols: Result<Symbols, Missing>) {
    match symbols.and_then(|symbols| symbols.address(c"task_work_run")) {
        Ok(run) => {
            // SAFETY: That is where the function starts.
            unsafe { bindings::miniring_set_task_work_run(run.as_ptr()) };
            CAN_RUN.store(true, Release);
        }
        Err(missing) => pr_info!("waits do no task work, since {missing}\n"),
    }
}

/// If nothing but work for the current task ended its sleep, does that work; false if it was
/// something else, or the work has to wait until the system call returns. Process context, without
/// locks.
pub(crate) fn do_work() -> bool {
    // SAFETY: Looks at the current task. The function is called by it, where it holds nothing.
    unsafe {
        if bindings::miniring_sigpending() || !CAN_RUN.load(Acquire) {
            return false;
        }
        bindings::miniring_clear_notify_signal();
        bindings::miniring_task_work_run();
    }
    true
}

/// Waits for callbacks to return that have let go of the module. For its exit. May sleep.
pub(crate) fn wait_for_callbacks() {
    if USED.load(Relaxed) {
        // SAFETY: Process context, and no lock is held. No task is in a callback unless it runs, or
        // was preempted there.
        unsafe { bindings::miniring_synchronize_rcu_tasks() };
    }
}
