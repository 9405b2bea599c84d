// SPDX-License-Identifier: GPL-2.0

//! A thread of the current process, for IORING_SETUP_SQPOLL.
//!
//! `vhost_task_create()` makes a thread with the memory, credentials, namespaces, limits and
//! signals of its maker. The exit of the process, a SIGKILL and an exec end the thread, as any
//! other thread. The thread is made without descriptors, and adopts the descriptor table of its
//! maker when it first runs.
//!
//! The thread runs a [`Job`], the ring, and holds a reference to the ring. The ring holds the
//! thread until the ring's file is released. Then the thread leaves its loop after the current
//! step, and a work item waits for the thread and frees it. So closing a ring never blocks, even
//! while the thread is inside an operation.
//!
//! Locking: the lock is a leaf.

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

/// The work of a thread.
pub(crate) trait Job: Send + Sync {
    /// Works until `thread`, the current one, must end or has a signal. May sleep.
    fn work(self: Arc<Self>, thread: &Thread);

    /// Marks the job as ended: no call of `work` follows.
    fn ended(&self);

    /// Cancels the work in flight of a killed thread.
    ///
    /// Context: process.
    fn killed(&self);

    /// Returns the queues of the thread's user. The third queue stops the thread.
    fn queues(&self) -> &UserQueues;
}

/// A thread with a [`Job`].
///
/// # Invariants
///
/// - `task` is null, or a thread that was started with this value as its data and was not stopped.
/// - `files` is null, or a descriptor table with a reference.
#[pin_data]
pub(crate) struct Thread {
    job: Arc<dyn Job>,
    cpu: Option<u32>,
    task: Atomic<*mut c_void>,
    /// The descriptor table that the thread adopts.
    files: Atomic<*mut c_void>,
    /// The thread must end.
    over: AtomicFlag,
    /// The thread works no longer.
    left: AtomicFlag,
    /// The work item that stops the thread was queued.
    stopping: AtomicFlag,
    #[pin]
    stop: Work<Self>,
}

impl_has_work! {
    impl HasWork<Self> for Thread { self.stop }
}

/// Returns whether the kernel has `vhost_task_create()`.
pub(crate) fn available() -> bool {
    // SAFETY: The helper returns a constant.
    unsafe { bindings::miniring_has_threads() }
}

impl Thread {
    /// Starts a thread of the current process, which does `job`. May sleep.
    ///
    /// # Errors
    ///
    /// `EOPNOTSUPP` without `vhost_task_create()`, `EAGAIN` at a limit of the process or its
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
        // The reference of the thread, which `WorkItem::run` drops.
        let data = Arc::into_raw(thread.clone());
        // SAFETY:
        // - The thread calls only `step` and `killed`, with `data`.
        // - `data` has a reference until the thread is stopped.
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
                // SAFETY: The thread was not made, so this code owns the reference from `into_raw`.
                drop(unsafe { Arc::from_raw(data) });
                return Err(error);
            }
        };
        // SAFETY: The current task has a descriptor table, because it is in a system call.
        let files = unsafe { bindings::miniring_get_files() };
        // INVARIANT: `files` has a reference, taken above. `task` is started below.
        thread.files.store(files, Relaxed);
        thread.task.store(task, Release);
        // SAFETY: `task` was made above, and was not started.
        unsafe { bindings::miniring_thread_start(task) };
        Ok(thread)
    }

    /// Returns whether the thread must end.
    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Acquire)
    }

    /// Ends the thread, without waiting. The caller wakes the thread.
    pub(crate) fn end(self: &Arc<Self>) {
        // A full barrier: either this call sees `left`, or the thread sees `over`.
        self.over.xchg(true, Full);
        if self.left.load(Acquire) {
            self.stop_later();
        }
    }

    /// Marks that this thread, the current one, works no longer.
    fn leave(self: &Arc<Self>) {
        self.left.xchg(true, Full);
        if self.is_over() {
            self.stop_later();
        }
    }

    /// Queues the work item that stops the thread, once.
    fn stop_later(self: &Arc<Self>) {
        if !self.stopping.xchg(true, Full) {
            if let Some(queue) = self.job.queues().ending() {
                let _ = queue.enqueue(self.clone());
            }
        }
    }

    /// Adopts the descriptor table of the process, once.
    ///
    /// Context: the thread.
    fn adopt(&self) {
        let files = self.files.xchg(ptr::null_mut(), Relaxed);
        if files.is_null() {
            return;
        }
        // SAFETY: `files` has a reference (type invariants), which passes to the current task.
        unsafe { bindings::miniring_adopt_files(files) };
        if let Some(cpu) = self.cpu {
            // SAFETY: The current task is a thread of miniring.
            unsafe { bindings::miniring_stay_on_cpu(cpu) };
        }
    }
}

impl WorkItem for Thread {
    type Pointer = Arc<Self>;

    fn run(this: Arc<Self>) {
        let task = this.task.load(Acquire);
        // SAFETY: `task` was not stopped (type invariants), and `stop_later` queues this work once.
        // After the call the thread is in no function of this module.
        unsafe { bindings::miniring_thread_stop(task) };
        // SAFETY: `start` made this reference for the thread, which has ended.
        drop(unsafe { Arc::from_raw(Arc::as_ptr(&this)) });
    }
}

/// Runs one step of the thread, which calls this function until it is stopped. Returns false if the
/// thread must sleep.
///
/// # Safety
///
/// - `data` is a [`Thread`] with a reference.
/// - The current task is the thread of `data`, in the state `TASK_INTERRUPTIBLE`.
unsafe extern "C" fn step(data: *mut c_void) -> bool {
    // SAFETY: `data` is a `Thread` with a reference (caller).
    let thread = unsafe { borrow(data) };
    if thread.left.load(Relaxed) {
        // The task stays in TASK_INTERRUPTIBLE, so that a stop wakes it.
        return false;
    }
    // SAFETY: Only changes the state of the current task.
    unsafe { bindings::miniring_set_running() };
    thread.adopt();
    thread.job.clone().work(&thread);
    if thread.is_over() {
        thread.job.ended();
        thread.leave();
    }
    true
}

/// Ends the job and cancels its work in flight: the process was killed, exits or executes another
/// program. The thread ends after this call.
///
/// # Safety
///
/// As for [`step`], in any task state.
unsafe extern "C" fn killed(data: *mut c_void) {
    // SAFETY: `data` is a `Thread` with a reference (caller).
    let thread = unsafe { borrow(data) };
    // Adopt the table here: the exit of the thread drops it.
    thread.adopt();
    thread.job.ended();
    thread.job.killed();
    thread.leave();
}

/// # Safety
///
/// `data` is a [`Thread`] with a reference that is not dropped during the call.
unsafe fn borrow(data: *mut c_void) -> Arc<Thread> {
    // SAFETY: `data` is a `Thread` with a reference (caller).
    unsafe { ArcBorrow::from_raw(data.cast::<Thread>()) }.into()
}
