// SPDX-License-Identifier: GPL-2.0

//! A miniature `io_uring`: its interface behind three ioctls of `/dev/miniring`.
//!
//! Each folder uses only those below it (scripts/check-imports):
//!
//! * [`call`]: what an operation on the file does;
//! * this file: a ring, with what only calls on its file use;
//! * [`op`]: what an SQE means, a file for each operation;
//! * [`req`]: the life of a request, and what it knows of its ring;
//! * [`sq`]: issuer state, which only a submitter touches, behind the gate;
//! * [`cq`]: completions, and the eventfd that is signalled for them;
//! * [`abi`]: what userspace shares, which is taken to be hostile;
//! * [`sys`]: kernel primitives that know no ring.
//!
//! Documentation/internals.rst has the way of a request through them, and the order of the locks.

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
        workers::Workers, //
    },
    req::rings::FILES,
    sys::task_work::find as find_task_work, //
};

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

/// A ring: what its requests know of it, and what only calls on its file use.
#[pin_data]
pub(crate) struct Ring {
    config: Config,
    account: Arc<Account>,
    #[pin]
    gate: Gate,
    /// With IORING_SETUP_SQPOLL.
    sq: Option<Pin<KBox<SqPoll>>>,
    /// The issuer's SQ position, for those who are not the issuer.
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
    /// Makes a ring whose registration is protected as `notify_model` says.
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

    /// Enables a ring that was made disabled; its submitter is the current task from now on.
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

    /// Tells userspace, and who shows the ring's state, how far the SQ was consumed.
    #[inline]
    fn sq_head_seen(&self, head: u32) {
        relaxed::store(&self.cached_sq_head, head);
        self.shared.publish_sq_head(head);
    }

    fn cached_sq_head(&self) -> u32 {
        self.cached_sq_head.load(Relaxed)
    }
}
