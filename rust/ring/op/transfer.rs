// SPDX-License-Identifier: GPL-2.0

//! Transfers between an open file and an `iov_iter`, as read(2) and write(2) make.

use crate::bindings;
use core::ptr;
use kernel::{
    error::to_result,
    fs::File,
    prelude::*, //
};

/// The direction, flags and position of a transfer.
pub(super) struct Transfer {
    pub(super) write: bool,
    /// Flags of the transfer (`RWF_*`).
    pub(super) flags: u32,
    pub(super) ioprio: u16,
    pub(super) stream: u8,
    /// The position of the next attempt; -1 for the file's position, until an attempt reads it.
    pub(super) pos: i64,
    /// `pos` came from the file's position, and an attempt stores it there.
    pub(super) moves: bool,
}

/// User memory for a file without iterators, piece by piece.
pub(super) enum Plain {
    /// One piece; the rest starts at this address.
    One(u64),
    /// The pieces of the iterator.
    Many,
}

/// Rejects an I/O priority that the current task may not use.
///
/// # Errors
///
/// `EINVAL` for an invalid priority, `EPERM`.
pub(super) fn check_ioprio(ioprio: u16) -> Result {
    let level = ioprio & bindings::IOPRIO_LEVEL_MASK as u16;
    match u32::from(ioprio >> bindings::IOPRIO_CLASS_SHIFT) {
        0 if level == 0 => Ok(()),
        // SAFETY: Only checks the current task's credentials.
        1 if unsafe {
            bindings::capable(bindings::CAP_SYS_ADMIN as c_int)
                || bindings::capable(bindings::CAP_SYS_NICE as c_int)
        } =>
        {
            Ok(())
        }
        1 => Err(EPERM),
        2 | 3 => Ok(()),
        _ => Err(EINVAL),
    }
}

/// Facts of an open file.
#[derive(Clone, Copy)]
pub(super) struct Facts<'a> {
    file: &'a File,
    write: bool,
}

impl<'a> Facts<'a> {
    pub(super) fn new(file: &'a File, write: bool) -> Self {
        Self { file, write }
    }

    fn raw(&self) -> *mut bindings::file {
        self.file.as_ptr()
    }

    fn mode(&self) -> u32 {
        // SAFETY: The file is open, and its mode does not change.
        unsafe { (*self.raw()).f_mode }
    }

    fn operations(&self) -> &bindings::file_operations {
        // SAFETY: An open file has operations, which do not change while it is open.
        unsafe { &*(*self.raw()).f_op }
    }

    fn is_nonblocking(&self) -> bool {
        self.file.flags() & bindings::O_NONBLOCK != 0
    }

    fn kind(&self) -> u32 {
        // SAFETY: An open file has an inode, whose type does not change.
        u32::from(unsafe { (*(*self.raw()).f_inode).i_mode }) & bindings::S_IFMT
    }

    fn is_regular(&self) -> bool {
        self.kind() == bindings::S_IFREG
    }

    /// Returns a number that identifies a regular file, by its inode; `None` for other files.
    pub(super) fn regular_inode(&self) -> Option<usize> {
        // SAFETY: An open file has an inode.
        let inode = unsafe { (*self.raw()).f_inode };
        self.is_regular().then_some(inode as usize)
    }

    /// Returns whether a short transfer is retried (regular files and block devices only).
    pub(super) fn is_complete_or_fails(&self) -> bool {
        matches!(self.kind(), bindings::S_IFREG | bindings::S_IFBLK)
    }

    /// Returns whether the file honours IOCB_NOWAIT or is non-blocking.
    pub(super) fn heeds_nowait(&self) -> bool {
        self.mode() & bindings::CONST_FMODE_NOWAIT != 0 || self.is_nonblocking()
    }

    /// Returns whether the file transfers by an iterator.
    pub(super) fn has_iterator(&self) -> bool {
        if self.write {
            self.operations().write_iter.is_some()
        } else {
            self.operations().read_iter.is_some()
        }
    }

    /// Returns whether an attempt that must not wait is worthwhile, if the file honours
    /// IOCB_NOWAIT.
    fn can_try(&self, iocb: &bindings::kiocb) -> bool {
        // Direct I/O may complete later, but `iocb` is on the stack.
        if iocb.ki_flags as u32 & bindings::CONST_IOCB_DIRECT != 0 {
            return false;
        }
        let flags = self.operations().fop_flags;
        !self.write || !self.is_regular() || flags & bindings::CONST_FOP_BUFFER_WASYNC != 0
    }
}

impl Transfer {
    /// Transfers the memory of `iter`, and returns the number of bytes. May block only if `wait`.
    /// `plain` is for files without iterators. Context: process, in the address space of that
    /// memory.
    ///
    /// # Errors
    ///
    /// `EAGAIN` if the transfer would wait; `EBADF` if the file is not open for the direction;
    /// `EINVAL`, `EOPNOTSUPP` for flags; and the errors of the file. With `EAGAIN`, the boolean is
    /// true if userspace asked not to wait.
    ///
    /// # Safety
    ///
    /// `iter` is valid, in the right direction, and describes `len` bytes.
    pub(super) unsafe fn attempt(
        &mut self,
        file: &Facts<'_>,
        iter: *mut bindings::iov_iter,
        len: usize,
        plain: Plain,
        wait: bool,
    ) -> (Result<usize>, bool) {
        // Without a callback, the transfer is over when the file's function returns.
        let mut iocb = bindings::kiocb {
            ki_filp: file.raw(),
            // SAFETY: The file is open, and open() set its flags.
            ki_flags: unsafe { (*file.raw()).f_iocb_flags } as c_int,
            ..Default::default()
        };
        match self.prepare(file, &mut iocb, len, wait) {
            Err(error) => (Err(error), false),
            Ok(nowait) => {
                // SAFETY: `iter` is valid, in the right direction, and describes `len` bytes
                // (caller).
                let result = unsafe { self.carry_out(file, &mut iocb, iter, len, plain) };
                (result, nowait)
            }
        }
    }

    fn prepare(
        &mut self,
        file: &Facts<'_>,
        iocb: &mut bindings::kiocb,
        len: usize,
        wait: bool,
    ) -> Result<bool> {
        let direction = if self.write {
            bindings::WRITE
        } else {
            bindings::READ
        } as c_int;
        let mode = if self.write {
            bindings::CONST_FMODE_WRITE
        } else {
            bindings::CONST_FMODE_READ
        };
        if file.mode() & mode == 0 {
            return Err(EBADF);
        }
        iocb.ki_ioprio = self.ioprio;
        iocb.ki_write_stream = self.stream;
        // SAFETY: `iocb` is initialised.
        to_result(unsafe {
            bindings::miniring_kiocb_set_rw_flags(iocb, self.flags as c_int, direction)
        })?;
        if iocb.ki_flags as u32 & bindings::CONST_IOCB_HIPRI != 0 {
            return Err(EINVAL);
        }
        let nowait = iocb.ki_flags as u32 & bindings::CONST_IOCB_NOWAIT != 0;
        if wait {
            iocb.ki_flags &= !(bindings::CONST_IOCB_NOWAIT as c_int);
        } else if !nowait && !file.can_try(iocb) {
            return Err(EAGAIN);
        } else {
            iocb.ki_flags |= bindings::CONST_IOCB_NOWAIT as c_int;
        }
        let streams = file.mode() & bindings::CONST_FMODE_STREAM != 0;
        if self.pos == -1 {
            if streams {
                self.pos = 0;
            } else {
                self.moves = true;
                // SAFETY: The file is open. Its position is read without its lock, as in
                // `io_uring`.
                self.pos = unsafe { (&raw const (*file.raw()).f_pos).read_volatile() };
            }
        }
        iocb.ki_pos = self.pos;
        let pos = if streams && self.pos == 0 {
            ptr::null()
        } else {
            &raw const iocb.ki_pos
        };
        // SAFETY: The file is open, and `pos` null or valid.
        to_result(unsafe { bindings::rw_verify_area(direction, file.raw(), pos, len) })?;
        Ok(nowait)
    }

    /// # Safety
    ///
    /// As [`Transfer::attempt`]; `prepare` initialised `iocb` for `file`.
    unsafe fn carry_out(
        &mut self,
        file: &Facts<'_>,
        iocb: &mut bindings::kiocb,
        iter: *mut bindings::iov_iter,
        len: usize,
        plain: Plain,
    ) -> Result<usize> {
        let nowait = iocb.ki_flags as u32 & bindings::CONST_IOCB_NOWAIT != 0;
        let freezes = self.write && file.is_regular();
        if freezes {
            // SAFETY: The file is open. The end of the write is below.
            unsafe {
                if !nowait {
                    bindings::miniring_start_write(file.raw());
                } else if !bindings::miniring_start_write_trylock(file.raw()) {
                    return Err(EAGAIN);
                }
            }
        }
        if self.write {
            iocb.ki_flags |= bindings::CONST_IOCB_WRITE as c_int;
        }
        let operations = file.operations();
        let operation = if self.write {
            operations.write_iter
        } else {
            operations.read_iter
        };
        let ret = match operation {
            // SAFETY: `iocb` and `iter` are valid (caller), as the operation requires.
            Some(operation) => unsafe { operation(iocb, iter) },
            None => {
                // SAFETY: `iter` is valid, in the right direction, and describes `len` bytes
                // (caller).
                unsafe { self.loop_plain(file, iocb, iter, len, plain) }
            }
        };
        if freezes {
            // SAFETY: The write was started above.
            unsafe { bindings::miniring_end_write(file.raw()) };
        }
        if ret < 0 {
            let error = Error::from_errno(ret as c_int);
            return Err(match error {
                EOPNOTSUPP if nowait => EAGAIN,
                // No system call is left to restart.
                ERESTARTSYS | ERESTARTNOINTR | ERESTARTNOHAND | ERESTART_RESTARTBLOCK => EINTR,
                _ => error,
            });
        }
        self.pos = iocb.ki_pos;
        if self.moves {
            // SAFETY: The file is open. Its position is written without its lock, as in `io_uring`.
            unsafe { (&raw mut (*file.raw()).f_pos).write_volatile(iocb.ki_pos) };
        }
        // SAFETY: The file is open.
        unsafe {
            if self.write {
                bindings::miniring_fsnotify_modify(file.raw());
            } else {
                bindings::miniring_fsnotify_access(file.raw());
            }
        }
        Ok(ret as usize)
    }

    /// Transfers for files that read and write one piece of user memory at a time.
    ///
    /// # Safety
    ///
    /// As [`Transfer::attempt`].
    unsafe fn loop_plain(
        &self,
        file: &Facts<'_>,
        iocb: &mut bindings::kiocb,
        iter: *mut bindings::iov_iter,
        len: usize,
        plain: Plain,
    ) -> isize {
        if iocb.ki_flags as u32 & bindings::CONST_IOCB_NOWAIT != 0 && !file.is_nonblocking() {
            return EAGAIN.to_errno() as isize;
        }
        let pos = if file.mode() & bindings::CONST_FMODE_STREAM != 0 {
            ptr::null_mut()
        } else {
            &raw mut iocb.ki_pos
        };
        let operations = file.operations();
        let mut done = 0usize;
        while done < len {
            let (addr, piece) = match plain {
                Plain::One(addr) => (addr.wrapping_add(done as u64), len - done),
                // SAFETY: `iter` is valid (caller), and not at its end.
                Plain::Many => unsafe {
                    (
                        bindings::miniring_iter_iov_addr(iter) as u64,
                        bindings::miniring_iter_iov_len(iter),
                    )
                },
            };
            let addr = addr as usize as *mut c_char;
            // SAFETY: The file is open, and the operations accept any user address.
            let ret = unsafe {
                match (self.write, operations.read, operations.write) {
                    (false, Some(read), _) => read(file.raw(), addr.cast(), piece, pos),
                    (true, _, Some(write)) => write(file.raw(), addr.cast(), piece, pos),
                    _ => EINVAL.to_errno() as isize,
                }
            };
            if ret < 0 {
                if done == 0 {
                    return ret;
                }
                break;
            }
            let ret = ret as usize;
            done = done.saturating_add(ret);
            if let Plain::Many = plain {
                // SAFETY: `iter` is valid (caller), and has at least one piece left.
                unsafe { bindings::iov_iter_advance(iter, ret.min(piece)) };
            }
            if ret != piece {
                break;
            }
        }
        done as isize
    }
}
