// SPDX-License-Identifier: GPL-2.0

//! IORING_REGISTER_CLONE_BUFFERS: shares buffers between two rings.
//!
//! Only this call needs the issuer state of two rings at a time.

use super::device::ring_of;
use crate::{
    bindings,
    dyn_debug,
    ring::{
        abi::uaccess::read,
        req::target,
        sq::buffers::Clones,
        Ring, //
    }, //
};
use kernel::prelude::*;

/// Number of rings that a task may register (`IO_RINGFD_REG_MAX`).
const RING_FDS: u32 = 16;

impl Ring {
    /// Clones buffers of another ring, or of this one. May sleep.
    ///
    /// # Errors
    ///
    /// `EFAULT`; `EINVAL` for an unknown flag, or if the rings charge different accounts; `EBADF`
    /// or `EOPNOTSUPP` if there is no such ring; `EEXIST` if another task is the only issuer of the
    /// source; and the errors of [`Table::with_clones`].
    ///
    /// [`Table::with_clones`]: crate::ring::sq::buffers::Table::with_clones
    pub(crate) fn clone_buffers(&self, args: &bindings::miniring_register) -> Result<u32> {
        if args.arg == 0 || args.nr_args != 1 {
            return Err(EINVAL);
        }
        let arg: bindings::io_uring_clone_buffers = read(args.arg)?;
        let has = |flag| arg.flags & flag != 0;
        let known =
            bindings::IORING_REGISTER_SRC_REGISTERED | bindings::IORING_REGISTER_DST_REPLACE;
        if arg.flags & !known != 0 {
            return Err(EINVAL);
        }
        let clones = Clones {
            from: arg.src_off,
            to: arg.dst_off,
            nr: arg.nr,
            replace: has(bindings::IORING_REGISTER_DST_REPLACE),
        };
        if !clones.replace && !self.gate.access()?.buffers.is_empty() {
            return Err(EBUSY);
        }
        if arg.pad.iter().any(|word| *word != 0) {
            return Err(EINVAL);
        }
        if has(bindings::IORING_REGISTER_SRC_REGISTERED) {
            // Registered rings are not implemented, so no number has a ring.
            return Err(if arg.src_fd < RING_FDS { EBADF } else { EINVAL });
        }
        let file = target::file(arg.src_fd as i32).ok_or(EBADF)?;
        let source = ring_of(&file).ok_or(EOPNOTSUPP)?;
        // The old table is dropped after the mutexes: unpinning takes long.
        let _old = if core::ptr::eq::<Self>(self, &*source) {
            let mut access = self.gate.access()?;
            let table = access.buffers.with_clones(&access.buffers, &clones)?;
            core::mem::replace(&mut access.buffers, table)
        } else {
            let (mut access, from) = self.gate.access_two(&source.gate)?;
            if !self.account.is_same(&source.account) {
                return Err(EINVAL);
            }
            let table = access.buffers.with_clones(&from.buffers, &clones)?;
            core::mem::replace(&mut access.buffers, table)
        };
        dyn_debug!(clone_buffers, "buffers are shared with another ring\n");
        Ok(0)
    }
}
