// SPDX-License-Identifier: GPL-2.0

//! Models of the rings' protocol, with the arithmetic of the module.
//!
//! One model has the head and tail of a ring, accessed as in `ring/abi/shared.rs`. Another model
//! has the CQ with its lock and overflow list, as in `ring/cq/completion.rs`. loom tries every
//! interleaving with at most three preemptions, and every value that the orderings allow a load to
//! return.
//!
//! Entries are relaxed atomics, so a missing ordering shows as an old entry or as the next entry.
//! Each ordering that matters has a test that leaves it out.

use loom::model::Builder;
use loom::sync::atomic::AtomicU32;
use loom::sync::atomic::Ordering::{
    self,
    Acquire,
    Relaxed,
    Release, //
};
use loom::sync::{
    Arc,
    Mutex, //
};
use loom::thread;
use miniring_pure::geometry::{
    cq_free,
    distance,
    slot,
    sq_ready, //
};
use std::collections::VecDeque;

/// Number of entries of the rings in the models: the smallest ring that can be partly full.
const ENTRIES: u32 = 2;

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    // Without a bound, some of the models take minutes.
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// A ring with one producer and one consumer.
struct Ring {
    head: AtomicU32,
    tail: AtomicU32,
    entries: [AtomicU32; ENTRIES as usize],
    publish: Ordering,
    observe: Ordering,
}

impl Ring {
    fn new(publish: Ordering, observe: Ordering) -> Self {
        Self {
            head: AtomicU32::new(0),
            tail: AtomicU32::new(0),
            entries: [AtomicU32::new(u32::MAX), AtomicU32::new(u32::MAX)],
            publish,
            observe,
        }
    }

    fn entry(&self, at: u32) -> &AtomicU32 {
        &self.entries[slot(at, ENTRIES) as usize]
    }

    /// Adds the entries of `from..len` that fit. Returns the first entry that was not added.
    fn produce(&self, from: u32, len: u32) -> u32 {
        let mut tail = from;
        let head = self.head.load(self.observe);
        while tail != len && distance(tail, head) < ENTRIES {
            self.entry(tail).store(tail, Relaxed);
            tail += 1;
        }
        self.tail.store(tail, self.publish);
        tail
    }

    /// Takes all entries, and asserts that they come in order.
    fn consume(&self, from: u32) -> u32 {
        let mut head = from;
        for _ in 0..sq_ready(head, self.tail.load(self.observe), ENTRIES) {
            assert_eq!(self.entry(head).load(Relaxed), head);
            head += 1;
        }
        self.head.store(head, self.publish);
        head
    }
}

/// Passes entries from one thread to another, with a few attempts on each side.
fn pass_through(publish: Ordering, observe: Ordering) {
    check(move || {
        let ring = Arc::new(Ring::new(publish, observe));
        let producer = {
            let ring = ring.clone();
            thread::spawn(move || (0..2).fold(0, |tail, _| ring.produce(tail, 3)))
        };
        let head = (0..2).fold(0, |head, _| ring.consume(head));
        let tail = producer.join().unwrap();
        assert!(head <= tail);
        let head = ring.consume(head);
        assert_eq!(head, tail);
        assert_eq!(ring.produce(tail, 3), 3);
        assert_eq!(ring.consume(head), 3);
    });
}

#[test]
fn consumer_takes_whole_entries_in_order() {
    pass_through(Release, Acquire);
}

#[test]
#[should_panic(expected = "left == right")]
fn index_published_without_release_shows_an_old_entry() {
    pass_through(Relaxed, Acquire);
}

#[test]
#[should_panic(expected = "left == right")]
fn index_read_without_acquire_shows_an_old_entry() {
    pass_through(Release, Relaxed);
}

/// The kernel's state of a completion queue, and the shared words.
struct Completion {
    state: Mutex<State>,
    head: AtomicU32,
    tail: AtomicU32,
    entries: [AtomicU32; ENTRIES as usize],
}

#[derive(Default)]
struct State {
    tail: u32,
    limit: u32,
    overflow: VecDeque<u32>,
}

impl Completion {
    fn new() -> Self {
        Self {
            state: Mutex::new(State::default()),
            head: AtomicU32::new(0),
            tail: AtomicU32::new(0),
            entries: [AtomicU32::new(u32::MAX), AtomicU32::new(u32::MAX)],
        }
    }

    fn entry(&self, at: u32) -> &AtomicU32 {
        &self.entries[slot(at, ENTRIES) as usize]
    }

    fn room(&self, state: &mut State) -> bool {
        if state.tail == state.limit {
            let free = cq_free(state.tail, self.head.load(Acquire), ENTRIES);
            state.limit = state.tail.wrapping_add(free);
        }
        // For any head, the room is at most the ring's number of entries.
        assert!(distance(state.limit, state.tail) <= ENTRIES);
        state.tail != state.limit
    }

    fn push(&self, state: &mut State, cqe: u32) {
        self.entry(state.tail).store(cqe, Relaxed);
        state.tail = state.tail.wrapping_add(1);
    }

    fn post(&self, cqe: u32) {
        let mut state = self.state.lock().unwrap();
        if state.overflow.is_empty() && self.room(&mut state) {
            self.push(&mut state, cqe);
            self.tail.store(state.tail, Release);
        } else {
            state.overflow.push_back(cqe);
        }
    }

    fn flush(&self) {
        let mut state = self.state.lock().unwrap();
        while !state.overflow.is_empty() && self.room(&mut state) {
            let cqe = state.overflow.pop_front().unwrap();
            self.push(&mut state, cqe);
        }
        self.tail.store(state.tail, Release);
    }

    /// Acts as userspace: takes all entries.
    fn reap(&self, seen: &mut Vec<u32>) {
        let mut head = self.head.load(Relaxed);
        while head != self.tail.load(Acquire) {
            seen.push(self.entry(head).load(Relaxed));
            head = head.wrapping_add(1);
        }
        self.head.store(head, Release);
    }
}

/// Starts completer `n`, which posts `len` CQEs from `10 * n` on.
fn completer(cq: &Arc<Completion>, n: u32, len: u32) -> thread::JoinHandle<()> {
    let cq = cq.clone();
    thread::spawn(move || (0..len).for_each(|i| cq.post(10 * n + i)))
}

#[test]
fn two_completers_post_every_cqe_in_their_order() {
    check(|| {
        let cq = Arc::new(Completion::new());
        let completers = [completer(&cq, 1, 2), completer(&cq, 2, 1)];
        let mut seen = Vec::new();
        cq.reap(&mut seen);
        completers.into_iter().for_each(|c| c.join().unwrap());
        for _ in 0..2 {
            cq.reap(&mut seen);
            cq.flush();
        }
        cq.reap(&mut seen);
        assert!(cq.state.lock().unwrap().overflow.is_empty());
        assert!(seen.iter().filter(|&&cqe| cqe < 20).eq(&[10, 11]));
        assert!(seen.iter().filter(|&&cqe| cqe >= 20).eq(&[20]));
        assert_eq!(seen.len(), 3);
    });
}

#[test]
fn flush_beside_a_post_keeps_the_order_of_cqes() {
    check(|| {
        let cq = Arc::new(Completion::new());
        (0..4).for_each(|cqe| cq.post(cqe));
        let mut seen = Vec::new();
        cq.reap(&mut seen);
        let flusher = {
            let cq = cq.clone();
            thread::spawn(move || cq.flush())
        };
        cq.post(4);
        flusher.join().unwrap();
        for _ in 0..2 {
            cq.reap(&mut seen);
            cq.flush();
        }
        cq.reap(&mut seen);
        assert_eq!(seen, [0, 1, 2, 3, 4]);
    });
}

#[test]
fn hostile_cq_head_loses_no_kept_completion() {
    for hostile in [1, 2, 3, 0x8000_0000, u32::MAX] {
        check(move || {
            let cq = Arc::new(Completion::new());
            let writer = {
                let cq = cq.clone();
                thread::spawn(move || {
                    cq.head.store(hostile, Relaxed);
                    cq.head.store(0, Relaxed);
                })
            };
            let other = completer(&cq, 1, 2);
            cq.post(0);
            cq.flush();
            writer.join().unwrap();
            other.join().unwrap();
            cq.flush();
            // Each completion is either posted or in the overflow list, once.
            let state = cq.state.lock().unwrap();
            assert_eq!(state.tail as usize + state.overflow.len(), 3);
            assert_eq!(cq.tail.load(Relaxed), state.tail);
        });
    }
}
