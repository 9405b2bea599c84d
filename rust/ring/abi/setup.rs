// SPDX-License-Identifier: GPL-2.0

//! The arguments of `io_uring_setup(2)`: checks them, and fills in the results.

use crate::{
    bindings,
    pure::geometry::{
        self,
        Geometry, //
    }, //
};
use kernel::{
    prelude::*,
    time::{
        NSEC_PER_MSEC,
        NSEC_PER_SEC, //
    }, //
};

/// The thread that SETUP asks for with IORING_SETUP_SQPOLL.
#[derive(Clone, Copy)]
pub(crate) struct Wish {
    /// Time that the thread polls an empty SQ before it sleeps, in nanoseconds.
    pub(crate) idle_ns: i64,
    /// The CPU of the thread.
    pub(crate) cpu: Option<u32>,
}

/// Supported setup flags (`IORING_SETUP_*`). No completion waits for its task to enter the kernel.
/// So no task is interrupted for a completion, and IORING_SQ_TASKRUN is never set.
/// IORING_SETUP_DEFER_TASKRUN is not supported for the same reason.
const FLAGS: u32 = bindings::IORING_SETUP_CQSIZE
    | bindings::IORING_SETUP_SQPOLL
    | bindings::IORING_SETUP_SQ_AFF
    | bindings::IORING_SETUP_CLAMP
    | bindings::IORING_SETUP_R_DISABLED
    | bindings::IORING_SETUP_SUBMIT_ALL
    | bindings::IORING_SETUP_COOP_TASKRUN
    | bindings::IORING_SETUP_TASKRUN_FLAG
    | bindings::IORING_SETUP_SINGLE_ISSUER
    | bindings::IORING_SETUP_NO_SQARRAY;

/// Supported features (`IORING_FEAT_*`).
const FEATURES: u32 = bindings::IORING_FEAT_SINGLE_MMAP
    | bindings::IORING_FEAT_NODROP
    | bindings::IORING_FEAT_SUBMIT_STABLE
    | bindings::IORING_FEAT_EXT_ARG
    | bindings::IORING_FEAT_CQE_SKIP
    | bindings::IORING_FEAT_RW_CUR_POS
    | bindings::IORING_FEAT_CUR_PERSONALITY
    | bindings::IORING_FEAT_FAST_POLL
    | bindings::IORING_FEAT_POLL_32BITS
    | bindings::IORING_FEAT_SQPOLL_NONFIXED
    | bindings::IORING_FEAT_MIN_TIMEOUT
    | bindings::IORING_FEAT_NO_IOWAIT;

/// The checked parameters of a ring.
pub(crate) struct Config {
    pub(crate) geometry: Geometry,
    pub(crate) flags: u32,
    /// The ring has IORING_SETUP_SQPOLL.
    pub(crate) sqpoll: Option<Wish>,
    /// A 32-bit program made the ring.
    pub(crate) compat: bool,
}

impl Config {
    /// Checks the parameters of SETUP.
    ///
    /// # Errors
    ///
    /// `EINVAL` for an unsupported flag, a reserved field that is set, or numbers of entries that
    /// are out of range.
    pub(crate) fn new(entries: u32, params: &bindings::io_uring_params) -> Result<Self> {
        let flags = params.flags;
        if flags & !FLAGS != 0 || params.resv.iter().any(|word| *word != 0) {
            return Err(EINVAL);
        }
        let has = |flag| flags & flag != 0;
        if has(bindings::IORING_SETUP_TASKRUN_FLAG) && !has(bindings::IORING_SETUP_COOP_TASKRUN) {
            return Err(EINVAL);
        }
        let sqpoll = sqpoll(params)?;
        let cq_entries = has(bindings::IORING_SETUP_CQSIZE).then_some(params.cq_entries);
        let clamp = has(bindings::IORING_SETUP_CLAMP);
        let mut geometry = Geometry::new(entries, cq_entries, clamp).map_err(|_| EINVAL)?;
        if has(bindings::IORING_SETUP_NO_SQARRAY) {
            geometry = geometry.without_sq_array();
        }
        Ok(Self {
            geometry,
            flags,
            sqpoll,
            // SAFETY: Only reads the current task.
            compat: unsafe { bindings::miniring_in_compat_syscall() },
        })
    }

    /// Returns whether the ring has `flag` (`IORING_SETUP_*`).
    pub(crate) fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Fills in the results of SETUP.
    pub(crate) fn describe(&self, params: &mut bindings::io_uring_params) {
        params.sq_entries = self.geometry.sq_entries();
        params.cq_entries = self.geometry.cq_entries();
        params.features = FEATURES;
        params.sq_off = bindings::io_sqring_offsets {
            head: geometry::SQ_HEAD as u32,
            tail: geometry::SQ_TAIL as u32,
            ring_mask: geometry::SQ_RING_MASK as u32,
            ring_entries: geometry::SQ_RING_ENTRIES as u32,
            flags: geometry::SQ_FLAGS as u32,
            dropped: geometry::SQ_DROPPED as u32,
            // Without an array the field keeps the caller's value, as in io_uring.
            array: self
                .geometry
                .sq_array_offset()
                .map_or(params.sq_off.array, |offset| offset as u32),
            resv1: 0,
            user_addr: 0,
        };
        params.cq_off = bindings::io_cqring_offsets {
            head: geometry::CQ_HEAD as u32,
            tail: geometry::CQ_TAIL as u32,
            ring_mask: geometry::CQ_RING_MASK as u32,
            ring_entries: geometry::CQ_RING_ENTRIES as u32,
            overflow: geometry::CQ_OVERFLOW as u32,
            cqes: geometry::CQES as u32,
            flags: geometry::CQ_FLAGS as u32,
            resv1: 0,
            user_addr: 0,
        };
    }
}

/// Returns the thread that SETUP asks for, if any; `EINVAL` if flags and fields contradict.
fn sqpoll(params: &bindings::io_uring_params) -> Result<Option<Wish>> {
    let has = |flag| params.flags & flag != 0;
    if !has(bindings::IORING_SETUP_SQPOLL) {
        return match has(bindings::IORING_SETUP_SQ_AFF) {
            true => Err(EINVAL),
            false => Ok(None),
        };
    }
    if has(bindings::IORING_SETUP_COOP_TASKRUN) {
        return Err(EINVAL);
    }
    let cpu = has(bindings::IORING_SETUP_SQ_AFF).then_some(params.sq_thread_cpu);
    // SAFETY: The helper accepts any number.
    if cpu.is_some_and(|cpu| unsafe { !bindings::miniring_cpu_online(cpu) }) {
        return Err(EINVAL);
    }
    let idle_ns = match params.sq_thread_idle {
        0 => NSEC_PER_SEC,
        ms => i64::from(ms).saturating_mul(NSEC_PER_MSEC),
    };
    Ok(Some(Wish { idle_ns, cpu }))
}
