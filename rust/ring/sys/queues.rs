// SPDX-License-Identifier: GPL-2.0

//! The workqueues.
//!
//! Each user has two, which all of that user's rings share: requests that wait for something
//! continue in one when it has happened, and work that may block runs in the other. So a request
//! that blocks holds up no request of another user. A third queue, which is everybody's, ends
//! things: it stops threads, and destroys the queues of a user whose last ring is gone. No request
//! needs that one.
//!
//! The list's mutex is taken when a ring is made or freed, with no lock of the ring's held.

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

/// Classes that inodes are divided into, by address.
const WRITERS: usize = 64;

/// Which of a user's workqueues.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    /// Requests that continue; work that does not block.
    Prompt,
    /// Work that may block.
    Blocking,
}

/// A workqueue. Dropping it waits for what is on it.
///
/// # Invariants
///
/// A queue that nobody else destroys.
struct OwnedQueue(NonNull<bindings::workqueue_struct>);

// SAFETY: A workqueue may be used from any task.
unsafe impl Send for OwnedQueue {}
// SAFETY: As above, by several at a time.
unsafe impl Sync for OwnedQueue {}

impl OwnedQueue {
    /// May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    fn new(name: &CStr) -> Result<Self> {
        // SAFETY: The name is a string, which is copied.
        let queue = unsafe { bindings::miniring_alloc_workqueue(name.as_char_ptr()) };
        // INVARIANT: Made just now.
        NonNull::new(queue).map(Self).ok_or(ENOMEM)
    }

    fn get(&self) -> &Queue {
        // SAFETY: By the type invariants the queue exists as long as `self`.
        unsafe { Queue::from_raw(self.0.as_ptr()) }
    }
}

impl Drop for OwnedQueue {
    fn drop(&mut self) {
        // SAFETY: By the type invariants. Process context: see `EndQueue` and `Queues`.
        unsafe { bindings::destroy_workqueue(self.0.as_ptr()) };
    }
}

/// What a user's rings share.
///
/// The last reference is dropped on the queue that ends things, since dropping waits for the user's
/// queues.
#[pin_data]
struct Queues {
    user: Kuid,
    prompt: OwnedQueue,
    blocking: OwnedQueue,
    /// One for each class of inodes: workers write to a file one at a time.
    #[pin]
    writers: [Mutex<()>; WRITERS],
    /// How many rings use these. Changed with the list's mutex held.
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
/// The queues are in `USERS`, and count this value. It is `None` only while this is dropped.
pub(crate) struct UserQueues(Option<Arc<Queues>>);

impl UserQueues {
    /// Those of the current task's user. May sleep.
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
            // INVARIANT: Found in `USERS`, and counted.
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
        // INVARIANT: It goes into `USERS`, with a count of 1.
        let this = Self(Some(queues.clone_arc()));
        users.push_back(queues);
        Ok(this)
    }

    /// Waits until no other worker of this user writes to `inode`, or to one of the same class. May
    /// sleep.
    ///
    /// Writes at the file's position read it, write and store it, without a lock of the file's.
    /// `io_uring` has its workers write to an inode one after the other for that.
    pub(crate) fn writer(&self, inode: usize) -> Option<MutexGuard<'_, ()>> {
        let hash = (inode as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
        let queues = self.0.as_ref()?;
        Some(queues.writers.get(hash as usize % WRITERS)?.lock())
    }

    /// The queue that ends things. `None` only while `self` is dropped.
    pub(crate) fn ending(&self) -> Option<&Queue> {
        self.0.as_deref().map(end_queue)
    }

    /// One of the two queues. `None` only while `self` is dropped.
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
        // SAFETY: By the type invariants it is in this list.
        let entry = unsafe { users.remove(&queues) };
        drop(users);
        // Not the last reference.
        drop(entry);
        let _ = end_queue(&queues).enqueue(queues);
    }
}

static END: Atomic<*mut bindings::workqueue_struct> = Atomic::new(ptr::null_mut());

/// The queue that ends things, while it exists.
///
/// # Invariants
///
/// The queue is what `END` points to.
pub(crate) struct EndQueue {
    _queue: OwnedQueue,
}

impl EndQueue {
    /// Makes the queue, and the list of users. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    ///
    /// # Safety
    ///
    /// Called once.
    pub(crate) unsafe fn new() -> Result<Self> {
        // SAFETY: By the safety requirements.
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

/// Whether rings can be made: the lists that they are in exist.
pub(crate) fn is_open() -> bool {
    !END.load(Acquire).is_null()
}

/// The queue that ends things.
fn end_queue(_queues: &Queues) -> &'static Queue {
    // SAFETY: `Queues` exist only while `EndQueue` does: `UserQueues::of_current` makes them only
    // then, and `Workers` drops the latter when no ring has any.
    unsafe { Queue::from_raw(END.load(Acquire)) }
}
