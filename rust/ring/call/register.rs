// SPDX-License-Identifier: GPL-2.0

//! `io_uring_register(2)`.

use super::probe::probe;
use crate::{
    bindings,
    dyn_debug,
    eventfd::EventFd,
    ring::{
        abi::{
            trace,
            uaccess::read, //
        },
        cq::notify::EvFd,
        Ring, //
    }, //
};
use kernel::prelude::*;

impl Ring {
    /// Carries out a register operation. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an unknown operation or arguments that it does not take, `EEXIST` if the ring
    /// has one issuer and it is another task, and what the operation says.
    pub(crate) fn register(&self, args: &bindings::miniring_register) -> Result<u32> {
        if args.opcode >= bindings::IORING_REGISTER_LAST {
            return Err(EINVAL);
        }
        self.do_register(args.opcode, || match args.opcode {
            bindings::IORING_REGISTER_BUFFERS => self.register_buffers(args),
            bindings::IORING_UNREGISTER_BUFFERS => self.unregister_buffers(args),
            bindings::IORING_REGISTER_CLONE_BUFFERS => self.clone_buffers(args),
            bindings::IORING_REGISTER_EVENTFD | bindings::IORING_REGISTER_EVENTFD_ASYNC => {
                if args.nr_args != 1 {
                    return Err(EINVAL);
                }
                self.register_eventfd(args.opcode, || read(args.arg))
            }
            bindings::IORING_UNREGISTER_EVENTFD => {
                if args.arg != 0 || args.nr_args != 0 {
                    return Err(EINVAL);
                }
                self.unregister_eventfd()
            }
            bindings::IORING_REGISTER_PROBE => probe(args),
            bindings::IORING_REGISTER_ENABLE_RINGS => self.enable(args),
            _ => Err(EINVAL),
        })
    }

    /// Carries out a register operation whose argument is a number, or nothing and `value` zero:
    /// those on eventfds. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` for any other, and otherwise as [`Ring::register`].
    pub(crate) fn register_value(&self, opcode: u32, value: u32) -> Result<u32> {
        match opcode {
            bindings::IORING_REGISTER_EVENTFD | bindings::IORING_REGISTER_EVENTFD_ASYNC => self
                .do_register(opcode, || {
                    self.register_eventfd(opcode, || Ok(value as i32))
                }),
            bindings::IORING_UNREGISTER_EVENTFD if value == 0 => {
                self.do_register(opcode, || self.unregister_eventfd())
            }
            _ => Err(EINVAL),
        }
    }

    /// What is common to all operations.
    #[inline]
    fn do_register(&self, opcode: u32, operation: impl FnOnce() -> Result<u32>) -> Result<u32> {
        // Before anything is looked at, or waited for.
        let ret = self.gate.check_submitter().and_then(|()| operation());
        let number = match &ret {
            Ok(number) => *number as isize,
            Err(error) => error.to_errno() as isize,
        };
        trace::register(&self.shared, opcode, number, || {
            let buffers = self.gate.access().map(|access| access.buffers.len());
            (buffers.unwrap_or(0), self.notifier.has_eventfd())
        });
        ret
    }

    /// `EFAULT` without an array of iovecs, and what [`Table::register`] says.
    fn register_buffers(&self, args: &bindings::miniring_register) -> Result<u32> {
        if args.arg == 0 {
            return Err(EFAULT);
        }
        let mut access = self.gate.access()?;
        access
            .buffers
            .register(&self.account, args.arg, args.nr_args, self.config.compat)?;
        dyn_debug!(
            register_buffers,
            "{} buffers are registered\n",
            args.nr_args
        );
        Ok(0)
    }

    /// `ENXIO` if no buffers are registered.
    fn unregister_buffers(&self, args: &bindings::miniring_register) -> Result<u32> {
        if args.arg != 0 || args.nr_args != 0 {
            return Err(EINVAL);
        }
        // The memory is unpinned without the mutex, unless requests keep it.
        let _buffers = self.gate.access()?.buffers.unregister()?;
        dyn_debug!(unregister_buffers, "the buffers are unregistered\n");
        Ok(0)
    }

    /// Registers the eventfd whose descriptor `fd` says, once, if there is none.
    ///
    /// `EBUSY` if an eventfd is registered; `EBADF` or `EINVAL` for a bad fd; `ENOMEM`.
    fn register_eventfd(&self, opcode: u32, fd: impl FnOnce() -> Result<i32>) -> Result<u32> {
        let async_only = opcode == bindings::IORING_REGISTER_EVENTFD_ASYNC;
        let mut still = self.notifier.still()?;
        if self.notifier.is_registered(&mut still) {
            return Err(EBUSY);
        }
        let eventfd = EventFd::from_fd(fd()?)?;
        let evfd = EvFd::new(eventfd, async_only, self.completion.published());
        self.notifier.register(&mut still, evfd)?;
        dyn_debug!(
            register_eventfd,
            "an eventfd is registered, async only: {async_only}\n"
        );
        Ok(0)
    }

    /// `ENXIO` if no eventfd is registered.
    fn unregister_eventfd(&self) -> Result<u32> {
        let mut still = self.notifier.still()?;
        self.notifier.unregister(&mut still)?;
        dyn_debug!(unregister_eventfd, "the eventfd is unregistered\n");
        Ok(0)
    }

    /// `EBADFD` if the ring is enabled.
    fn enable(&self, args: &bindings::miniring_register) -> Result<u32> {
        if args.arg != 0 || args.nr_args != 0 {
            return Err(EINVAL);
        }
        self.enable_rings()?;
        Ok(0)
    }
}
