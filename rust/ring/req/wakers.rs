// SPDX-License-Identifier: GPL-2.0

//! A request's entries in the wait queues of the file that it polls.
//!
//! A wait queue may be freed before the file, after a wake-up with `POLLFREE`
//! (`wake_up_pollfree()`). The queue's memory then stays for an RCU grace period. So an entry's
//! pointer to the queue, `head`, is followed only under the RCU read lock. A wake-up with `POLLFREE`
//! clears `head` as its last step, because the owner may then free the entry.

use super::target::{
    Pollable,
    Target, //
};
use crate::bindings;
use core::ptr;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            ordering::{
                Acquire,
                Relaxed,
                Release, //
            },
            Atomic,
            AtomicFlag, //
        },
        rcu::read_lock, //
    },
    task::Task,
    types::Opaque, //
};

/// The function of an entry: handles a wake-up. Context: any, under the lock of the wait queue.
pub(super) type Wake =
    unsafe extern "C" fn(*mut bindings::wait_queue_entry, c_uint, c_int, *mut c_void) -> c_int;

/// An entry in a wait queue.
///
/// # Invariants
///
/// While `head` is not null, `wait` is initialised. `wait` is in that queue, or `list_del_init()`
/// removed it.
#[repr(C)]
pub(super) struct Waker {
    wait: Opaque<bindings::wait_queue_entry>,
    head: Atomic<*mut bindings::wait_queue_head>,
}

/// The entries of a request. Files have one wait queue, or one for reading and one for writing.
#[pin_data]
pub(crate) struct Wakers {
    /// The events that wake the request (`EPOLL*`).
    events: Atomic<u32>,
    /// The file's readiness depends on the polling task.
    of_task: AtomicFlag,
    #[pin]
    first: Waker,
    #[pin]
    second: Waker,
}

/// The table that `poll_wait()` passes to [`queue`].
#[repr(C)]
struct Table<'a> {
    table: bindings::poll_table,
    wakers: &'a Wakers,
    wake: Wake,
    private: *mut c_void,
    entries: u32,
    result: Result,
}

impl Waker {
    fn new() -> Self {
        Self {
            wait: Opaque::uninit(),
            head: Atomic::new(ptr::null_mut()),
        }
    }

    /// Adds the entry to `head`.
    ///
    /// # Safety
    ///
    /// - `head` is a wait queue, and the entry is in none.
    /// - The entry is one of the wakers of `table`, and is removed before they are dropped.
    unsafe fn add(&self, table: &Table<'_>, head: *mut bindings::wait_queue_head) {
        let wait = self.wait.get();
        let exclusive = table.wakers.events() & bindings::CONST_EPOLLEXCLUSIVE != 0;
        // SAFETY: The entry is in no queue, so only this function accesses it. `head` is a wait
        // queue (caller).
        unsafe {
            ptr::write(
                wait,
                bindings::wait_queue_entry {
                    flags: 0,
                    private: table.private,
                    func: Some(table.wake),
                    entry: bindings::list_head::default(),
                },
            );
            self.head.store(head, Release);
            if exclusive {
                bindings::add_wait_queue_exclusive(head, wait);
            } else {
                bindings::add_wait_queue(head, wait);
            }
        }
    }

    /// Returns the waker of an entry, and what `arm` was given as `private`.
    ///
    /// # Safety
    ///
    /// `wait` is an entry that `Wakers::arm` added, in a queue whose lock is held for `'a`.
    pub(super) unsafe fn of<'a>(wait: *mut bindings::wait_queue_entry) -> (&'a Self, *mut c_void) {
        // SAFETY: `wait` is the first field of a `Waker`, which exists until it is removed from the
        // queue (caller).
        unsafe { (&*wait.cast::<Self>(), (*wait).private) }
    }

    /// Removes the entry from its queue. The wakers may be dropped afterwards.
    ///
    /// # Safety
    ///
    /// The entry is in a queue, whose lock is held.
    pub(super) unsafe fn take(&self) {
        // SAFETY: The entry is in the queue, whose lock is held (caller).
        unsafe { bindings::miniring_wait_take(self.wait.get()) };
        self.head.store(ptr::null_mut(), Release);
    }

    fn is_in(&self, head: *mut bindings::wait_queue_head) -> bool {
        self.head.load(Relaxed) == head
    }

    fn remove(&self) {
        let _guard = read_lock();
        let head = self.head.load(Acquire);
        if head.is_null() {
            return;
        }
        // SAFETY: `head` is not null, so no grace period after `POLLFREE` has ended in this read
        // section: the queue's memory exists. The entry is initialised, and may be removed twice
        // (type invariants).
        unsafe { bindings::miniring_wait_remove(head, self.wait.get()) };
        self.head.store(ptr::null_mut(), Relaxed);
    }
}

impl Wakers {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            events: Atomic::new(0),
            of_task: AtomicFlag::new(false),
            first: Waker::new(),
            second: Waker::new(),
        })
    }

    /// Returns the events that wake the request.
    pub(crate) fn events(&self) -> u32 {
        self.events.load(Relaxed)
    }

    /// Returns whether the file's readiness depends on the polling task, so that only the submitter
    /// may poll.
    pub(crate) fn is_of_task(&self) -> bool {
        self.of_task.load(Relaxed)
    }

    /// Lets the next event complete the request.
    pub(super) fn report_once(&self) {
        self.events
            .store(self.events() | bindings::CONST_EPOLLONESHOT, Relaxed);
    }

    /// Adds the entries to the wait queues of `target`, to call `wake` with `private`. Returns
    /// those of `events` that the target is ready for. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the file has no wait queue, or more than two. Entries may have been added.
    ///
    /// # Safety
    ///
    /// - The wakers are pinned and disarmed, and only the caller can arm them.
    /// - They are disarmed again before they or the target are dropped.
    /// - `wake` may be called with the entries, until then.
    pub(super) unsafe fn arm(
        &self,
        wake: Wake,
        private: *mut c_void,
        target: &Target<impl Pollable>,
        events: u32,
    ) -> Result<u32> {
        self.events.store(events, Relaxed);
        self.of_task.store(false, Relaxed);
        let mut table = Table {
            table: bindings::poll_table {
                _qproc: Some(queue),
                _key: events,
            },
            wakers: self,
            wake,
            private,
            entries: 0,
            result: Ok(()),
        };
        // SAFETY: The entries are removed before the target is dropped (caller). The callback casts
        // back from `table.table`, the first field.
        let ready = unsafe { target.poll(&mut *(&raw mut table).cast::<bindings::poll_table>()) };
        let ready = ready & events & 0xffff;
        if table.entries == 0 || table.result.is_err() {
            if ready != 0 {
                self.disarm();
                // No wait queue can wake the request again.
                self.report_once();
                return Ok(ready);
            }
            table.result?;
            return Err(EINVAL);
        }
        Ok(ready)
    }

    /// Removes the entries from their queues. No wake-up finds the request afterwards. Context:
    /// process.
    pub(crate) fn disarm(&self) {
        self.first.remove();
        self.second.remove();
    }
}

/// # Safety
///
/// `table` is the first field of a [`Table`], and `head` a wait queue of the polled file.
unsafe extern "C" fn queue(
    _file: *mut bindings::file,
    head: *mut bindings::wait_queue_head,
    table: *mut bindings::poll_table,
) {
    // SAFETY: `table` is the first field of a `Table` (caller).
    let table = unsafe { &mut *table.cast::<Table<'_>>() };
    let wakers = table.wakers;
    // SAFETY: The current task has signal handlers, which it keeps while it runs this function.
    let signals = unsafe { &raw mut (*(*Task::current_raw()).sighand).signalfd_wqh };
    if head == signals {
        wakers.of_task.store(true, Relaxed);
    }
    let waker = match table.entries {
        0 => &wakers.first,
        _ if wakers.first.is_in(head) => return,
        1 => &wakers.second,
        _ if wakers.second.is_in(head) => return,
        _ => {
            table.result = Err(EINVAL);
            return;
        }
    };
    table.entries += 1;
    // SAFETY: `Wakers::arm` was called with disarmed entries, and this call has not used the entry.
    // Its caller disarms the entry before the wakers are dropped.
    unsafe { waker.add(table, head) };
}
