// SPDX-License-Identifier: GPL-2.0

//! The target of a request: an open file.
//!
//! A request holds the part of a ring that can be polled, and not the file. A request with the file
//! of its own ring would keep the ring open for ever, as would two rings that poll each other.

use crate::bindings;
use core::ptr;
use kernel::{
    fs::{
        File,
        LocalFile, //
    },
    prelude::*,
    sync::{
        aref::ARef,
        Arc, //
    }, //
};

/// The identity of a descriptor table, for comparison only.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Files(usize);

impl Files {
    /// Returns the table of the current task.
    pub(crate) fn current() -> Self {
        // SAFETY: Only reads a field of the current task.
        Self::from_flush(unsafe { bindings::miniring_current_files() })
    }

    /// Converts the argument of a flush operation.
    pub(crate) fn from_flush(id: bindings::fl_owner_t) -> Self {
        Self(id.addr())
    }
}

/// Returns the file that the current task has open as `fd`.
pub(crate) fn file(fd: i32) -> Option<ARef<File>> {
    let file = LocalFile::fget(u32::try_from(fd).ok()?).ok()?;
    // SAFETY: No call of this module holds the lock of a file position: `fdget_pos()` is not used.
    Some(unsafe { LocalFile::assume_no_fdget_pos(file) })
}

/// A ring that can be polled.
pub(crate) trait Pollable {
    /// Adds `table` to the wait queue of the CQ. Returns the events (`EPOLL*`) that the ring is
    /// ready for. Context: any.
    ///
    /// # Safety
    ///
    /// The caller removes the entries that `table` adds before the ring is dropped.
    unsafe fn poll(&self, table: &mut bindings::poll_table) -> u32;
}

/// Returns the ring of a file, or `None` if the file is no ring.
pub(crate) type RingOf<R> = fn(&File) -> Option<Arc<R>>;

/// An open file of the submitter. `R` is a ring.
pub(crate) enum Target<R> {
    File(ARef<File>),
    Ring(Arc<R>),
}

impl<R: Pollable> Target<R> {
    /// Returns the target that the current task has open as `fd`.
    pub(crate) fn get(fd: i32, ring_of: RingOf<R>) -> Option<Self> {
        let file = file(fd)?;
        Some(match ring_of(&file) {
            Some(ring) => Self::Ring(ring),
            None => Self::File(file),
        })
    }

    /// Returns a number that no other live target has.
    pub(crate) fn id(&self) -> usize {
        match self {
            Self::File(file) => file.as_ptr() as usize,
            Self::Ring(ring) => ptr::from_ref::<R>(ring) as usize,
        }
    }

    /// Returns whether the target may keep a ring open after all descriptors of the ring are
    /// closed.
    ///
    /// A Unix socket keeps the rings in its queue, and an io_uring its registered files. A request
    /// that waits for such a file keeps the file.
    pub(crate) fn may_keep_rings(&self) -> bool {
        let Self::File(file) = self else {
            return true;
        };
        // SAFETY: The file is open. Its name is null or a string that lives as long as the file.
        unsafe {
            let name = bindings::miniring_anon_name(file.as_ptr());
            bindings::miniring_socket_family(file.as_ptr()) == bindings::AF_UNIX as c_int
                || !name.is_null() && CStr::from_char_ptr(name) == c"[io_uring]"
        }
    }

    /// Returns whether the target can be polled.
    pub(crate) fn can_poll(&self) -> bool {
        match self {
            // SAFETY: An open file has operations, which do not change.
            Self::File(file) => unsafe { (*(*file.as_ptr()).f_op).poll.is_some() },
            Self::Ring(_) => true,
        }
    }

    /// Returns whether the target is now ready for one of `events`. May sleep.
    pub(crate) fn is_ready(&self, events: u32) -> bool {
        let mut table = bindings::poll_table {
            _qproc: None,
            _key: events,
        };
        // SAFETY: The table adds no entries.
        let ready = unsafe { self.poll(&mut table) };
        ready & events != 0
    }

    /// Adds `table` to the wait queues of the target. Returns the events (`EPOLL*`) that the target
    /// is ready for. May sleep.
    ///
    /// # Safety
    ///
    /// The caller removes the entries that `table` adds before this target is dropped, with a
    /// removal that is safe against `POLLFREE`.
    pub(crate) unsafe fn poll(&self, table: &mut bindings::poll_table) -> u32 {
        match self {
            // SAFETY: The file is open, and the entries of `table` are removed in time (caller).
            Self::File(file) => unsafe { bindings::miniring_vfs_poll(file.as_ptr(), table) },
            // SAFETY: The ring lives as long as this target, and the entries of `table` are removed
            // before the target is dropped (caller).
            Self::Ring(ring) => unsafe { ring.poll(table) },
        }
    }
}
