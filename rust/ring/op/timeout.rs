// SPDX-License-Identifier: GPL-2.0

//! IORING_OP_TIMEOUT and IORING_OP_TIMEOUT_REMOVE.
//!
//! A timer that expires gains its request's ownership, posts the completion there and then, in hard
//! interrupt context, and leaves the rest to a worker. One that is to report again is started again
//! by the worker, so that no interval, however short, keeps the CPU in interrupts.

use super::{
    super::{
        completion::Of,
        queues::Kind,
        relaxed,
        request::{
            Owned,
            Request,
            Step, //
        },
        run::{
            Issued,
            Outcome,
            Poster, //
        },
        sqe::Sqe,
        uaccess::read_timespec,
        Ring, //
    },
    Op, //
};
use crate::{
    bindings,
    pure::ownership::{
        Claim,
        Word, //
    }, //
};
use core::mem::offset_of;
use kernel::{
    new_spinlock_irq,
    prelude::*,
    rbtree::{
        RBTree,
        RBTreeNodeReservation, //
    },
    sync::{
        atomic::{
            ordering::{Acquire, Full, Relaxed, Release},
            Atomic,
            AtomicFlag, //
        },
        Arc,
        ArcBorrow,
        SpinLockIrq, //
    },
    time::NSEC_PER_SEC,
    types::Opaque, //
};

/// That a timeout waits for its time only.
const NEVER: i64 = i64::MAX;

/// A request's timer, and how many CQEs it waits for.
#[pin_data]
pub(crate) struct Timer {
    #[pin]
    timer: Opaque<bindings::hrtimer>,
    /// `timer` is initialised.
    ready: AtomicFlag,
    /// Due when so many CQEs [count](super::super::completion::Completion::counted), or [`NEVER`].
    due: Atomic<i64>,
    /// Tells it from others that are due then.
    nr: Atomic<u64>,
}

/// When a timer expires.
#[derive(Clone, Copy)]
struct Time {
    ns: i64,
    clock: u32,
    absolute: bool,
}

impl Time {
    /// Reads a time, which is at the user address `arg` or `arg` itself, of the clock that `flags`
    /// say (`IORING_TIMEOUT_*`).
    fn read(arg: u64, flags: u32) -> Result<Self> {
        let ns = if flags & bindings::IORING_TIMEOUT_IMMEDIATE_ARG != 0 {
            i64::try_from(arg).map_err(|_| EINVAL)?
        } else {
            let ts = read_timespec(arg)?;
            if ts.tv_sec < 0 || ts.tv_nsec < 0 {
                return Err(EINVAL);
            }
            ts.tv_sec
                .saturating_mul(NSEC_PER_SEC)
                .saturating_add(ts.tv_nsec)
        };
        let clock = match flags & clocks() {
            0 => bindings::CLOCK_MONOTONIC,
            bindings::IORING_TIMEOUT_BOOTTIME => bindings::CLOCK_BOOTTIME,
            bindings::IORING_TIMEOUT_REALTIME => bindings::CLOCK_REALTIME,
            _ => return Err(EINVAL),
        };
        Ok(Self {
            ns,
            clock,
            absolute: flags & bindings::IORING_TIMEOUT_ABS != 0,
        })
    }

    /// The same time, seen from outside of the current task's time namespace.
    fn of_host(self) -> Self {
        if !self.absolute {
            return self;
        }
        Self {
            // SAFETY: Reads the current task's namespace.
            ns: unsafe { bindings::miniring_timens_to_host(self.clock as c_int, self.ns) },
            ..self
        }
    }
}

const fn clocks() -> u32 {
    bindings::IORING_TIMEOUT_BOOTTIME | bindings::IORING_TIMEOUT_REALTIME
}

impl Timer {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            timer: Opaque::uninit(),
            ready: AtomicFlag::new(false),
            due: Atomic::new(NEVER),
            nr: Atomic::new(0),
        })
    }

    /// Starts the timer.
    ///
    /// # Safety
    ///
    /// It is that of a [`Request`], and is stopped before that is dropped. It is neither running nor
    /// expiring, and whoever could start it is the caller.
    unsafe fn start(&self, time: Time) {
        let mode = if time.absolute {
            bindings::hrtimer_mode_HRTIMER_MODE_ABS
        } else {
            bindings::hrtimer_mode_HRTIMER_MODE_REL
        };
        // SAFETY: The timer is pinned, and may be set up by the safety requirements, by which the
        // callback finds its request as well.
        unsafe {
            bindings::hrtimer_setup(
                self.timer.get(),
                Some(expired),
                time.clock as bindings::clockid_t,
                mode,
            );
            self.ready.store(true, Relaxed);
            bindings::hrtimer_start_range_ns(self.timer.get(), time.ns, 0, mode);
        }
    }

    /// Stops the timer unless it is expiring at this moment. Any context.
    #[must_use]
    fn try_stop(&self) -> bool {
        if !self.ready.load(Relaxed) {
            return true;
        }
        // SAFETY: Initialised, which is what is asked for.
        let was = unsafe { bindings::hrtimer_try_to_cancel(self.timer.get()) };
        was >= 0
    }

    /// Stops the timer, and waits if it is expiring. Process context.
    pub(super) fn stop(&self) {
        if self.ready.load(Relaxed) {
            // SAFETY: Initialised, which is what is asked for.
            unsafe { bindings::hrtimer_cancel(self.timer.get()) };
        }
    }
}

/// A timer expired. Hard interrupt context.
///
/// # Safety
///
/// `timer` is that of a [`Timer`] that `Timer::start` started.
unsafe extern "C" fn expired(timer: *mut bindings::hrtimer) -> bindings::hrtimer_restart {
    const OFFSET: usize = offset_of!(Request, timer) + offset_of!(Timer, timer);
    // SAFETY: By the safety requirements; a request stops its timer, waiting for this, before it
    // goes.
    let request = unsafe { ArcBorrow::from_raw(timer.byte_sub(OFFSET).cast::<Request>()) };
    if let Some(owned) = Owned::claim(request) {
        expire(owned);
    }
    bindings::hrtimer_restart::HRTIMER_NORESTART
}

/// Reports that the time is up. Any context.
fn expire(mut owned: Owned) {
    let ring = owned.ring.clone();
    let Op::Timeout(timeout) = &mut owned.inner().op else {
        return;
    };
    let outcome = Outcome {
        res: ETIME.to_errno(),
        flags: 0,
        failed: timeout.flags & bindings::IORING_TIMEOUT_ETIME_SUCCESS == 0,
    };
    if timeout.goes_on() {
        let cqe = owned.cqe(outcome.res, bindings::IORING_CQE_F_MORE);
        if ring.try_post_in_irq(&owned, cqe) {
            return owned.enqueue(Step::Rearm, Kind::Prompt);
        }
    }
    ring.complete_in_irq(owned, outcome);
    // As io_uring does behind every CQE.
    ring.sequenced.flush(&ring);
}

/// Waits for a time, or for a number of completions.
pub(crate) struct Timeout {
    time: Time,
    flags: u32,
    /// Completions to wait for; reports to make, if it makes several; 0 for no limit.
    count: u32,
    /// Set if it waits for completions, until it does.
    room: Option<Room>,
}

/// Memory for a timeout that waits for completions.
type Room = RBTreeNodeReservation<Place, Arc<Request>>;

impl Timeout {
    pub(super) fn prepare(sqe: &Sqe) -> Result<Self> {
        if sqe.addr3 != 0 || sqe.pad != 0 {
            return Err(EINVAL);
        }
        if sqe.buf_index != 0 || sqe.len != 1 || sqe.file_index != 0 {
            return Err(EINVAL);
        }
        let flags = sqe.op_flags;
        let known = bindings::IORING_TIMEOUT_ABS
            | clocks()
            | bindings::IORING_TIMEOUT_ETIME_SUCCESS
            | bindings::IORING_TIMEOUT_MULTISHOT
            | bindings::IORING_TIMEOUT_IMMEDIATE_ARG;
        let relative = bindings::IORING_TIMEOUT_MULTISHOT | bindings::IORING_TIMEOUT_ABS;
        if flags & !known != 0 || flags & clocks() == clocks() || flags & relative == relative {
            return Err(EINVAL);
        }
        let count = sqe.off as u32;
        let multishot = flags & bindings::IORING_TIMEOUT_MULTISHOT != 0;
        Ok(Self {
            time: Time::read(sqe.addr, flags)?.of_host(),
            flags,
            count,
            room: if count != 0 && !multishot {
                Some(Room::new(GFP_KERNEL_ACCOUNT)?)
            } else {
                None
            },
        })
    }

    fn is_multishot(&self) -> bool {
        self.flags & bindings::IORING_TIMEOUT_MULTISHOT != 0
    }

    /// Whether there is another report after the one that is due.
    fn goes_on(&mut self) -> bool {
        if !self.is_multishot() {
            return false;
        }
        if self.count == 0 {
            return true;
        }
        self.count -= 1;
        self.count != 0
    }
}

/// Starts a timeout.
pub(super) fn issue(mut owned: Owned) -> Issued {
    owned.add_to_pending();
    let Op::Timeout(timeout) = &mut owned.inner().op else {
        return Issued::Done(owned, EINVAL.into());
    };
    let (time, count) = (timeout.time, timeout.count);
    if let Some(room) = timeout.room.take() {
        Sequenced::add(&owned, count, room);
    }
    start(owned, time)
}

/// Starts a timer that was reported again.
pub(super) fn rearm(mut owned: Owned) -> Issued {
    let Op::Timeout(timeout) = &owned.inner().op else {
        return Issued::Done(owned, EINVAL.into());
    };
    let time = timeout.time;
    // The callback that had this done may not have returned.
    owned.timer.stop();
    start(owned, time)
}

/// Starts a timer that is neither running nor expiring.
fn start(owned: Owned, time: Time) -> Issued {
    if owned.ownership.word() == Some(Word::Cancel) {
        return Issued::Done(owned, Outcome::cancelled());
    }
    let request = owned.to_arc();
    // SAFETY: It is the request's timer, which `disarm` stops, and at rest by the requirement above;
    // only an owner starts it.
    unsafe { request.timer.start(time) };
    match release(owned) {
        Ok(()) => Issued::Pending,
        Err((owned, Word::Cancel)) => Issued::Done(owned, Outcome::cancelled()),
        Err((owned, Word::Event)) => {
            // It expired already.
            expire(owned);
            Issued::Pending
        }
    }
}

/// Lets a timeout wait. Completions that made it due while it was owned passed it over, so this
/// checks once more.
fn release(owned: Owned) -> Result<(), (Owned, Word)> {
    let ring = owned.ring.clone();
    owned.release()?;
    ring.sequenced.flush(&ring);
    Ok(())
}

/// Ends a timeout, or changes its time.
pub(crate) struct Update {
    user_data: u64,
    time: Option<Time>,
}

impl Update {
    pub(super) fn prepare(sqe: &Sqe) -> Result<Self> {
        let unknown = bindings::CONST_IOSQE_FIXED_FILE | bindings::CONST_IOSQE_BUFFER_SELECT;
        if u32::from(sqe.flags) & unknown != 0 || sqe.addr3 != 0 || sqe.pad != 0 {
            return Err(EINVAL);
        }
        if sqe.buf_index != 0 || sqe.len != 0 || sqe.file_index != 0 {
            return Err(EINVAL);
        }
        let flags = sqe.op_flags;
        let time = if flags & bindings::IORING_TIMEOUT_UPDATE != 0 {
            let known = bindings::IORING_TIMEOUT_UPDATE
                | bindings::IORING_TIMEOUT_ABS
                | bindings::IORING_TIMEOUT_IMMEDIATE_ARG;
            if flags & !known != 0 {
                return Err(EINVAL);
            }
            // The clock is that of the timeout, which gives the time its meaning.
            Some(Time::read(sqe.off, flags)?)
        } else if flags != 0 {
            return Err(EINVAL);
        } else {
            None
        };
        Ok(Self {
            user_data: sqe.addr,
            time,
        })
    }

    /// `ENOENT` if there is no such timeout; for a change of time also `EALREADY` if it is expiring
    /// or is being started again, `EINVAL` if it cannot have such a time.
    pub(super) fn run(&self, ring: &Ring, poster: &mut Poster<'_>) -> Result {
        let request = ring
            .pending
            .round()
            .find(Some(self.user_data), Request::is_timeout)
            .ok_or(ENOENT)?;
        let Some(time) = self.time else {
            poster.cancel(Owned::cancel_after_owner(request).ok_or(ENOENT)?);
            return Ok(());
        };
        let mut owned = Owned::try_claim(request.as_arc_borrow()).map_err(|claim| match claim {
            Claim::Done => ENOENT,
            _ => EALREADY,
        })?;
        let ret = change(&mut owned, time);
        match release(owned) {
            Err((owned, Word::Cancel)) => poster.cancel(owned),
            Err((owned, Word::Event)) => expire(owned),
            Ok(()) => (),
        }
        ret
    }
}

/// Has a timeout expire at another time.
fn change(owned: &mut Owned, time: Time) -> Result {
    let request = owned.to_arc();
    let Op::Timeout(timeout) = &mut owned.inner().op else {
        return Err(ENOENT);
    };
    if timeout.is_multishot() && time.absolute {
        return Err(EINVAL);
    }
    // It may have expired when the request was owned already, which is left to be reported.
    if !request.timer.try_stop() || request.ownership.has_word() {
        return Err(EALREADY);
    }
    if !timeout.is_multishot() {
        timeout.count = 0;
    }
    timeout.time = Time {
        clock: timeout.time.clock,
        ..time
    }
    .of_host();
    let time = timeout.time;
    Sequenced::remove(&request);
    // SAFETY: It is the request's timer, which `disarm` stops. It was stopped just now, while it was
    // not expiring; only an owner starts it.
    unsafe { request.timer.start(time) };
    Ok(())
}

impl Request {
    /// Any context.
    pub(crate) fn is_timeout(&self) -> bool {
        u32::from(self.opcode) == bindings::IORING_OP_TIMEOUT
    }

    /// Returns what its completion counts as: that of a timeout if the timer was started, at any
    /// time. A TIMEOUT that was refused or is part of a chain that failed is like any request.
    pub(in super::super) fn counts_as(&self) -> Of {
        if self.is_timeout() && self.timer.ready.load(Relaxed) {
            Of::Timeout
        } else {
            Of::Other
        }
    }
}

/// Where a timeout is in the order of what it waits for.
type Place = (i64, u64);

/// The timeouts of a ring that wait for a number of completions.
///
/// The lock is a leaf.
#[pin_data]
pub(crate) struct Sequenced {
    /// How many there are.
    len: Atomic<usize>,
    /// Timeouts that were completed without a CQE.
    silent: Atomic<u64>,
    #[pin]
    waiting: SpinLockIrq<Waiting>,
}

struct Waiting {
    /// The number of the timeout that was added last.
    nr: u64,
    /// The timeout that is due first comes first, of several the one that was added first.
    tree: RBTree<Place, Arc<Request>>,
}

impl Sequenced {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            len: Atomic::new(0),
            silent: Atomic::new(0),
            waiting <- new_spinlock_irq!(Waiting {
                nr: 0,
                tree: RBTree::new(),
            }, "miniring::Sequenced"),
        })
    }

    /// Notes that a timeout was completed without a CQE. The caller wakes waiters.
    pub(in super::super) fn add_silent(&self) {
        self.silent.fetch_add(1, Release);
    }

    /// Returns how many timeouts were completed without a CQE.
    pub(in super::super) fn silent(&self) -> u64 {
        self.silent.load(Acquire)
    }

    /// Makes a timeout due in `count` completions.
    fn add(owned: &Owned, count: u32, room: Room) {
        let this = &owned.ring.sequenced;
        let counted = owned.ring.completion.counted();
        let due = counted.wrapping_add(count.into());
        let mut waiting = this.waiting.lock();
        waiting.nr += 1;
        let place = (due, waiting.nr);
        owned.timer.due.store(due, Relaxed);
        owned.timer.nr.store(place.1, Relaxed);
        waiting.tree.insert(room.into_node(place, owned.to_arc()));
        // A poster that reads the old value published its CQE before `release` reads the count.
        this.len.fetch_add(1, Full);
    }

    /// Has a timeout wait for its time only.
    pub(crate) fn remove(request: &Request) {
        let due = request.timer.due.load(Relaxed);
        if due == NEVER {
            return;
        }
        let this = &request.ring.sequenced;
        let place = (due, request.timer.nr.load(Relaxed));
        request.timer.due.store(NEVER, Relaxed);
        let node = this.waiting.lock().tree.remove_node(&place);
        if node.is_some() {
            this.len.fetch_sub(1, Relaxed);
        }
    }

    /// Takes out one that is due, and gains its ownership. Passes over a timeout that is owned: its
    /// owner takes it out.
    fn take(&self, counted: i64) -> Option<Owned> {
        let mut waiting = self.waiting.lock();
        let mut cursor = waiting.tree.cursor_front_mut()?;
        loop {
            let (place, request) = cursor.current();
            if place.0 > counted {
                return None;
            }
            if request.ownership.try_claim() == Claim::Gained {
                break;
            }
            cursor = cursor.move_next()?;
        }
        let (_, node) = cursor.remove_current();
        self.len.fetch_sub(1, Relaxed);
        drop(waiting);
        let (_, request) = node.to_key_value();
        request.timer.due.store(NEVER, Relaxed);
        // SAFETY: The ownership was gained above.
        Some(unsafe { Owned::assume(request) })
    }

    /// Completes those that are due, after CQEs were posted. Any context.
    #[inline]
    pub(crate) fn flush(&self, ring: &Ring) {
        if relaxed::load(&self.len) != 0 {
            self.complete(ring);
        }
    }

    fn complete(&self, ring: &Ring) {
        while let Some(owned) = self.take(ring.completion.counted()) {
            // If it is expiring it finds the request completed.
            let _ = owned.timer.try_stop();
            ring.complete_in_irq(owned, Outcome::new(0));
        }
    }
}
