// SPDX-License-Identifier: GPL-2.0

//! A request's entries in the wait queues of the file that it polls.
//!
//! A wake-up only gains ownership, or tells the owner, and has a worker or the submitter go on. Lock
//! order: the wait queue's lock, then the workqueue's or the task's own; nothing of a ring's.
//!
//! A wait queue may go before the file does, which it announces by a wake-up with `POLLFREE`
//! (`wake_up_pollfree()`), and its memory stays for an RCU grace period then. So `head` is followed
//! under the RCU read lock only, and that wake-up clears it as the last thing it does.

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

/// One entry.
///
/// # Invariants
///
/// While `head` is not null, `wait` is initialised, and in that queue or taken off it by
/// `list_del_init()`.
#[repr(C)]
struct Waker {
    wait: Opaque<bindings::wait_queue_entry>,
    head: Atomic<*mut bindings::wait_queue_head>,
}

/// The entries: files have one wait queue, or one for reading and one for writing.
#[pin_data]
pub(crate) struct Wakers {
    /// What wakes (`EPOLL*`).
    events: Atomic<u32>,
    /// What the file says is about the task that asks.
    of_task: AtomicFlag,
    #[pin]
    first: Waker,
    #[pin]
    second: Waker,
}

/// What `poll_wait()` calls back with.
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
    /// `head` is a wait queue; the entry is in none; it is removed before `request` is dropped.
    unsafe fn add(&self, request: &Request, head: *mut bindings::wait_queue_head) {
        let wait = self.wait.get();
        let exclusive = request.wakers.events() & bindings::CONST_EPOLLEXCLUSIVE != 0;
        // SAFETY: The entry is ours to write; the rest by the safety requirements.
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
        // SAFETY: The queue's memory stays for as long as we are in this read section: it announces
        // itself gone before a grace period, by clearing `head`. By the type invariants the entry
        // may be taken off once more.
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

    /// What wakes the request.
    pub(crate) fn events(&self) -> u32 {
        self.events.load(Relaxed)
    }

    /// Whether what the file says is about the task that asks, and it waits for that one.
    pub(crate) fn is_of_task(&self) -> bool {
        self.of_task.load(Relaxed)
    }

    /// Adds the entries to the wait queues of `target`, and returns what it is ready for of
    /// `events`. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if the file has no wait queue, or too many. Entries may have been added.
    ///
    /// # Safety
    ///
    /// These are the wakers of `request`, which the caller owns, and are disarmed. They are disarmed
    /// again before the request or the target is dropped.
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
        // SAFETY: By the safety requirements. The callback finds its way back from `table.table`,
        // the first field.
        let ready = unsafe { target.poll(&mut *(&raw mut table).cast::<bindings::poll_table>()) };
        let ready = ready & events & 0xffff;
        if table.entries == 0 || table.result.is_err() {
            if ready != 0 {
                self.disarm();
                // There is nothing to wait for.
                self.events
                    .store(events | bindings::CONST_EPOLLONESHOT, Relaxed);
                return Ok(ready);
            }
            table.result?;
            return Err(EINVAL);
        }
        Ok(ready)
    }

    /// Takes the entries off their queues; nobody wakes the request from then on. Process context.
    pub(crate) fn disarm(&self) {
        self.first.remove();
        self.second.remove();
    }
}

/// # Safety
///
/// `table` is the first field of a [`Table`], and `head` a wait queue of what is polled.
unsafe extern "C" fn queue(
    _file: *mut bindings::file,
    head: *mut bindings::wait_queue_head,
    table: *mut bindings::poll_table,
) {
    // SAFETY: By the safety requirements.
    let table = unsafe { &mut *table.cast::<Table<'_>>() };
    let wakers = &table.request.wakers;
    // SAFETY: The current task has signal handlers, which stay while it is running this.
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
    // SAFETY: The entry was disarmed, and not used by this call so far; see `Wakers::arm`.
    unsafe { waker.add(table.request, head) };
}

/// Wakes a request. Any context, under the lock of the wait queue.
///
/// # Safety
///
/// `wait` is the first field of a [`Waker`] that is in a queue, whose lock is held.
unsafe extern "C" fn wake(
    wait: *mut bindings::wait_queue_entry,
    _mode: c_uint,
    _flags: c_int,
    key: *mut c_void,
) -> c_int {
    let key = key as usize as u32;
    // SAFETY: By the safety requirements. A request stays until its entries are off their queues.
    let (waker, request) = unsafe {
        (
            &*wait.cast::<Waker>(),
            ArcBorrow::from_raw((*wait).private.cast::<Request>().cast_const()),
        )
    };
    if key & bindings::CONST_POLLFREE != 0 {
        if request.ownership.cancel() == Claim::Gained {
            // SAFETY: Just gained.
            let owned = unsafe { Owned::assume(request.into()) };
            owned.enqueue(Step::Finish, Kind::Prompt);
        }
        // SAFETY: The entry is in the queue, whose lock is held. From when `head` is null on the
        // request may be gone.
        unsafe { bindings::miniring_wait_take(wait) };
        waker.head.store(ptr::null_mut(), Release);
        return 1;
    }
    let events = request.wakers.events();
    if key != 0 && key & events & 0xffff == 0 {
        return 0;
    }
    if key & bindings::CONST_EPOLL_URING_WAKE != 0 {
        // Caused by a completion, which the owner may be posting at this moment: to report it could
        // cause another, without end. `arm` stores these before it adds an entry.
        request
            .wakers
            .events
            .store(events | bindings::CONST_EPOLLONESHOT, Relaxed);
    }
    if let Some(owned) = Owned::claim(request) {
        if key != 0 && owned.reports_once() {
            // It is going to complete. What is left in a queue costs every other wake-up of it.
            //
            // SAFETY: The entry is in the queue, whose lock is held.
            unsafe { bindings::miniring_wait_take(wait) };
            waker.head.store(ptr::null_mut(), Release);
        }
        go_on(owned, Step::Event(key));
    }
    1
}
