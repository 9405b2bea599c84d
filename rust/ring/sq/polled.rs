// SPDX-License-Identifier: GPL-2.0

//! The state of a ring with IORING_SETUP_SQPOLL; see [`crate::ring::call::sqpoll`].

use crate::{
    bindings,
    ring::{
        abi::setup::Wish,
        sys::{
            thread::Thread,
            wait::WaitQueue, //
        }, //
    }, //
};
use kernel::{
    new_mutex,
    prelude::*,
    sync::{
        atomic::{
            ordering::Acquire,
            AtomicFlag, //
        },
        Arc,
        Mutex, //
    }, //
};

/// The polling state of a ring.
#[pin_data]
pub(crate) struct SqPoll {
    pub(crate) wish: Wish,
    /// The idle thread sleeps here.
    #[pin]
    pub(crate) idle: WaitQueue,
    /// Callers that wait for room in the SQ sleep here.
    #[pin]
    pub(crate) room: WaitQueue,
    /// The thread has ended, and submits nothing.
    pub(crate) ended: AtomicFlag,
    /// The thread, from its start until the ring's file is released.
    #[pin]
    pub(crate) thread: Mutex<Option<Arc<Thread>>>,
}

impl SqPoll {
    /// Makes the state, without a thread.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(crate) fn new(wish: Wish) -> Result<Pin<KBox<Self>>> {
        KBox::pin_init(
            pin_init!(Self {
                wish,
                idle <- WaitQueue::new(c"miniring::sq_idle", kernel::static_lock_class!()),
                room <- WaitQueue::new(c"miniring::sq_room", kernel::static_lock_class!()),
                ended: AtomicFlag::new(false),
                thread <- new_mutex!(None, "miniring::SqPoll"),
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    /// Returns `EOWNERDEAD` if the thread has ended.
    pub(crate) fn check(&self) -> Result {
        if self.ended.load(Acquire) {
            return Err(Error::from_errno(-(bindings::EOWNERDEAD as c_int)));
        }
        Ok(())
    }

    /// Wakes the idle thread, which checks the SQ again.
    pub(crate) fn wake(&self) {
        self.idle.wake();
    }
}
