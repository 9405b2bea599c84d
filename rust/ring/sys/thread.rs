// SPDX-License-Identifier: GPL-2.0

//! A thread of the current process, for IORING_SETUP_SQPOLL.
//!
//! `vhost_task_create()` makes a thread with the memory, credentials, namespaces, limits and
//! signals of its maker. The exit of the process, a SIGKILL and an exec end the thread, as they end
//! any other. The thread is made without descriptors, and adopts the table of its maker when it
//! first runs. So what it opens is what the process has open, and never more.
//!
//! The thread holds its [`Job`], a ring, and the ring holds the thread until its file is released.
//! Then the thread ends at its next step, and a work item stops it. Nothing waits for a thread that
//! is inside an operation, so closing a ring never blocks.
//!
//! The lock is a leaf.

use super::queues::UserQueues;
use crate::bindings;
use core::ptr;
use kernel::{
    error::from_err_ptr,
    new_work,
    prelude::*,
    str::CString,
    sync::{
        atomic::{
            ordering::{
                Acquire,
                Full,
                Relaxed,
                Release, //
            },
            Atomic,
            AtomicFlag, //
        },
        Arc,
        ArcBorrow, //
    },
    workqueue::{
        impl_has_work,
        Work,
        WorkItem, //
    }, //
};

/// What a thread does.
pub(crate) trait Job: Send + Sync {
    /// Works until `thread`, which is the current one, is over or has a signal. May sleep.
    fn work(self: Arc<Self>, thread: &Thread);

    /// Notes that `work` is not called any more.
    fn ended(&self);

    /// Cancels what the thread began, which is killed. Process context.
    fn killed(&self);

    /// Returns the queues of the thread's user, the ending one of which stops the thread.
    fn queues(&self) -> &UserQueues;
}

/// A thread.
///
/// # Invariants
///
/// `task` is null, or a thread that was started with this value for its data and that nobody
/// stopped. `files` is null, or a descriptor table with a reference.
#[pin_data]
pub(crate) struct Thread {
    job: Arc<dyn Job>,
    cpu: Option<u32>,
    task: Atomic<*mut c_void>,
    /// To be adopted.
    files: Atomic<*mut c_void>,
    /// The thread is to end.
    over: AtomicFlag,
    /// The thread does not work any more.
    left: AtomicFlag,
    /// A work item stops the thread, or did.
    stopping: AtomicFlag,
    #[pin]
    stop: Work<Self>,
}

impl_has_work! {
    impl HasWork<Self> for Thread { self.stop }
}

/// Whether the kernel can make such threads.
pub(crate) fn available() -> bool {
    // SAFETY: Returns a constant.
    unsafe { bindings::miniring_has_threads() }
}

impl Thread {
    /// Starts a thread of the current process that does `job`. May sleep.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` if the kernel has no such threads, `EAGAIN` at a limit of the process or its
    /// cgroup, `ENOMEM`.
    pub(crate) fn start(job: Arc<dyn Job>, cpu: Option<u32>) -> Result<Arc<Self>> {
        let thread = Arc::pin_init(
            pin_init!(Self {
                job,
                cpu,
                task: Atomic::new(ptr::null_mut()),
                files: Atomic::new(ptr::null_mut()),
                over: AtomicFlag::new(false),
                left: AtomicFlag::new(false),
                stopping: AtomicFlag::new(false),
                stop <- new_work!("miniring::Thread"),
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        let name = CString::try_from_fmt(fmt!("mr-sqp-{}", kernel::current!().pid()))?;
        // The thread's own reference, which `WorkItem::run` drops.
        let data = Arc::into_raw(thread.clone());
        // SAFETY:
        // - The thread calls `step` and `killed` only, with `data`.
        // - `data` has a reference until the thread was stopped.
        // - The name is copied.
        let task = from_err_ptr(unsafe {
            bindings::miniring_thread_create(
                Some(step),
                Some(killed),
                data.cast_mut().cast(),
                name.as_char_ptr(),
            )
        });
        let task = match task {
            Ok(task) => task,
            Err(error) => {
                // SAFETY: Nobody else has the reference from `into_raw`.
                drop(unsafe { Arc::from_raw(data) });
                return Err(error);
            }
        };
        // SAFETY: The current task has a descriptor table.
        let files = unsafe { bindings::miniring_get_files() };
        // INVARIANT: The table has a reference for this value, and the thread is started below.
        thread.files.store(files, Relaxed);
        thread.task.store(task, Release);
        // SAFETY: The thread was made above, and not started before.
        unsafe { bindings::miniring_thread_start(task) };
        Ok(thread)
    }

    /// Whether the thread is to end.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Acquire)
    }

    /// Has the thread end. Does not wait. The caller wakes the thread where that sleeps.
    pub(crate) fn end(self: &Arc<Self>) {
        // A full barrier: either this call sees that the thread has left, or the thread sees that it
        // is over.
        self.over.xchg(true, Full);
        if self.left.load(Acquire) {
            self.stop_later();
        }
    }

    /// Notes that the current thread, which is this one, does not work any more.
    fn leave(self: &Arc<Self>) {
        self.left.xchg(true, Full);
        if self.is_over() {
            self.stop_later();
        }
    }

    /// Has a work item stop the thread.
    fn stop_later(self: &Arc<Self>) {
        if !self.stopping.xchg(true, Full) {
            if let Some(queue) = self.job.queues().ending() {
                let _ = queue.enqueue(self.clone());
            }
        }
    }

    /// Adopts the descriptor table of the process, once. In the thread.
    fn adopt(&self) {
        let files = self.files.xchg(ptr::null_mut(), Relaxed);
        if files.is_null() {
            return;
        }
        // SAFETY: By the type invariants the table has a reference, which goes to the current task.
        unsafe { bindings::miniring_adopt_files(files) };
        if let Some(cpu) = self.cpu {
            // SAFETY: The current task is a thread of ours.
            unsafe { bindings::miniring_stay_on_cpu(cpu) };
        }
    }
}

impl WorkItem for Thread {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let task = this.task.load(Acquire);
        // SAFETY: By the type invariants nobody stopped the thread, and `stop_later` queues this
        // once. After the call the thread is in no function of this module.
        unsafe { bindings::miniring_thread_stop(task) };
        // SAFETY: The thread's own reference, from `start`, which the thread does not use any more.
        drop(unsafe { Arc::from_raw(Arc::as_ptr(&this)) });
    }
}

/// What the thread does again and again until it is stopped. Returns whether it did anything; if
/// not, it sleeps.
///
/// # Safety
///
/// `data` is a [`Thread`] with a reference, and the current task is its thread, in the state
/// `TASK_INTERRUPTIBLE`.
unsafe extern "C" fn step(data: *mut c_void) -> bool {
    // SAFETY: By the safety requirements.
    let thread = unsafe { borrow(data) };
    if thread.left.load(Relaxed) {
        // In the state in which a stop wakes it.
        return false;
    }
    // SAFETY: Changes the state of the current task.
    unsafe { bindings::miniring_set_running() };
    thread.adopt();
    thread.job.clone().work(&thread);
    if thread.is_over() {
        thread.job.ended();
        thread.leave();
    }
    true
}

/// The process was killed, exits or executes another program. The thread ends behind this.
///
/// # Safety
///
/// As for [`step`], in any state.
unsafe extern "C" fn killed(data: *mut c_void) {
    // SAFETY: By the safety requirements.
    let thread = unsafe { borrow(data) };
    // The exit of the thread drops what it adopted.
    thread.adopt();
    thread.job.ended();
    thread.job.killed();
    thread.leave();
}

/// # Safety
///
/// `data` is a [`Thread`] with a reference that is not dropped meanwhile.
unsafe fn borrow(data: *mut c_void) -> Arc<Thread> {
    // SAFETY: By the safety requirements.
    unsafe { ArcBorrow::from_raw(data.cast::<Thread>()) }.into()
}
