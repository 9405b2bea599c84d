// SPDX-License-Identifier: GPL-2.0

//! A miniature `io_uring`, behind three ioctls of `/dev/miniring`.
//!
//! Each folder uses only those below it (scripts/check-imports):
//!
//! * [`call`]: the operations on the file;
//! * this file: a ring, with the state that only calls on its file use;
//! * [`op`]: the meaning of an SQE, a file for each operation;
//! * [`req`]: the life of a request, and the part of the ring that requests hold;
//! * [`sq`]: issuer state, which only a submitter touches, behind the gate;
//! * [`cq`]: completions, and the eventfd that is signalled for them;
//! * [`abi`]: memory shared with userspace, which may be hostile;
//! * [`sys`]: kernel primitives that know no ring.
//!
//! Documentation/internals.rst describes the path of a request through these folders, and the lock
//! order.

mod abi;
pub(crate) mod call;
mod cq;
mod op;
pub(crate) mod req;
mod sq;
pub(crate) mod sys;

use self::{
    abi::{
        relaxed,
        setup::Config,
        trace, //
    },
    req::core::Core,
    sq::{
        account::Account,
        gate::Gate,
        polled::SqPoll, //
    }, //
};
use crate::{
    bindings,
    dyn_debug, //
};
use core::ops::Deref;
use kernel::{
    prelude::*,
    sync::{
        atomic::{
            ordering::Relaxed,
            Atomic, //
        },
        Arc, //
    }, //
};

/// A ring: the [`Core`] that its requests hold, and the state that only calls on its file use.
#[pin_data]
pub(crate) struct Ring {
    config: Config,
    account: Arc<Account>,
    #[pin]
    gate: Gate,
    /// `None` without IORING_SETUP_SQPOLL.
    sq: Option<Pin<KBox<SqPoll>>>,
    /// The submitter's SQ position, readable by any task.
    cached_sq_head: Atomic<u32>,
    /// Dropped last: see [`Core`].
    core: Arc<Core>,
}

impl Deref for Ring {
    type Target = Core;

    #[inline]
    fn deref(&self) -> &Core {
        &self.core
    }
}

impl Ring {
    /// Makes a ring whose eventfd registration uses the model `notify_model`. May sleep.
    ///
    /// # Errors
    ///
    /// `EINVAL` if there is no such model, `ENOMEM`.
    fn new(config: Config, notify_model: u32) -> Result<Arc<Self>> {
        let disabled = config.has(bindings::IORING_SETUP_R_DISABLED);
        let account = Account::of_current()?;
        let sq = config.sqpoll.map(SqPoll::new).transpose()?;
        let core = Core::new(&config, notify_model)?;
        let gate = Gate::new(
            config.has(bindings::IORING_SETUP_SINGLE_ISSUER),
            config.has(bindings::IORING_SETUP_SQPOLL),
        )?;
        let ring = Arc::pin_init(
            pin_init!(Self {
                config,
                account,
                gate <- gate,
                sq,
                cached_sq_head: Atomic::new(0),
                core,
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

    /// Enables a ring that was made disabled. The current task becomes the submitter.
    ///
    /// # Errors
    ///
    /// `EBADFD` if the ring is enabled; and the errors of [`Gate::claim`].
    fn enable_rings(&self) -> Result {
        if self.is_enabled() {
            return Err(EBADFD);
        }
        self.gate.claim()?;
        if !self.enable() {
            return Err(EBADFD);
        }
        if let Some(sq) = &self.sq {
            sq.wake();
        }
        Ok(())
    }

    /// Publishes the SQ head to userspace, and stores it for the polling thread and fdinfo.
    #[inline]
    fn sq_head_seen(&self, head: u32) {
        relaxed::store(&self.cached_sq_head, head);
        self.shared.publish_sq_head(head);
    }

    fn cached_sq_head(&self) -> u32 {
        self.cached_sq_head.load(Relaxed)
    }
}
