// SPDX-License-Identifier: GPL-2.0

//! What a request is about: an open file.
//!
//! A ring is held as such and not as a file: a request that kept its own ring's file open, or that
//! of a ring which polls this one, would keep it open for ever.

use super::core::Core;
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

/// A table of descriptors: tells those who share one from others, and nothing else.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Files(usize);

impl Files {
    /// That of the current task.
    pub(crate) fn current() -> Self {
        // SAFETY: Reads a field of the current task.
        Self::from_flush(unsafe { bindings::miniring_current_files() })
    }

    /// The one that a flush operation is told of.
    pub(crate) fn from_flush(id: bindings::fl_owner_t) -> Self {
        Self(id.addr())
    }
}

/// Returns the file that the current task has open as `fd`.
pub(crate) fn file(fd: i32) -> Option<ARef<File>> {
    let file = LocalFile::fget(u32::try_from(fd).ok()?).ok()?;
    // SAFETY: No call of this module holds a file position's lock: `fdget_pos()` is not used.
    Some(unsafe { LocalFile::assume_no_fdget_pos(file) })
}

/// Returns the ring that a file is, if it is one.
pub(crate) type RingOf = fn(&File) -> Option<Arc<Core>>;

/// An open file of the submitter's.
pub(crate) enum Target {
    File(ARef<File>),
    Ring(Arc<Core>),
}

impl Target {
    /// Returns what the current task has open as `fd`.
    pub(crate) fn get(fd: i32, ring_of: RingOf) -> Option<Self> {
        let file = file(fd)?;
        Some(match ring_of(&file) {
            Some(ring) => Self::Ring(ring),
            None => Self::File(file),
        })
    }

    /// Tells targets apart.
    pub(crate) fn id(&self) -> usize {
        match self {
            Self::File(file) => file.as_ptr() as usize,
            Self::Ring(ring) => ptr::from_ref::<Core>(ring) as usize,
        }
    }

    /// Whether it may keep rings that nobody has a descriptor of: one that is in the queue of a Unix
    /// socket, or registered with an io_uring. A request that waits for that keeps it in turn.
    pub(crate) fn may_keep_rings(&self) -> bool {
        let Self::File(file) = self else {
            return true;
        };
        // SAFETY: The file is open; a name that there is, is a string, and stays as long.
        unsafe {
            let name = bindings::miniring_anon_name(file.as_ptr());
            bindings::miniring_socket_family(file.as_ptr()) == bindings::AF_UNIX as c_int
                || !name.is_null() && CStr::from_char_ptr(name) == c"[io_uring]"
        }
    }

    /// Whether polling it means anything.
    pub(crate) fn can_poll(&self) -> bool {
        match self {
            // SAFETY: An open file has operations, which do not change.
            Self::File(file) => unsafe { (*(*file.as_ptr()).f_op).poll.is_some() },
            Self::Ring(_) => true,
        }
    }

    /// Whether it is ready for one of `events` at this moment. May sleep.
    pub(crate) fn is_ready(&self, events: u32) -> bool {
        let mut table = bindings::poll_table {
            _qproc: None,
            _key: events,
        };
        // SAFETY: The table adds no entries.
        let ready = unsafe { self.poll(&mut table) };
        ready & events != 0
    }

    /// What it is ready for (`EPOLL*`), after adding `table` to its wait queues. May sleep.
    ///
    /// # Safety
    ///
    /// The entries that `table` adds are taken off before this target is dropped, in the way that
    /// survives `POLLFREE`.
    pub(crate) unsafe fn poll(&self, table: &mut bindings::poll_table) -> u32 {
        match self {
            // SAFETY: The file is open; the rest is the caller's.
            Self::File(file) => unsafe { bindings::miniring_vfs_poll(file.as_ptr(), table) },
            Self::Ring(ring) => {
                // SAFETY: The ring lives as long as this target; the rest is the caller's.
                unsafe { ring.cq_wait.poll(ptr::null_mut(), table) };
                ring.ready_for()
            }
        }
    }
}
