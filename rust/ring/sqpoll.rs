// SPDX-License-Identifier: GPL-2.0

//! IORING_SETUP_SQPOLL: a thread of the kernel that submits.
//!
//! It looks at the SQ until nothing has come for the idle time; then it sets IORING_SQ_NEED_WAKEUP
//! and sleeps until an ENTER has IORING_ENTER_SQ_WAKEUP. It submits with the credentials, the
//! address space and the open files of the ring's creator, and takes the ring's mutex for it: the
//! creator still registers.
//!
//! The thread ends when the ring's file is released, or when the creator's process exits: its
//! address space is borrowed for each submission only. After that, ENTER fails with `EOWNERDEAD`.

use super::{
    target::Files,
    wait::WaitQueue,
    worker::Identity,
    Ring, //
};
use crate::{
    bindings,
    pure::geometry, //
};
use core::ptr::{
    self,
    NonNull, //
};
use kernel::{
    error::from_err_ptr,
    fs::File,
    new_mutex,
    prelude::*,
    sync::{
        aref::ARef,
        atomic::{
            ordering::{Acquire, Release},
            AtomicFlag, //
        },
        Arc,
        ArcBorrow,
        Mutex, //
    },
    task::Task, //
};

/// What SETUP asks for.
#[derive(Clone, Copy)]
pub(crate) struct Wish {
    /// How long the thread looks for more before it sleeps, in nanoseconds.
    pub(crate) idle_ns: i64,
    /// The CPU that it stays on.
    pub(crate) cpu: Option<u32>,
}

/// The polling of a ring.
#[pin_data]
pub(crate) struct SqPoll {
    wish: Wish,
    /// Whom the thread acts for.
    identity: Identity,
    files: Files,
    creator: ARef<Task>,
    /// The first of its process, which may have files when the creator has ended.
    leader: ARef<Task>,
    /// The thread sleeps here.
    #[pin]
    idle: WaitQueue,
    /// Who waits for room in the SQ does here.
    #[pin]
    room: WaitQueue,
    /// The creator's process exits.
    orphaned: AtomicFlag,
    /// There is no thread any more.
    ended: AtomicFlag,
    /// The thread, from its start until it is stopped.
    #[pin]
    thread: Mutex<Option<ARef<Task>>>,
}

impl SqPoll {
    /// For the current task.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(wish: Wish) -> Result<Pin<KBox<Self>>> {
        KBox::pin_init(
            pin_init!(Self {
                wish,
                identity: Identity::current(),
                files: Files::current(),
                creator: ARef::from(&**kernel::current!()),
                leader: ARef::from(kernel::current!().group_leader()),
                idle <- WaitQueue::new(c"miniring::sq_idle", kernel::static_lock_class!()),
                room <- WaitQueue::new(c"miniring::sq_room", kernel::static_lock_class!()),
                orphaned: AtomicFlag::new(false),
                ended: AtomicFlag::new(false),
                thread <- new_mutex!(None, "miniring::SqPoll"),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// `EOWNERDEAD` if there is no thread any more.
    pub(crate) fn check(&self) -> Result {
        if self.ended.load(Acquire) {
            return Err(Error::from_errno(-(bindings::EOWNERDEAD as c_int)));
        }
        Ok(())
    }

    /// Has the thread look again.
    pub(crate) fn wake(&self) {
        self.idle.wake();
    }

    /// Whether the current task, which is the thread, is to end.
    fn is_over(&self) -> bool {
        // SAFETY: The current task is a kernel thread.
        let stopped = unsafe { bindings::kthread_should_stop() };
        stopped || self.orphaned.load(Acquire)
    }

    /// The last of those with the table of descriptors `files`, which may be the creator's, exits.
    pub(crate) fn leave(&self, files: Files) {
        if files == self.files {
            self.orphaned.store(true, Release);
            self.wake();
        }
    }
}

impl Ring {
    /// Starts the thread, if there is to be one. It has to be stopped before the caller's reference
    /// goes. May sleep.
    ///
    /// # Errors
    ///
    /// What `kthread_create()` says.
    pub(super) fn start_polling(self: &Arc<Self>) -> Result {
        let Some(sq) = &self.sq else {
            return Ok(());
        };
        // SAFETY: The name is a string. The ring lives until the thread was stopped, by the
        // requirement above; a thread that never ran does not look at it.
        let thread = from_err_ptr(unsafe {
            bindings::kthread_create_on_node(
                Some(main),
                ptr::from_ref::<Ring>(self).cast_mut().cast(),
                bindings::NUMA_NO_NODE,
                c"miniring-sq-%d".as_char_ptr(),
                sq.creator.pid(),
            )
        })?;
        // SAFETY: The thread is there until it is stopped, at least; it does not run yet.
        unsafe {
            if let Some(cpu) = sq.wish.cpu {
                bindings::kthread_bind(thread, cpu);
            }
            *sq.thread.lock() = Some(ARef::from(&*thread.cast::<Task>()));
            bindings::wake_up_process(thread);
        }
        Ok(())
    }

    /// Stops the thread, if there is one. May sleep.
    pub(super) fn stop_polling(&self) {
        let Some(sq) = &self.sq else { return };
        let thread = sq.thread.lock().take();
        if let Some(thread) = thread {
            // SAFETY: A kernel thread of ours, with a reference.
            unsafe { bindings::kthread_stop(thread.as_ptr()) };
        }
        self.polling_ended(sq);
    }

    /// Waits until the SQ has room. May sleep; a signal ends that.
    pub(super) fn wait_for_room(&self, sq: &SqPoll) {
        let _ = sq
            .room
            .wait(None, || self.sq_has_room() || sq.ended.load(Acquire));
    }

    /// Whether there are SQEs for the thread.
    fn has_sqes(&self) -> bool {
        self.is_enabled() && geometry::distance(self.shared.sq_tail(), self.cached_sq_head()) != 0
    }

    /// Submits what there is. Returns how much that was.
    fn submit_polled(self: &Arc<Self>) -> Result<u32> {
        let in_flight = self.notifier.in_flight()?;
        let mut access = self.gate.access()?;
        self.submit(&mut access, &in_flight, u32::MAX)
    }

    /// There is no thread any more. Whoever goes by the flag makes the call that says so.
    fn polling_ended(&self, sq: &SqPoll) {
        sq.ended.store(true, Release);
        self.shared.raise_sq_flags(bindings::IORING_SQ_NEED_WAKEUP);
        sq.room.wake();
    }

    /// What the thread does.
    fn poll_sq(self: &Arc<Self>, sq: &SqPoll) {
        let mut until = now().saturating_add(sq.wish.idle_ns);
        loop {
            if sq.is_over() {
                break;
            }
            if self.has_sqes() {
                let Ok(submitted) = sq.identity.assume(|| self.submit_polled()) else {
                    // The address space is gone.
                    break;
                };
                sq.room.wake();
                if submitted.is_ok_and(|nr| nr != 0) {
                    until = now().saturating_add(sq.wish.idle_ns);
                }
            }
            // SAFETY: Nothing is locked here.
            unsafe { bindings::miniring_cond_resched() };
            if now() < until {
                core::hint::spin_loop();
                continue;
            }
            // Said before the tail is looked at once more, with a full barrier between: either the
            // SQEs of who reads the flag after publishing them are seen, or the flag is.
            self.shared.raise_sq_flags(bindings::IORING_SQ_NEED_WAKEUP);
            let _ = sq.idle.wait(None, || self.has_sqes() || sq.is_over());
            self.shared.lower_sq_flags(bindings::IORING_SQ_NEED_WAKEUP);
            until = now().saturating_add(sq.wish.idle_ns);
        }
        self.polling_ended(sq);
    }
}

fn now() -> i64 {
    // SAFETY: May be called in any context.
    unsafe { bindings::ktime_get() }
}

/// # Safety
///
/// `data` is a ring, which lives until the current thread was stopped.
unsafe extern "C" fn main(data: *mut c_void) -> c_int {
    // SAFETY: By the safety requirements.
    let ring: Arc<Ring> = unsafe { ArcBorrow::from_raw(data.cast::<Ring>()) }.into();
    if let Some(sq) = &ring.sq {
        ring.poll_sq(sq);
    }
    0
}

/// Whom the current task acts for, if it is such a thread.
fn with_polled<T>(action: impl FnOnce(&SqPoll) -> T) -> Option<T> {
    let task = Task::current_raw();
    // SAFETY: The current task. That function has none but rings for its data, which live as long
    // as it runs.
    let ring = unsafe {
        let mine: ThreadFn = main;
        if !bindings::miniring_kthread_func(task).is_some_and(|func| ptr::fn_addr_eq(func, mine)) {
            return None;
        }
        &*bindings::kthread_data(task).cast::<Ring>()
    };
    ring.sq.as_deref().map(action)
}

type ThreadFn = unsafe extern "C" fn(*mut c_void) -> c_int;

/// The table of descriptors of whose request the current task makes.
pub(super) fn files() -> Files {
    with_polled(|sq| sq.files).unwrap_or_else(Files::current)
}

/// The task whose request the current one makes.
pub(super) fn submitter() -> ARef<Task> {
    with_polled(|sq| sq.creator.clone()).unwrap_or_else(|| ARef::from(&**kernel::current!()))
}

/// What the creator has open as `fd`, if the current task is such a thread. If that was a thread
/// which has ended, it is what its process has.
pub(super) fn creators_file(fd: u32) -> Option<Option<ARef<File>>> {
    with_polled(|sq| {
        // SAFETY: The task is held.
        let ended = unsafe { bindings::miniring_exiting(sq.creator.as_ptr()) };
        open_file(if ended { &sq.leader } else { &sq.creator }, fd)
    })
}

/// What `task` has open as `fd`, unless that is no more than a path.
fn open_file(task: &Task, fd: u32) -> Option<ARef<File>> {
    let mut found = fd;
    // SAFETY: The task is there. The file comes with a reference, and nothing here holds a position's
    // lock across calls.
    let file = unsafe {
        let file = NonNull::new(bindings::fget_task_next(task.as_ptr(), &mut found))?;
        ARef::from_raw(file.cast::<File>())
    };
    // SAFETY: The mode of an open file does not change.
    let is_path = unsafe { (*file.as_ptr()).f_mode } & bindings::CONST_FMODE_PATH != 0;
    (found == fd && !is_path).then_some(file)
}
