// SPDX-License-Identifier: GPL-2.0

//! Counts the requests of tasks, by class of tasks. An exec of a task without requests costs one
//! load.

use crate::bindings;
use kernel::{
    sync::atomic::{
        ordering::Relaxed,
        Atomic, //
    },
    task::Task, //
};

/// Number of classes of tasks. A hash of the address selects the class.
const SLOTS: usize = 256;

/// Number of requests of the tasks of each class.
static REQUESTS: [Atomic<u32>; SLOTS] = [const { Atomic::new(0) }; SLOTS];

fn slot(task: *const bindings::task_struct) -> &'static Atomic<u32> {
    let hash = (task.addr() as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56;
    &REQUESTS[hash as usize % SLOTS]
}

/// A count of one request of a task, until dropped.
pub(crate) struct Counted(&'static Atomic<u32>);

impl Counted {
    pub(crate) fn new(task: &Task) -> Self {
        let slot = slot(task.as_ptr());
        slot.fetch_add(1, Relaxed);
        Self(slot)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// Returns whether the task may have requests. Never false if the task has a request. May be true
/// because of another task of the class.
pub(crate) fn has_any(task: *const bindings::task_struct) -> bool {
    slot(task).load(Relaxed) != 0
}
