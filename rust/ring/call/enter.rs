// SPDX-License-Identifier: GPL-2.0

//! `io_uring_enter(2)`: submits, and waits for completions.

use crate::{
    bindings,
    pure::geometry,
    ring::{
        abi::uaccess::{
            read,
            read_timespec, //
        },
        cq::notify::When,
        sq::polled::SqPoll,
        sys::{
            task_work,
            wait::{
                Deadline,
                Sleep, //
            }, //
        },
        Ring, //
    }, //
};
use core::mem::size_of;
use kernel::{
    prelude::*,
    sync::Arc,
    time::{
        NSEC_PER_SEC,
        NSEC_PER_USEC, //
    }, //
};

/// Size of a `struct io_uring_reg_wait`.
const REG_WAIT: usize = size_of::<bindings::io_uring_reg_wait>();

/// Supported flags of ENTER (`IORING_ENTER_*`). SQ_WAKEUP and SQ_WAIT have no effect on a ring
/// without SQ polling.
const FLAGS: u32 = bindings::IORING_ENTER_GETEVENTS
    | bindings::IORING_ENTER_SQ_WAKEUP
    | bindings::IORING_ENTER_SQ_WAIT
    | bindings::IORING_ENTER_EXT_ARG
    | bindings::IORING_ENTER_ABS_TIMER
    | bindings::IORING_ENTER_EXT_ARG_REG
    | bindings::IORING_ENTER_NO_IOWAIT;

impl Ring {
    /// Submits `to_submit` SQEs, then waits for `min_complete` CQEs if `flags` has GETEVENTS. May
    /// sleep.
    ///
    /// Returns the number of SQEs consumed. An error of the wait is reported only if that number is
    /// 0.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an unknown flag; `EBADFD` if the ring is not enabled; `EEXIST` if another task
    /// is the only issuer; `EOWNERDEAD` if the ring's thread has ended; `EAGAIN` without memory;
    /// `EINTR`, `ETIME`, `EFAULT`.
    pub(crate) fn enter(self: &Arc<Self>, args: &bindings::miniring_enter) -> Result<u32> {
        if args.flags & !FLAGS != 0 || args.resv != 0 {
            return Err(EINVAL);
        }
        self.submit_then(args.to_submit, args.flags, || {
            if args.flags & bindings::IORING_ENTER_GETEVENTS == 0 {
                return Ok(());
            }
            self.wait(args.min_complete, Limits::new(args)?)
        })
    }

    /// Submits and waits as ENTER by value, without a deadline or a signal mask. Waits if
    /// `min_complete` is not 0.
    ///
    /// # Errors
    ///
    /// As [`Ring::enter`].
    #[inline(always)]
    pub(crate) fn submit_and_wait(
        self: &Arc<Self>,
        to_submit: u32,
        min_complete: u32,
    ) -> Result<u32> {
        self.submit_then(to_submit, 0, || {
            if min_complete == 0 {
                return Ok(());
            }
            self.wait(min_complete, Limits::default())
        })
    }

    /// Submits, and calls `wait` if all of `to_submit` was consumed.
    #[inline(always)]
    fn submit_then(
        self: &Arc<Self>,
        to_submit: u32,
        flags: u32,
        wait: impl FnOnce() -> Result,
    ) -> Result<u32> {
        if !self.is_enabled() {
            return Err(EBADFD);
        }
        if let Some(sq) = &self.sq {
            return self.leave_to_thread(sq, to_submit, flags, wait);
        }
        if to_submit == 0 {
            wait()?;
            return Ok(0);
        }
        let submitted = {
            let in_flight = self.notifier.in_flight()?;
            let mut access = self.gate.access()?;
            self.submit(&mut access, &in_flight, to_submit)?
        };
        if submitted == to_submit {
            // The number of SQEs comes before an error of the wait, which the next call returns.
            let _ = wait();
        }
        Ok(submitted)
    }

    /// Leaves submission to the thread of a ring with IORING_SETUP_SQPOLL. Returns `to_submit`, at
    /// most `i32::MAX`: an ioctl returns an `int`.
    fn leave_to_thread(
        &self,
        sq: &SqPoll,
        to_submit: u32,
        flags: u32,
        wait: impl FnOnce() -> Result,
    ) -> Result<u32> {
        sq.check()?;
        if flags & bindings::IORING_ENTER_SQ_WAKEUP != 0 {
            sq.wake();
        }
        if flags & bindings::IORING_ENTER_SQ_WAIT != 0 {
            self.wait_for_room(sq);
        }
        match wait() {
            Err(error) if to_submit == 0 => Err(error),
            _ => Ok(to_submit.min(i32::MAX as u32)),
        }
    }

    /// Waits until the CQ has `min_complete` entries, or a timeout completes. After
    /// `limits.min_wait` one entry is enough. Without a deadline the wait ends at
    /// `limits.min_wait`.
    fn wait(&self, min_complete: u32, limits: Limits) -> Result {
        // As in io_uring, a number beyond an `int` is negative, and waits for nothing.
        let wanted = i32::try_from(min_complete).unwrap_or(0) as u32;
        let wanted = wanted.min(self.config.geometry.cq_entries());
        // A timeout that is due already does not end the wait, so it completes first.
        if kernel::current!().signal_pending() {
            task_work::do_work();
        }
        self.flush_overflow()?;
        let (head, tail) = (self.shared.cq_head(), self.shared.cq_tail());
        if self.cqes_after(head) >= wanted {
            return Ok(());
        }
        let sigmask = limits.sigmask.push()?;
        let timeouts = self.timeouts_completed();
        let has = |nr, position| {
            self.completion.overflowed()
                || self.cqes_after(position) >= nr
                || self.timeouts_completed() != timeouts
        };
        // Without requests in flight the wait is not for I/O of this ring.
        let iowait = !limits.no_iowait && !self.pending.is_empty();
        let sleep = |deadline| Sleep { deadline, iowait };
        let waited = match limits.min_wait {
            None => self
                .cq_wait
                .wait(sleep(limits.deadline), || has(wanted, head)),
            min_wait => self
                .cq_wait
                .wait(sleep(min_wait), || has(wanted, head))
                .or_else(|error| {
                    let some = self.cqes_after(self.shared.cq_head()) != 0;
                    if error != ETIME || some || limits.deadline.is_none() {
                        return Err(error);
                    }
                    self.cq_wait.wait(sleep(limits.deadline), || has(1, tail))
                }),
        };
        sigmask.pop(waited.is_err_and(|error| error != ETIME));
        self.flush_overflow()?;
        if self.cqes_after(self.shared.cq_head()) != 0 {
            return Ok(());
        }
        waited
    }

    /// Returns the number of completed timeouts, with a CQE or without.
    fn timeouts_completed(&self) -> u64 {
        let silent = self.sequenced.silent();
        self.completion.timeouts().wrapping_add(silent)
    }

    /// Returns the number of CQEs after the CQ position `head`, which userspace wrote.
    ///
    /// Uses the tail that userspace sees, as in io_uring. `completion.tail()` is stored after that
    /// tail, and may lack a CQE that userspace has taken. The number would then be 2^32 - 1.
    fn cqes_after(&self, head: u32) -> u32 {
        geometry::distance(self.shared.cq_tail(), head)
    }

    /// Moves kept completions into the CQ, as many as fit.
    fn flush_overflow(&self) -> Result {
        while self.completion.overflowed() {
            let in_flight = self.notifier.in_flight()?;
            let Some(published) = self.completion.flush(&self.shared) else {
                break;
            };
            self.cq_wait.wake();
            self.notify(&in_flight, published, When::Inline);
            self.sequenced.flush(self);
        }
        Ok(())
    }
}

/// The limits of a wait.
#[derive(Default)]
struct Limits {
    min_wait: Option<Deadline>,
    deadline: Option<Deadline>,
    no_iowait: bool,
    sigmask: Sigmask,
}

impl Limits {
    /// Reads the limits from the argument of ENTER.
    fn new(args: &bindings::miniring_enter) -> Result<Self> {
        let has = |flag| args.flags & flag != 0;
        let no_iowait = has(bindings::IORING_ENTER_NO_IOWAIT);
        if !has(bindings::IORING_ENTER_EXT_ARG) {
            return Ok(Self {
                no_iowait,
                sigmask: Sigmask {
                    addr: args.arg,
                    size: args.argsz,
                },
                ..Self::default()
            });
        }
        if has(bindings::IORING_ENTER_EXT_ARG_REG) {
            // Registered memory is not implemented, so the argument is never inside it.
            return Err(match args.argsz as usize {
                REG_WAIT => EFAULT,
                _ => EINVAL,
            });
        }
        if args.argsz != size_of::<bindings::io_uring_getevents_arg>() as u64 {
            return Err(EINVAL);
        }
        let arg: bindings::io_uring_getevents_arg = read(args.arg)?;
        Ok(Self {
            min_wait: match arg.min_wait_usec {
                0 => None,
                us => Some(Deadline::after(i64::from(us).saturating_mul(NSEC_PER_USEC))),
            },
            no_iowait,
            deadline: deadline(arg.ts, has(bindings::IORING_ENTER_ABS_TIMER))?,
            sigmask: Sigmask {
                addr: arg.sigmask,
                size: arg.sigmask_sz.into(),
            },
        })
    }
}

/// Reads the deadline from a `struct __kernel_timespec` at `addr`. Returns None if `addr` is 0.
fn deadline(addr: u64, absolute: bool) -> Result<Option<Deadline>> {
    if addr == 0 {
        return Ok(None);
    }
    let ts = read_timespec(addr)?;
    let ns = ts
        .tv_sec
        .saturating_mul(NSEC_PER_SEC)
        .saturating_add(ts.tv_nsec);
    Ok(Some(if absolute {
        // SAFETY: Only reads the time namespace of the current task.
        Deadline(unsafe { bindings::miniring_timens_monotonic_to_host(ns) })
    } else {
        Deadline::after(ns)
    }))
}

/// A signal mask for a wait. There is no mask if `addr` is 0.
#[derive(Default)]
struct Sigmask {
    addr: u64,
    size: u64,
}

/// Whether the old mask was saved.
struct Pushed(bool);

impl Sigmask {
    /// Saves the current mask and sets this mask, if there is one.
    fn push(&self) -> Result<Pushed> {
        if self.addr == 0 {
            return Ok(Pushed(false));
        }
        if self.size != size_of::<bindings::sigset_t>() as u64 {
            return Err(EINVAL);
        }
        let mut mask = bindings::sigset_t {
            sig: [read(self.addr)?],
        };
        // SAFETY: Process context. Only changes the mask of the current task.
        unsafe { bindings::miniring_push_sigmask(&mut mask) };
        Ok(Pushed(true))
    }
}

impl Pushed {
    /// Restores the old mask. After an interruption the return to userspace restores the mask, so
    /// the signal is delivered under the mask of the wait.
    fn pop(self, interrupted: bool) {
        if self.0 && !interrupted {
            // SAFETY: Process context. Only changes the mask of the current task.
            unsafe { bindings::miniring_pop_sigmask() };
        }
    }
}
