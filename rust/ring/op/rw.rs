// SPDX-License-Identifier: GPL-2.0

//! IORING_OP_READ, WRITE, READV, WRITEV, READ_FIXED and WRITE_FIXED.
//!
//! The submitter makes an attempt that must not wait, on its stack. If the attempt would wait, the
//! request waits for a file that can be polled, and a worker retries. For any other file, a worker
//! that may block issues the request. Such a worker is not interrupted: a cancel returns
//! `-EALREADY`, and the request completes when the file lets it. A signalfd shows the submitter's
//! own signals, so the submitter's task retries.

use super::{
    common::Context,
    poll::ALWAYS,
    transfer::{
        check_ioprio,
        Facts,
        Plain,
        Transfer, //
    }, //
};
use crate::{
    bindings,
    pure::ownership::Word,
    ring::{
        abi::{
            sqe::Sqe,
            uaccess::read_iovec, //
        },
        req::{
            core::Target,
            defer::hand_over,
            operation::{
                Operation,
                OwnedOf,
                Wait, //
            },
            outcome::Outcome,
            poster::Poster,
            request::{
                Issued,
                Step, //
            }, //
        },
        sq::buffers::{
            Buffer,
            Direction,
            MAX_TRANSFER, //
        },
        sys::{
            identity::Identity,
            queues::Kind, //
        }, //
    }, //
};
use core::{
    mem::MaybeUninit,
    ptr, //
};
use kernel::{
    error::to_result,
    prelude::*,
    sync::Arc, //
};

/// Number of attempts that may fail on a ready file, before a worker blocks in the file.
const RETRIES: u32 = 128;

/// The memory of a request.
enum Memory {
    User(Imported),
    Fixed {
        buffer: Arc<Buffer>,
        addr: u64,
        len: u32,
    },
    /// The memory was invalid; the completion reports this error.
    Missing(Error),
}

/// User memory, checked.
///
/// # Invariants
///
/// `iter` describes user memory, and holds no pointer but to `array`. `array` is null or came from
/// `kmalloc()`.
struct Imported {
    iter: bindings::iov_iter,
    array: *mut bindings::iovec,
    /// The address, if the memory is one piece and `array` is null.
    addr: u64,
}

// SAFETY: `iter` has addresses of user memory, which an attempt uses in their address space.
// `array` is owned.
unsafe impl Send for Imported {}

impl Imported {
    /// Imports `len` bytes at `addr`.
    fn one(direction: Direction, addr: u64, len: u32) -> Result<Self> {
        let mut iter = MaybeUninit::<bindings::iov_iter>::zeroed();
        // SAFETY: `iter` is ours to write.
        to_result(unsafe {
            bindings::import_ubuf(
                direction.as_raw() as c_int,
                addr as usize as *mut c_void,
                len as usize,
                iter.as_mut_ptr(),
            )
        })?;
        // INVARIANT: `import_ubuf()` makes an iterator that holds no kernel pointer.
        Ok(Self {
            // SAFETY: Just initialised.
            iter: unsafe { iter.assume_init() },
            array: ptr::null_mut(),
            addr,
        })
    }

    /// Imports the memory of `len` iovecs at `addr`. Their layout is that of the ring, not of the
    /// task: `compat` is true if a 32-bit program made the ring.
    fn many(direction: Direction, addr: u64, len: u32, compat: bool) -> Result<Self> {
        if len == 0 {
            return Self::one(direction, 0, 0);
        }
        // SAFETY: Only reads the current task.
        if compat != unsafe { bindings::miniring_in_compat_syscall() } {
            return Self::many_of_other(direction, addr, len, compat);
        }
        let mut iter = MaybeUninit::<bindings::iov_iter>::zeroed();
        let mut single = bindings::iovec::default();
        let mut array = &raw mut single;
        // SAFETY: `iter` and `array` are local. `array` has room for one element, to which the
        // iterator does not point afterwards. For more elements the function allocates an array;
        // otherwise it sets `array` to null.
        let ret = unsafe {
            bindings::import_iovec(
                direction.as_raw() as c_int,
                addr as usize as *const bindings::iovec,
                len,
                1,
                &mut array,
                iter.as_mut_ptr(),
            )
        };
        to_result(ret as c_int)?;
        // INVARIANT: `iter` points to the array, or `array` is null.
        let mut imported = Self {
            // SAFETY: Just initialised.
            iter: unsafe { iter.assume_init() },
            array,
            addr: 0,
        };
        if array.is_null() && len == 1 {
            // SAFETY: The iterator is valid and has one piece.
            imported.addr = unsafe { bindings::miniring_iter_iov_addr(&mut imported.iter) } as u64;
        }
        Ok(imported)
    }

    /// Imports the iovecs if `import_iovec()` would assume the wrong layout, which it takes from
    /// the task. A kernel thread submits for a 32-bit program, or a 32-bit program received a ring.
    #[cold]
    fn many_of_other(direction: Direction, addr: u64, len: u32, compat: bool) -> Result<Self> {
        if len > bindings::UIO_MAXIOV {
            return Err(EINVAL);
        }
        let mut array = KVec::with_capacity(len as usize, GFP_KERNEL)?;
        let mut count = 0;
        for i in 0..len {
            let (base, len) = read_iovec(addr, i, compat)?;
            // SAFETY: Only compares addresses.
            if unsafe { !bindings::miniring_access_ok(base, len) } {
                return Err(EFAULT);
            }
            let len = len.min(MAX_TRANSFER - count);
            count += len;
            let iovec = bindings::iovec {
                iov_base: base as *mut c_void,
                iov_len: len,
            };
            array.push(iovec, GFP_KERNEL)?;
        }
        let (array, nr, _) = array.into_raw_parts();
        let mut iter = MaybeUninit::<bindings::iov_iter>::zeroed();
        // SAFETY: `iter` is local. The array has `nr` elements, of `count` bytes together, and
        // `Imported` keeps the array as long as the iterator.
        unsafe { bindings::iov_iter_init(iter.as_mut_ptr(), direction.as_raw(), array, nr, count) };
        // INVARIANT: The iterator points to `array`, which came from a `KVec`.
        Ok(Self {
            // SAFETY: Just initialised.
            iter: unsafe { iter.assume_init() },
            array,
            addr: 0,
        })
    }
}

impl Drop for Imported {
    fn drop(&mut self) {
        // SAFETY: `array` came from `kmalloc()` or is null (type invariants).
        unsafe { bindings::kfree(self.array.cast()) };
    }
}

/// Reads from a file or writes to it.
pub(crate) struct Rw {
    target: Option<Target>,
    memory: Memory,
    transfer: Transfer,
    /// Bytes transferred by the attempts so far.
    done: usize,
    retries: u32,
    /// A worker blocks in the file.
    block: bool,
    /// The task that a worker acts for; set when the request may need a worker.
    identity: Option<Identity>,
}

/// The result of an attempt.
enum Attempt {
    /// The transfer is over, with the result of all attempts.
    Done(Outcome),
    /// The attempt would have to wait.
    Again,
}

impl Rw {
    pub(super) fn prepare(sqe: &Sqe, context: &Context<'_>) -> Result<Self> {
        let opcode = u32::from(sqe.opcode);
        let write = matches!(
            opcode,
            bindings::IORING_OP_WRITE
                | bindings::IORING_OP_WRITEV
                | bindings::IORING_OP_WRITE_FIXED
        );
        let direction = if write {
            Direction::OutOf
        } else {
            Direction::Into
        };
        let ioprio = if sqe.ioprio != 0 {
            check_ioprio(sqe.ioprio)?;
            sqe.ioprio
        } else {
            // SAFETY: Only reads the current task.
            unsafe { bindings::miniring_current_ioprio() }
        };
        // Attributes are not supported.
        if sqe.pad != 0 {
            return Err(EINVAL);
        }
        let vectored = matches!(
            opcode,
            bindings::IORING_OP_READV | bindings::IORING_OP_WRITEV
        );
        let fixed = matches!(
            opcode,
            bindings::IORING_OP_READ_FIXED | bindings::IORING_OP_WRITE_FIXED
        );
        let memory = if u32::from(sqe.flags) & bindings::CONST_IOSQE_BUFFER_SELECT != 0 {
            if vectored && sqe.len != 1 {
                return Err(EINVAL);
            }
            Memory::Missing(ENOBUFS)
        } else if fixed {
            match context.buffer(sqe.buf_index) {
                Ok(buffer) => Memory::Fixed {
                    buffer,
                    addr: sqe.addr,
                    len: sqe.len,
                },
                Err(error) => Memory::Missing(error),
            }
        } else if vectored {
            Memory::User(Imported::many(
                direction,
                sqe.addr,
                sqe.len,
                context.compat,
            )?)
        } else {
            Memory::User(Imported::one(direction, sqe.addr, sqe.len)?)
        };
        Ok(Self {
            target: context.target(sqe),
            memory,
            transfer: Transfer {
                write,
                flags: sqe.op_flags,
                ioprio,
                stream: sqe.file_index as u8,
                pos: sqe.off as i64,
                moves: false,
            },
            done: 0,
            retries: RETRIES,
            block: false,
            identity: None,
        })
    }

    /// Stores the identity of the current task, for workers.
    pub(super) fn identify(&mut self) {
        self.identity = Some(Identity::current());
    }

    /// Transfers as much as possible, in the submitter's address space. Blocks only if `wait`;
    /// otherwise returns `Again` when the caller must retry.
    fn attempt(&mut self, wait: bool) -> Attempt {
        let Some(target) = &self.target else {
            return Attempt::Done(EBADF.into());
        };
        let file = match target {
            Target::File(file) => Facts::new(file, self.transfer.write),
            Target::Ring(_) => return Attempt::Done(EINVAL.into()),
        };
        if !wait && !file.heeds_nowait() && self.transfer.flags & bindings::CONST_RWF_NOWAIT == 0 {
            // A transfer on a ready file does not wait, or not for long.
            if !target.can_poll() || !target.is_ready(self.events()) {
                return Attempt::Again;
            }
        }
        loop {
            let (result, left, nowait) =
                match self
                    .memory
                    .transfer(&mut self.transfer, &file, self.done, wait)
                {
                    Ok(tried) => tried,
                    Err(error) => return Attempt::Done(error.into()),
                };
            match result {
                Err(EAGAIN) if !nowait && (!wait || target.can_poll() && !self.block) => {
                    return Attempt::Again
                }
                Err(error) if self.done == 0 => return Attempt::Done(error.into()),
                // The request succeeds with the bytes of earlier attempts.
                Err(_) => return Attempt::Done(self.outcome(left)),
                Ok(done) => {
                    self.done = self.done.saturating_add(done);
                    let left = left.saturating_sub(done);
                    if left == 0 || done == 0 || nowait || !file.is_complete_or_fails() {
                        return Attempt::Done(self.outcome(left));
                    }
                }
            }
        }
    }

    /// Returns the result when `left` bytes will not be transferred.
    fn outcome(&self, left: usize) -> Outcome {
        Outcome {
            res: self.done as i32,
            flags: 0,
            failed: left != 0,
        }
    }

    /// Returns the events to wait for before another attempt.
    fn events(&self) -> u32 {
        bindings::CONST_EPOLLPRI
            | bindings::CONST_EPOLLERR
            | if self.transfer.write {
                bindings::CONST_EPOLLOUT | bindings::CONST_EPOLLWRNORM
            } else {
                bindings::CONST_EPOLLIN | bindings::CONST_EPOLLRDNORM
            }
    }

    /// Makes an attempt by the submitter that does not wait. Returns the result if the transfer is
    /// over.
    pub(super) fn try_now(&mut self) -> Option<Outcome> {
        match self.attempt(false) {
            Attempt::Done(outcome) => Some(outcome),
            Attempt::Again => None,
        }
    }

    /// Makes an attempt by a worker, on behalf of the submitter.
    fn try_as_worker(&mut self, wait: bool) -> Attempt {
        let Some(identity) = self.identity.take() else {
            return Attempt::Done(ECANCELED.into());
        };
        let attempt = identity.assume(|| self.attempt(wait));
        self.identity = Some(identity);
        attempt.unwrap_or_else(|error| Attempt::Done(error.into()))
    }

    /// Returns the result if the transfer ends here; `None` if nothing was transferred.
    pub(super) fn so_far(&self) -> Option<Outcome> {
        (self.done != 0).then(|| self.outcome(1))
    }

    /// Returns the inode of a regular file that the request writes to.
    fn inode_written(&self) -> Option<usize> {
        match &self.target {
            Some(Target::File(file)) if self.transfer.write => {
                Facts::new(file, true).regular_inode()
            }
            _ => None,
        }
    }

    /// Returns whether waiting for readiness of the file does not help.
    fn has_to_block(&self) -> bool {
        match &self.target {
            Some(Target::File(file)) => {
                let file = Facts::new(file, self.transfer.write);
                self.block || !file.has_iterator() && !file.heeds_nowait()
            }
            _ => false,
        }
    }
}

impl Memory {
    /// Makes an attempt on the rest after the first `done` bytes. Also returns the size of the
    /// rest, and whether userspace asked not to wait.
    fn transfer(
        &mut self,
        transfer: &mut Transfer,
        file: &Facts<'_>,
        done: usize,
        wait: bool,
    ) -> Result<(Result<usize>, usize, bool)> {
        match self {
            Self::Missing(error) => Err(*error),
            Self::User(imported) => {
                // The file's operation advances a copy.
                // SAFETY: `imported.iter` is plain data, and initialised.
                let mut iter = unsafe { ptr::read(&imported.iter) };
                // SAFETY: `imported.iter` is valid (type invariants). Earlier attempts transferred
                // `done` bytes of its memory.
                let left = unsafe {
                    bindings::iov_iter_advance(&mut iter, done);
                    bindings::miniring_iov_iter_count(&iter)
                };
                let plain = if imported.array.is_null() {
                    Plain::One(imported.addr.wrapping_add(done as u64))
                } else {
                    Plain::Many
                };
                // SAFETY: `iter` is valid, made for this direction, and of `left` bytes.
                let (result, nowait) =
                    unsafe { transfer.attempt(file, &mut iter, left, plain, wait) };
                Ok((result, left, nowait))
            }
            Self::Fixed { buffer, addr, len } => {
                let direction = if transfer.write {
                    Direction::OutOf
                } else {
                    Direction::Into
                };
                // `done` is at most `len`.
                let left = len.saturating_sub(done as u32);
                let addr = addr.wrapping_add(done as u64);
                let mut iter = buffer.iter(addr, left, direction)?;
                let (left, plain) = (left as usize, Plain::One(addr));
                // SAFETY: `buffer.iter` made the iterator for this direction and `left` bytes.
                let (result, nowait) =
                    unsafe { transfer.attempt(file, iter.as_raw(), left, plain, wait) };
                Ok((result, left, nowait))
            }
        }
    }
}

impl Operation for Rw {
    const WAITS_FOR: Wait = Wait::Ready;

    fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    /// Issues a transfer, by the submitter or by a worker, which may block if `blocking`.
    fn issue(mut request: OwnedOf<Self>, blocking: bool, poster: &mut Poster<'_>) -> Issued {
        let worker = !poster.collects();
        loop {
            if worker {
                request.add_to_pending();
            }
            let in_task = request.wakers.is_of_task() && !request.is_elsewhere();
            if worker && !blocking && !in_task {
                // Any attempt may block: in a file without IOCB_NOWAIT, or in a fault that a
                // userfaultfd serves. Such an attempt must not hold up requests that do not block.
                return block(request);
            }
            if request.ownership.word() == Some(Word::Cancel) {
                return request.end_cancelled();
            }
            let (rw, this) = request.parts();
            let can_poll = rw.target.as_ref().is_some_and(Target::can_poll);
            let wait = worker && blocking && (rw.block || !can_poll);
            let attempt = if worker && !in_task {
                let _alone = rw
                    .inode_written()
                    .and_then(|inode| this.ring.queues.writer(inode));
                rw.try_as_worker(wait)
            } else {
                rw.attempt(false)
            };
            if let Attempt::Done(outcome) = attempt {
                return request.done(outcome);
            }
            rw.retries = rw.retries.saturating_sub(1);
            rw.block |= rw.retries == 0 && !in_task;
            let blocks = !can_poll || rw.block;
            request.add_to_pending();
            if blocks {
                return block(request);
            }
            request = match wait_for(request) {
                Ok(()) => return Issued::Pending,
                Err(again) => again,
            };
            if request.is_elsewhere() {
                return hand_over(request.into_owned(), Step::Issue);
            }
            // The file is ready, or an event came.
            let rw = request.op();
            rw.block |= rw.has_to_block();
            if rw.block {
                return block(request);
            }
            if !worker {
                request.into_owned().enqueue(Step::Event(0), Kind::Blocking);
                return Issued::Pending;
            }
        }
    }

    /// Continues after a wake-up.
    fn event(
        mut request: OwnedOf<Self>,
        _events: u32,
        blocking: bool,
        poster: &mut Poster<'_>,
    ) -> Issued {
        if request.is_elsewhere() {
            return hand_over(request.into_owned(), Step::Event(0));
        }
        request.wakers.disarm();
        if request.is_orphan() {
            return request.end_cancelled();
        }
        // The request waited, so the file is not always ready: another task may have used it first.
        request.op().retries = RETRIES;
        Self::issue(request, blocking, poster)
    }

    fn cancelled(&self) -> Outcome {
        self.so_far().unwrap_or_else(Outcome::cancelled)
    }
}

/// Queues the request for a worker that may block.
fn block(request: OwnedOf<Rw>) -> Issued {
    request.into_owned().enqueue(Step::Issue, Kind::Blocking);
    Issued::Pending
}

/// Waits for the file to be ready.
///
/// # Errors
///
/// The request, if the file has no wait queue, or an event came that the caller must check.
fn wait_for(mut request: OwnedOf<Rw>) -> Result<(), OwnedOf<Rw>> {
    let (rw, this) = request.parts();
    let events = rw.events() | ALWAYS | bindings::CONST_EPOLLET | bindings::CONST_EPOLLONESHOT;
    let Some(target) = &rw.target else {
        return Err(request);
    };
    // SAFETY: `this` is owned until it is armed. The request holds the target, and `disarm` takes
    // its wakers off the target's queues before the request drops it.
    match unsafe { this.arm(target, events) } {
        Ok(0) if request.is_elsewhere() => {
            request.wakers.disarm();
            Err(request)
        }
        Ok(0) => match request.release() {
            Ok(()) => Ok(()),
            Err((request, _)) => {
                request.wakers.disarm();
                Err(request)
            }
        },
        ready => {
            request.wakers.disarm();
            if ready.is_err() {
                // The file has no wait queue.
                request.op().block = true;
            }
            Err(request)
        }
    }
}
