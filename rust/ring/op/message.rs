// SPDX-License-Identifier: GPL-2.0

//! IORING_OP_MSG_RING: a completion for another ring.

use super::common::{
    AtOnce,
    Context, //
};
use crate::{
    bindings,
    ring::{
        abi::{
            shared::Cqe,
            sqe::Sqe, //
        },
        cq::{
            completion::{
                Entry,
                Of, //
            },
            notify::When, //
        },
        req::{
            core::{
                Core,
                Target, //
            },
            poster::Poster,
            request::Request, //
        }, //
    }, //
};
use kernel::prelude::*;

/// Posts a completion to a ring.
pub(crate) struct Message {
    target: Option<Target>,
    command: u32,
    cqe: Cqe,
    source: u64,
    /// The target's file slot, or the CQE's flags.
    argument: u32,
    flags: u32,
}

impl Message {
    pub(super) fn prepare(sqe: &Sqe, context: &Context<'_>) -> Result<Self> {
        if sqe.buf_index != 0 {
            return Err(EINVAL);
        }
        let known = bindings::IORING_MSG_RING_CQE_SKIP | bindings::IORING_MSG_RING_FLAGS_PASS;
        if sqe.op_flags & !known != 0 {
            return Err(EINVAL);
        }
        Ok(Self {
            target: context.target(sqe),
            // Only the lower half counts, as in io_uring.
            command: sqe.addr as u32,
            cqe: Cqe {
                user_data: sqe.off,
                res: sqe.len as i32,
                flags: 0,
            },
            source: sqe.addr3,
            argument: sqe.file_index,
            flags: sqe.op_flags,
        })
    }

    fn send(&self, ring: &Core, target: &Core, poster: &Poster<'_>) -> Result {
        let pass = self.flags == bindings::IORING_MSG_RING_FLAGS_PASS;
        if self.source as u32 != 0 || self.flags != 0 && !pass || !pass && self.argument != 0 {
            return Err(EINVAL);
        }
        if !target.is_enabled() {
            return Err(EBADFD);
        }
        let flags = if pass { self.argument } else { 0 };
        if flags & bindings::IORING_CQE_F_32 != 0 {
            return Err(EINVAL);
        }
        let cqe = Cqe { flags, ..self.cqe };
        let entry = Entry::new()?;
        if core::ptr::eq(target, ring) {
            poster.post_message(cqe, entry);
        } else {
            let in_flight = target.notifier.try_in_flight().ok_or(EAGAIN)?;
            target.post_one(&in_flight, cqe, Of::Other, entry, When::Later);
        }
        Ok(())
    }
}

impl AtOnce for Message {
    fn target(&self) -> Option<&Target> {
        self.target.as_ref()
    }

    /// Sends the message. Returns 0. `EBADF`; `EBADFD` if the target is no ring or not enabled;
    /// `EINVAL`; `ENOMEM`; `EAGAIN` while the target's eventfd changes, in the `quiesce` model.
    fn run(
        &mut self,
        ring: &Core,
        _this: Option<&Request>,
        poster: &mut Poster<'_>,
    ) -> Result<i32> {
        match &self.target {
            None => Err(EBADF),
            Some(Target::File(_)) => Err(EBADFD),
            Some(Target::Ring(target)) => match self.command {
                bindings::IORING_MSG_DATA => self.send(ring, target, poster).map(|()| 0),
                bindings::IORING_MSG_SEND_FD => {
                    if self.cqe.res != 0 || core::ptr::eq::<Core>(&**target, ring) {
                        return Err(EINVAL);
                    }
                    if !target.is_enabled() {
                        return Err(EBADFD);
                    }
                    // No ring has registered files.
                    Err(EBADF)
                }
                _ => Err(EINVAL),
            },
        }
    }
}
