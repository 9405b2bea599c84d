// SPDX-License-Identifier: GPL-2.0

//! Structures read from and written to user addresses.

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
pub(super) fn read<T: FromBytes>(addr: u64) -> Result<T> {
    UserSlice::new(UserPtr::from_addr(addr as usize), size_of::<T>())
        .reader()
        .read()
}

/// Writes `value` to the user address `addr`.
///
/// # Errors
///
/// `EFAULT`.
pub(super) fn write<T: AsBytes>(addr: u64, value: &T) -> Result {
    UserSlice::new(UserPtr::from_addr(addr as usize), size_of::<T>())
        .writer()
        .write(value)
}

// SAFETY: Integers without padding; any bytes will do.
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
