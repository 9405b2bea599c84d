// SPDX-License-Identifier: GPL-2.0

//! Reads structures from user addresses, and writes them there.

use crate::bindings;
use kernel::{
    prelude::*,
    transmute::{
        AsBytes,
        FromBytes, //
    },
    uaccess::{
        UserPtr,
        UserSlice, //
    }, //
};

/// Reads a `T` at the user address `addr`, once.
///
/// # Errors
///
/// `EFAULT`.
pub(crate) fn read<T: FromBytes>(addr: u64) -> Result<T> {
    UserSlice::new(UserPtr::from_addr(addr as usize), size_of::<T>())
        .reader()
        .read()
}

/// Writes `value` to the user address `addr`.
///
/// # Errors
///
/// `EFAULT`.
pub(crate) fn write<T: AsBytes>(addr: u64, value: &T) -> Result {
    UserSlice::new(UserPtr::from_addr(addr as usize), size_of::<T>())
        .writer()
        .write(value)
}

/// Reads the time at the user address `addr`, once. For a 32-bit program the upper half of the
/// nanoseconds is padding.
///
/// # Errors
///
/// `EFAULT`.
pub(crate) fn read_timespec(addr: u64) -> Result<bindings::__kernel_timespec> {
    let mut ts: bindings::__kernel_timespec = read(addr)?;
    // SAFETY: Only reads the current task.
    if unsafe { bindings::miniring_in_compat_syscall() } {
        ts.tv_nsec &= i64::from(u32::MAX);
    }
    Ok(ts)
}

/// Reads entry `index` of an array of iovecs at the user address `iovecs`, once. Returns an address
/// and a length. With `compat` the array has the layout of a 32-bit program.
///
/// # Errors
///
/// `EFAULT`; `EINVAL` for a negative length.
pub(crate) fn read_iovec(iovecs: u64, index: u32, compat: bool) -> Result<(usize, usize)> {
    let at = |size: u64| iovecs.wrapping_add(size.wrapping_mul(index.into()));
    if compat {
        let [addr, len]: [u32; 2] = read(at(8))?;
        i32::try_from(len).map_err(|_| EINVAL)?;
        return Ok((addr as usize, len as usize));
    }
    let [addr, len]: [u64; 2] = read(at(16))?;
    i64::try_from(len).map_err(|_| EINVAL)?;
    Ok((addr as usize, len as usize))
}

// SAFETY: The structure has integers without padding, so any bytes are a value.
unsafe impl FromBytes for bindings::miniring_setup {}
// SAFETY: As above.
unsafe impl FromBytes for bindings::miniring_enter {}
// SAFETY: As above.
unsafe impl FromBytes for bindings::miniring_register {}
// SAFETY: As above.
unsafe impl FromBytes for bindings::io_uring_params {}
// SAFETY: As above.
unsafe impl AsBytes for bindings::io_uring_params {}
// SAFETY: As above.
unsafe impl FromBytes for bindings::io_uring_getevents_arg {}
// SAFETY: As above.
unsafe impl FromBytes for bindings::__kernel_timespec {}
// SAFETY: As above.
unsafe impl FromBytes for bindings::io_uring_clone_buffers {}
