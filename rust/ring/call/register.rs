// SPDX-License-Identifier: GPL-2.0

//! `io_uring_register(2)`: the operations, and the checks common to them.

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
        cq::notify::{
            EvFd,
            Register, //
        },
        Ring, //
    }, //
};
use kernel::prelude::*;

impl Ring {
    /// Carries out a register operation. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an unknown operation or invalid arguments; `EEXIST` if another task is the only
    /// issuer; and the errors of the operation.
    pub(crate) fn register(&self, args: &bindings::miniring_register) -> Result<u32> {
        if args.opcode >= bindings::IORING_REGISTER_LAST {
            return Err(EINVAL);
        }
        // First, before the arguments are read and before any wait.
        let ret = self
            .gate
            .check_submitter()
            .and_then(|()| self.carry_out(args));
        self.trace_register(args.opcode, &ret);
        ret
    }

    /// Carries out the operation of [`Ring::register`].
    fn carry_out(&self, args: &bindings::miniring_register) -> Result<u32> {
        match args.opcode {
            bindings::IORING_REGISTER_BUFFERS => self.register_buffers(args),
            bindings::IORING_UNREGISTER_BUFFERS => self.unregister_buffers(args),
            bindings::IORING_REGISTER_CLONE_BUFFERS => self.clone_buffers(args),
            bindings::IORING_REGISTER_EVENTFD | bindings::IORING_REGISTER_EVENTFD_ASYNC => {
                if args.nr_args != 1 {
                    return Err(EINVAL);
                }
                self.register_eventfd(args.opcode, Descriptor::At(args.arg))
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
        }
    }

    /// Carries out a register operation on the eventfd, by value. `value` is a descriptor, or 0 to
    /// unregister. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` for any other operation, else as [`Ring::register`].
    #[inline(always)]
    pub(crate) fn register_value(&self, opcode: u32, value: u32) -> Result<u32> {
        let fd = match opcode {
            bindings::IORING_REGISTER_EVENTFD | bindings::IORING_REGISTER_EVENTFD_ASYNC => {
                Some(value as i32)
            }
            bindings::IORING_UNREGISTER_EVENTFD if value == 0 => None,
            _ => return Err(EINVAL),
        };
        let ret = match (self.gate.check_submitter(), fd) {
            (Err(error), _) => Err(error),
            (Ok(()), Some(fd)) => self.register_eventfd(opcode, Descriptor::Value(fd)),
            (Ok(()), None) => self.unregister_eventfd(),
        };
        self.trace_register(opcode, &ret);
        ret
    }

    /// Traces the result of an operation.
    #[inline(always)]
    fn trace_register(&self, opcode: u32, ret: &Result<u32>) {
        let number = match ret {
            Ok(number) => *number as isize,
            Err(error) => error.to_errno() as isize,
        };
        trace::register(&self.shared, opcode, number, || self.registered());
    }

    /// Returns the number of registered buffers, and whether an eventfd is registered.
    #[cold]
    fn registered(&self) -> (usize, bool) {
        let buffers = self.gate.access().map(|access| access.buffers.len());
        (buffers.unwrap_or(0), self.notifier.has_eventfd())
    }

    /// Registers buffers. `EFAULT` without an array of iovecs, and the errors of
    /// [`Table::register`].
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

    /// Unregisters the buffers. `ENXIO` if none are registered.
    fn unregister_buffers(&self, args: &bindings::miniring_register) -> Result<u32> {
        if args.arg != 0 || args.nr_args != 0 {
            return Err(EINVAL);
        }
        // Dropped after the mutex: dropping the table unpins memory, which takes long.
        let _buffers = self.gate.access()?.buffers.unregister()?;
        dyn_debug!(unregister_buffers, "the buffers are unregistered\n");
        Ok(0)
    }

    /// Registers an eventfd.
    ///
    /// `EBUSY` if an eventfd is registered; `EBADF` or `EINVAL` for a bad descriptor; `EFAULT`;
    /// `ENOMEM`.
    #[inline(always)]
    fn register_eventfd(&self, opcode: u32, descriptor: Descriptor) -> Result<u32> {
        let async_only = opcode == bindings::IORING_REGISTER_EVENTFD_ASYNC;
        self.notifier.register(&EventFdArgs {
            ring: self,
            descriptor,
            async_only,
        })?;
        dyn_debug!(
            register_eventfd,
            "an eventfd is registered, async only: {async_only}\n"
        );
        Ok(0)
    }

    /// Unregisters the eventfd. `ENXIO` if none is registered.
    #[inline(always)]
    fn unregister_eventfd(&self) -> Result<u32> {
        self.notifier.unregister()?;
        dyn_debug!(unregister_eventfd, "the eventfd is unregistered\n");
        Ok(0)
    }

    /// Enables the ring. `EBADFD` if it is enabled.
    fn enable(&self, args: &bindings::miniring_register) -> Result<u32> {
        if args.arg != 0 || args.nr_args != 0 {
            return Err(EINVAL);
        }
        self.enable_rings()?;
        Ok(0)
    }
}

/// Where the descriptor of an eventfd is.
enum Descriptor {
    Value(i32),
    /// At an address of the current process.
    At(u64),
}

/// The arguments of the registration of an eventfd.
struct EventFdArgs<'a> {
    ring: &'a Ring,
    descriptor: Descriptor,
    async_only: bool,
}

impl Register for EventFdArgs<'_> {
    #[inline(always)]
    fn evfd(&self) -> Result<EvFd> {
        let fd = match self.descriptor {
            Descriptor::Value(fd) => fd,
            Descriptor::At(address) => read(address)?,
        };
        let eventfd = EventFd::from_fd(fd)?;
        Ok(EvFd::new(eventfd, self.async_only, self.ring.visible()))
    }
}
