// SPDX-License-Identifier: GPL-2.0

//! Workqueues: two for each user, one for the module.
//!
//! All rings of a user share two queues: one for requests that continue after their event, the
//! other for work that may block. So a request that blocks holds up no request of another user.
//!
//! All users share a third queue, which stops threads and destroys the queues of a user without
//! rings. No request runs in the third queue.
//!
//! Locking: the mutex of the list of users is taken when a ring is made or freed, with no lock of
//! the ring held.

use crate::bindings;
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    list::{
        impl_list_arc_safe,
        impl_list_item,
        List,
        ListArc,
        ListLinks, //
    },
    new_mutex,
    new_work,
    prelude::*,
    sync::{
        atomic::{
            ordering::{
                Acquire,
                Relaxed,
                Release, //
            },
            Atomic, //
        },
        Arc,
        Mutex,
        MutexGuard,
        UniqueArc, //
    },
    task::Kuid,
    workqueue::{
        impl_has_work,
        Queue,
        Work,
        WorkItem, //
    }, //
};

/// Number of classes of inodes, by address.
const WRITERS: usize = 64;

/// Selects one of a user's workqueues.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Requests that continue; work that does not block.
    Prompt,
    /// Work that may block.
    Blocking,
}

/// A workqueue. Dropping it waits for its work items.
///
/// # Invariants
///
/// Only this value destroys the queue.
struct OwnedQueue(NonNull<bindings::workqueue_struct>);

// SAFETY: A workqueue may be used from any task.
unsafe impl Send for OwnedQueue {}
// SAFETY: A workqueue may be used from several tasks at a time.
unsafe impl Sync for OwnedQueue {}

impl OwnedQueue {
    /// Allocates a queue. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn new(name: &CStr) -> Result<Self> {
        // SAFETY: `name` is a NUL-terminated string, which is copied.
        let queue = unsafe { bindings::miniring_alloc_workqueue(name.as_char_ptr()) };
        // INVARIANT: The queue was allocated above.
        NonNull::new(queue).map(Self).ok_or(ENOMEM)
    }

    fn get(&self) -> &Queue {
        // SAFETY: Only `drop` destroys the queue (type invariants).
        unsafe { Queue::from_raw(self.0.as_ptr()) }
    }
}

impl Drop for OwnedQueue {
    fn drop(&mut self) {
        // SAFETY: No other code destroys the queue (type invariants). Process context: see
        // `EndQueue` and `Queues`.
        unsafe { bindings::destroy_workqueue(self.0.as_ptr()) };
    }
}

/// The queues of a user.
///
/// The last reference is dropped on the third queue, because the drop waits for the user's queues.
#[pin_data]
struct Queues {
    user: Kuid,
    prompt: OwnedQueue,
    blocking: OwnedQueue,
    /// A mutex for each class of inodes, so that workers write to a file one at a time.
    #[pin]
    writers: [Mutex<()>; WRITERS],
    /// Number of rings that use the queues. Changed with the mutex of the list held.
    rings: Atomic<usize>,
    #[pin]
    links: ListLinks,
    #[pin]
    end: Work<Self>,
}

impl_list_arc_safe! {
    impl ListArcSafe<0> for Queues { untracked; }
}
impl_list_item! {
    impl ListItem<0> for Queues { using ListLinks { self.links }; }
}
impl_has_work! {
    impl HasWork<Self> for Queues { self.end }
}

impl WorkItem for Queues {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        drop(this);
    }
}

kernel::sync::global_lock! {
    // SAFETY: Initialised by `EndQueue::new()` before there is a device to make a ring of.
    unsafe(uninit) static USERS: Mutex<List<Queues>> = List::new();
}

/// A ring's share in the queues of its user.
///
/// # Invariants
///
/// The queues are in `USERS`, and count this value. The field is `None` only while this value is
/// dropped.
pub(crate) struct UserQueues(Option<Arc<Queues>>);

impl UserQueues {
    /// Returns the queues of the current task's user. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, `ENODEV` while the module is not loaded.
    pub(crate) fn of_current() -> Result<Self> {
        if !is_open() {
            return Err(ENODEV);
        }
        let user = kernel::current!().uid();
        let mut users = USERS.lock();
        if let Some(queues) = users.iter().find(|queues| queues.user == user) {
            queues.rings.fetch_add(1, Relaxed);
            // INVARIANT: The queues are in `USERS`, and the count includes this value.
            return Ok(Self(Some(queues.into())));
        }
        let queues = UniqueArc::pin_init(
            try_pin_init!(Queues {
                user,
                prompt: OwnedQueue::new(c"miniring")?,
                blocking: OwnedQueue::new(c"miniring_block")?,
                writers <- pin_init::pin_init_array_from_fn(|_| new_mutex!((), "miniring::Queues writers")),
                rings: Atomic::new(1),
                links <- ListLinks::new(),
                end <- new_work!("miniring::Queues"),
            }? Error),
            GFP_KERNEL,
        )?;
        let queues = ListArc::from(queues);
        // INVARIANT: The queues are added to `USERS` below, with a count of 1.
        let this = Self(Some(queues.clone_arc()));
        users.push_back(queues);
        Ok(this)
    }

    /// Waits until no other worker of this user writes to `inode`, or to an inode of the same
    /// class. May sleep.
    ///
    /// A write at the file's position loads and later stores the position, without a lock of the
    /// file. `io_uring` serialises its workers by inode for the same reason.
    pub(crate) fn writer(&self, inode: usize) -> Option<MutexGuard<'_, ()>> {
        let hash = (inode as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
        let queues = self.0.as_ref()?;
        Some(queues.writers.get(hash as usize % WRITERS)?.lock())
    }

    /// Returns the third queue. `None` only while `self` is dropped.
    pub(crate) fn ending(&self) -> Option<&Queue> {
        self.0.as_deref().map(end_queue)
    }

    /// Returns one of the user's queues. `None` only while `self` is dropped.
    pub(crate) fn get(&self, kind: Kind) -> Option<&Queue> {
        self.0.as_ref().map(|queues| match kind {
            Kind::Prompt => queues.prompt.get(),
            Kind::Blocking => queues.blocking.get(),
        })
    }
}

impl Drop for UserQueues {
    fn drop(&mut self) {
        let Some(queues) = self.0.take() else { return };
        let mut users = USERS.lock();
        if queues.rings.fetch_sub(1, Relaxed) != 1 {
            return;
        }
        // SAFETY: `queues` is in `users` (type invariants).
        let entry = unsafe { users.remove(&queues) };
        drop(users);
        // `queues` is not the last reference.
        drop(entry);
        let _ = end_queue(&queues).enqueue(queues);
    }
}

static END: Atomic<*mut bindings::workqueue_struct> = Atomic::new(ptr::null_mut());

/// Owns the third queue.
///
/// # Invariants
///
/// `END` points to the queue.
pub(crate) struct EndQueue {
    _queue: OwnedQueue,
}

impl EndQueue {
    /// Makes the third queue and the list of users. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    ///
    /// # Safety
    ///
    /// Called once.
    pub(crate) unsafe fn new() -> Result<Self> {
        // SAFETY: This function is called once (caller).
        unsafe { USERS.init() };
        let queue = OwnedQueue::new(c"miniring_end")?;
        END.store(queue.0.as_ptr(), Release);
        Ok(Self { _queue: queue })
    }
}

impl Drop for EndQueue {
    fn drop(&mut self) {
        END.store(ptr::null_mut(), Release);
    }
}

/// Returns whether rings can be made: their lists exist.
pub(crate) fn is_open() -> bool {
    !END.load(Acquire).is_null()
}

/// Returns the third queue.
fn end_queue(_queues: &Queues) -> &'static Queue {
    // SAFETY: `EndQueue` exists while any `Queues` exists: `Queues` are made only while `EndQueue`
    // exists, and `Workers` drops `EndQueue` when no ring has `Queues`.
    unsafe { Queue::from_raw(END.load(Acquire)) }
}
