// SPDX-License-Identifier: GPL-2.0

//! A request's entries in the wait queues of the file that it polls.
//!
//! A wake-up gains the ownership and queues a worker or task work, or tells the owner. Lock order:
//! the wait queue's lock, then the workqueue's or the task's own; no lock of a ring.
//!
//! A wait queue may be freed before the file, after a wake-up with `POLLFREE`
//! (`wake_up_pollfree()`). The queue's memory then stays for an RCU grace period. So `head` is
//! followed under the RCU read lock only, and a wake-up with `POLLFREE` clears `head` as its last
//! step.

use super::{
    defer::go_on,
    request::{
        Owned,
        Request,
        Step, //
    },
    target::Target, //
};
use crate::{
    bindings,
    pure::ownership::Claim,
    ring::sys::queues::Kind, //
};
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
        rcu::read_lock,
        ArcBorrow, //
    },
    task::Task,
    types::Opaque, //
};

/// An entry in a wait queue.
///
/// # Invariants
///
/// While `head` is not null, `wait` is initialised. `wait` is in that queue, or `list_del_init()`
/// removed it.
#[repr(C)]
struct Waker {
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
    request: &'a Request,
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

    /// Adds the entry to `head`, to wake `request`.
    ///
    /// # Safety
    ///
    /// - `head` is a wait queue, and the entry is in none.
    /// - The entry is removed before `request` is dropped.
    unsafe fn add(&self, request: &Request, head: *mut bindings::wait_queue_head) {
        let wait = self.wait.get();
        let exclusive = request.wakers.events() & bindings::CONST_EPOLLEXCLUSIVE != 0;
        // SAFETY: The entry is in no queue, so only this function accesses it. `head` is a wait
        // queue (caller).
        unsafe {
            ptr::write(
                wait,
                bindings::wait_queue_entry {
                    flags: 0,
                    private: ptr::from_ref(request).cast_mut().cast(),
                    func: Some(wake),
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

    /// Adds the entries to the wait queues of `target`. Returns those of `events` that the target
    /// is ready for. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the file has no wait queue, or more than two. Entries may have been added.
    ///
    /// # Safety
    ///
    /// - These are the wakers of `request`, which the caller owns, and are disarmed.
    /// - They are disarmed again before the request or the target is dropped.
    pub(crate) unsafe fn arm(
        &self,
        request: &Request,
        target: &Target,
        events: u32,
    ) -> Result<u32> {
        self.events.store(events, Relaxed);
        self.of_task.store(false, Relaxed);
        let mut table = Table {
            table: bindings::poll_table {
                _qproc: Some(queue),
                _key: events,
            },
            request,
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
                // Report once: no wait queue can wake the request again.
                self.events
                    .store(events | bindings::CONST_EPOLLONESHOT, Relaxed);
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
    let wakers = &table.request.wakers;
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
    // Its caller disarms the entry before the request is dropped.
    unsafe { waker.add(table.request, head) };
}

/// Handles a wake-up of a request. Context: any, under the lock of the wait queue.
///
/// # Safety
///
/// `wait` is the first field of a [`Waker`] in a queue whose lock is held.
unsafe extern "C" fn wake(
    wait: *mut bindings::wait_queue_entry,
    _mode: c_uint,
    _flags: c_int,
    key: *mut c_void,
) -> c_int {
    let key = key as usize as u32;
    // SAFETY: `wait` is the first field of a `Waker` in a queue (caller). The request lives until
    // its entries are removed.
    let (waker, request) = unsafe {
        (
            &*wait.cast::<Waker>(),
            ArcBorrow::from_raw((*wait).private.cast::<Request>().cast_const()),
        )
    };
    if key & bindings::CONST_POLLFREE != 0 {
        if request.ownership.cancel() == Claim::Gained {
            // SAFETY: The ownership was just gained.
            let owned = unsafe { Owned::assume(request.into()) };
            owned.enqueue(Step::Finish, Kind::Prompt);
        }
        // SAFETY: The entry is in the queue, whose lock is held (caller). Once `head` is null, the
        // request may be freed.
        unsafe { bindings::miniring_wait_take(wait) };
        waker.head.store(ptr::null_mut(), Release);
        return 1;
    }
    let events = request.wakers.events();
    if key != 0 && key & events & 0xffff == 0 {
        return 0;
    }
    if key & bindings::CONST_EPOLL_URING_WAKE != 0 {
        // A completion caused this wake-up, and the owner may be posting that completion now.
        // Reporting the wake-up could cause another one, without end. `arm` stores the events
        // before it adds an entry.
        request
            .wakers
            .events
            .store(events | bindings::CONST_EPOLLONESHOT, Relaxed);
    }
    if let Some(owned) = Owned::claim(request) {
        if key != 0 && owned.reports_once() {
            // The request is about to complete, so remove its entry now. A stale entry would slow
            // other wake-ups.
            //
            // SAFETY: The entry is in the queue, whose lock is held (caller).
            unsafe { bindings::miniring_wait_take(wait) };
            waker.head.store(ptr::null_mut(), Release);
        }
        go_on(owned, Step::Event(key));
    }
    1
}
