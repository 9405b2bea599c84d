// SPDX-License-Identifier: GPL-2.0

//! The part of a ring that its requests hold.

use super::{
    drain::Drain,
    pending::Pending,
    rings::Counted,
    sequenced::Sequenced,
    target::{
        self,
        Pollable, //
    }, //
};
use crate::{
    bindings,
    dyn_debug,
    pure::geometry,
    ring::{
        abi::{
            setup::Config,
            shared::Shared, //
        },
        cq::{
            completion::{
                Completion,
                Published, //
            },
            notify::{
                InFlight,
                Notifier,
                When, //
            }, //
        },
        sys::{
            queues::UserQueues,
            wait::WaitQueue, //
        }, //
    }, //
};
use core::ptr;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            ordering::{
                Acquire,
                Release, //
            },
            Atomic,
            AtomicFlag, //
        },
        Arc, //
    }, //
};

/// An open file of the submitter, which may be a ring.
pub(crate) type Target = target::Target<Core>;

/// Returns the ring of a file, or `None` if the file is no ring.
pub(crate) type RingOf = target::RingOf<Core>;

/// The part of a ring that outlives its file: requests in flight hold it.
#[pin_data(PinnedDrop)]
pub(crate) struct Core {
    pub(crate) queues: UserQueues,
    pub(crate) shared: Shared,
    #[pin]
    pub(crate) completion: Completion,
    pub(crate) notifier: Notifier,
    #[pin]
    pub(crate) pending: Pending,
    #[pin]
    pub(crate) drain: Drain,
    #[pin]
    pub(crate) sequenced: Sequenced,
    #[pin]
    pub(crate) cq_wait: WaitQueue,
    /// Cancellers of timeouts sleep here until the owner releases or completes the timeout.
    #[pin]
    pub(super) let_go: WaitQueue,
    /// IORING_SETUP_R_DISABLED: a call enables the ring.
    enabled_later: bool,
    /// Set from the start, or by IORING_REGISTER_ENABLE_RINGS.
    enabled: AtomicFlag,
    /// A thread submits: IORING_SETUP_SQPOLL.
    pub(crate) polled: bool,
    /// Set for good by the first request about a file that may keep rings.
    pub(crate) had_keepers: AtomicFlag,
    /// The task that issues requests at this moment, or null. Null while operations run without a
    /// request.
    pub(crate) issuing: Atomic<*mut bindings::task_struct>,
    /// Dropped last: the module stays until no ring is counted.
    _counted: Counted,
}

impl Core {
    /// Makes the core of a ring. May sleep.
    ///
    /// # Errors
    ///
    /// As [`Ring::new`](crate::ring::Ring::new).
    pub(crate) fn new(config: &Config, notify_model: u32) -> Result<Arc<Self>> {
        let disabled = config.has(bindings::IORING_SETUP_R_DISABLED);
        let notifier = Notifier::new(notify_model)?;
        let queues = UserQueues::of_current()?;
        let shared = Shared::new(config.geometry)?;
        let counted = Counted::new()?;
        Arc::pin_init(
            pin_init!(Self {
                queues,
                shared,
                completion <- Completion::new(),
                notifier,
                pending <- Pending::new(),
                drain <- Drain::new(),
                sequenced <- Sequenced::new(),
                cq_wait <- WaitQueue::new(c"miniring::cq_wait", kernel::static_lock_class!()),
                let_go <- WaitQueue::new(c"miniring::let_go", kernel::static_lock_class!()),
                enabled_later: disabled,
                enabled: AtomicFlag::new(!disabled),
                polled: config.sqpoll.is_some(),
                had_keepers: AtomicFlag::new(false),
                issuing: Atomic::new(ptr::null_mut()),
                _counted: counted,
            }),
            GFP_KERNEL_ACCOUNT,
        )
    }

    #[inline]
    pub(crate) fn is_enabled(&self) -> bool {
        !self.enabled_later || self.enabled.load(Acquire)
    }

    /// Enables the ring. Returns false if another call enabled the ring before.
    pub(crate) fn enable(&self) -> bool {
        !self.enabled.xchg(true, Release)
    }

    /// Signals the registered eventfd for CQEs that the caller published. `published` is the count
    /// of CQEs after the last of them.
    #[inline]
    pub(crate) fn notify(&self, in_flight: &InFlight<'_>, published: Published, when: When) {
        self.notifier
            .signal(in_flight, &self.shared, published, when);
    }

    /// Returns the events that poll(2) reports for the ring at this moment (`EPOLL*`).
    pub(crate) fn ready_for(&self) -> u32 {
        let mut events = 0;
        if self.sq_has_room() {
            events |= bindings::CONST_EPOLLOUT | bindings::CONST_EPOLLWRNORM;
        }
        if self.has_completions() {
            events |= bindings::CONST_EPOLLIN | bindings::CONST_EPOLLRDNORM;
        }
        events
    }

    /// Returns the number of CQEs that userspace may have seen. [`Completion::published`] alone may
    /// lack the last ones: their tail is stored in the shared page before.
    pub(crate) fn visible(&self) -> Published {
        let published = self.completion.published();
        let more = geometry::distance(self.shared.cq_tail(), published as u32);
        // Userspace may have overwritten the tail.
        if more > self.shared.geometry().cq_entries() {
            return published;
        }
        published.wrapping_add(more.into())
    }

    /// Returns whether the SQ has room for another SQE.
    ///
    /// Uses the head that userspace sees, which may lag behind the submitter's head. If userspace
    /// overwrote the head, the kernel and userspace both get a wrong result.
    pub(crate) fn sq_has_room(&self) -> bool {
        let (head, tail, ..) = self.shared.indices();
        geometry::distance(tail, head) < self.shared.geometry().sq_entries()
    }

    /// Returns whether the CQ has a completion for userspace.
    pub(crate) fn has_completions(&self) -> bool {
        // Read the head first: userspace moves the head up to the tail that it sees.
        let head = self.shared.cq_head();
        self.completion.overflowed() || self.shared.cq_tail() != head
    }
}

impl Pollable for Core {
    unsafe fn poll(&self, table: &mut bindings::poll_table) -> u32 {
        // SAFETY: The ring lives as long as the entries of `table` (caller).
        unsafe { self.cq_wait.poll(ptr::null_mut(), table) };
        self.ready_for()
    }
}

#[pinned_drop]
impl PinnedDrop for Core {
    fn drop(self: Pin<&mut Self>) {
        let published = self.completion.published();
        dyn_debug!(drop, "a ring is freed after {published} completions\n");
    }
}
