// SPDX-License-Identifier: GPL-2.0

//! A miniature `io_uring`: its interface behind three ioctls of `/dev/miniring`.
//!
//! State is split by who may touch it, and the split is the module structure:
//!
//! * [`shared`]: the pages mapped to userspace, which is taken to be hostile;
//! * [`issuer`]: what only a submitter touches, reached through an `Access`;
//! * [`completion`]: the CQ tail and what does not fit, under a spinlock;
//! * [`notify`]: the eventfd, protected in the way that SETUP chose;
//! * [`account`]: what the [`buffers`] count against.
//!
//! What it does: [`setup`], [`enter`] or [`sqpoll`] with [`submit`] and [`op`], [`register`],
//! [`fdinfo`], and [`device`] for the file they are called on. [`rings`] is the list of all of them.
//!
//! Lock order: notify's `Still`, the issuer mutex (of two rings by address), then one of account's
//! mutex and the spinlocks of completion and notify, which are leaves.

mod abi;
mod call;
mod cq;
mod op;
mod req;
mod sq;
mod sys;

pub(crate) use self::{
    call::{
        device::Registration,
        rings::FILES,
        workers::Workers, //
    },
    sys::task_work::find as find_task_work, //
};

use self::{
    abi::{
        relaxed,
        setup::Config,
        shared::Shared,
        trace, //
    },
    call::rings::Listed,
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
    req::{
        drain::Drain,
        pending::Pending,
        sequenced::Sequenced, //
    },
    sq::{
        account::Account,
        gate::Gate,
        polled::SqPoll,
        tally::Tally, //
    },
    sys::{
        queues::UserQueues,
        wait::WaitQueue, //
    }, //
};
use crate::{
    bindings,
    dyn_debug, //
};
use core::ptr;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            ordering::{Acquire, Relaxed, Release},
            Atomic,
            AtomicFlag, //
        },
        Arc, //
    }, //
};

/// A ring.
#[pin_data(PinnedDrop)]
pub(crate) struct Ring {
    config: Config,
    account: Arc<Account>,
    queues: UserQueues,
    shared: Shared,
    #[pin]
    gate: Gate,
    #[pin]
    completion: Completion,
    notifier: Notifier,
    #[pin]
    pending: Pending,
    #[pin]
    drain: Drain,
    #[pin]
    sequenced: Sequenced,
    /// With IORING_SETUP_SQPOLL.
    sq: Option<Pin<KBox<SqPoll>>>,
    #[pin]
    cq_wait: WaitQueue,
    /// Set from the start, or by IORING_REGISTER_ENABLE_RINGS.
    enabled: AtomicFlag,
    /// Set for good by the first request about a file that may keep rings.
    had_keepers: AtomicFlag,
    /// The issuer's SQ position, for those who are not the issuer.
    cached_sq_head: Atomic<u32>,
    /// The task that issues requests at this moment, or null. Not set for what is over at once.
    issuing: Atomic<*mut bindings::task_struct>,
    /// Dropped last: the module waits until no ring is listed.
    _listed: Listed,
}

impl Ring {
    /// Makes a ring whose registration is protected as `notify_model` says.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such model, `ENOMEM`.
    fn new(config: Config, notify_model: u32) -> Result<Arc<Self>> {
        let disabled = config.has(bindings::IORING_SETUP_R_DISABLED);
        let notifier = Notifier::new(notify_model)?;
        let account = Account::of_current()?;
        let queues = UserQueues::of_current()?;
        let shared = Shared::new(config.geometry)?;
        let sq = config.sqpoll.map(SqPoll::new).transpose()?;
        let tally = Arc::new(Tally::new(), GFP_KERNEL_ACCOUNT)?;
        let listed = Listed::new(config.flags(), tally.clone())?;
        let gate = Gate::new(
            config.has(bindings::IORING_SETUP_SINGLE_ISSUER),
            config.has(bindings::IORING_SETUP_SQPOLL),
            tally,
        )?;
        let ring = Arc::pin_init(
            pin_init!(Self {
                config,
                account,
                queues,
                shared,
                gate <- gate,
                completion <- Completion::new(),
                notifier,
                pending <- Pending::new(),
                drain <- Drain::new(),
                sequenced <- Sequenced::new(),
                sq,
                cq_wait <- WaitQueue::new(c"miniring::cq_wait", kernel::static_lock_class!()),
                enabled: AtomicFlag::new(!disabled),
                had_keepers: AtomicFlag::new(false),
                cached_sq_head: Atomic::new(0),
                issuing: Atomic::new(ptr::null_mut()),
                _listed: listed,
            }),
            GFP_KERNEL_ACCOUNT,
        )?;
        if !disabled {
            ring.gate.claim()?;
        }
        trace::create(&ring.shared, ring.config.flags);
        dyn_debug!(
            new,
            "a ring: {} and {} entries, notify model {notify_model}\n",
            ring.config.geometry.sq_entries(),
            ring.config.geometry.cq_entries()
        );
        Ok(ring)
    }

    #[inline]
    fn is_enabled(&self) -> bool {
        !self.config.has(bindings::IORING_SETUP_R_DISABLED) || self.enabled.load(Acquire)
    }

    /// Enables a ring that was made disabled; its submitter is the current task from now on.
    fn enable_rings(&self) -> Result {
        if self.is_enabled() {
            return Err(EBADFD);
        }
        self.gate.claim()?;
        if self.enabled.xchg(true, Release) {
            return Err(EBADFD);
        }
        if let Some(sq) = &self.sq {
            sq.wake();
        }
        Ok(())
    }

    /// Tells userspace, and who shows the ring's state, how far the SQ was consumed.
    #[inline]
    fn sq_head_seen(&self, head: u32) {
        relaxed::store(&self.cached_sq_head, head);
        self.shared.publish_sq_head(head);
    }

    fn cached_sq_head(&self) -> u32 {
        self.cached_sq_head.load(Relaxed)
    }

    /// Signals the registered eventfd, after CQEs of the caller's were published, the last of which
    /// made them `published`.
    #[inline]
    fn notify(&self, in_flight: &InFlight<'_>, published: Published, when: When) {
        self.notifier
            .signal(in_flight, &self.shared, published, when);
    }

    /// What poll(2) says of the ring at this moment (`EPOLL*`).
    fn ready_for(&self) -> u32 {
        let mut events = 0;
        if self.sq_has_room() {
            events |= bindings::CONST_EPOLLOUT | bindings::CONST_EPOLLWRNORM;
        }
        if self.has_completions() {
            events |= bindings::CONST_EPOLLIN | bindings::CONST_EPOLLRDNORM;
        }
        events
    }

    /// Whether the SQ has room for another SQE. This goes by what userspace sees, which for a moment
    /// is less room than the submitter knows of. If that was overwritten, it is wrong for both.
    fn sq_has_room(&self) -> bool {
        let (head, tail, ..) = self.shared.indices();
        crate::pure::geometry::distance(tail, head) < self.config.geometry.sq_entries()
    }

    /// Whether there is a completion to take.
    fn has_completions(&self) -> bool {
        self.completion.overflowed() || self.completion.tail() != self.shared.cq_head()
    }
}

#[pinned_drop]
impl PinnedDrop for Ring {
    fn drop(self: Pin<&mut Self>) {
        let published = self.completion.published();
        dyn_debug!(drop, "a ring is freed after {published} completions\n");
    }
}
