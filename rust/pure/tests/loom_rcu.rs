// SPDX-License-Identifier: GPL-2.0

//! Models of `Rcu<T>` as in `rcu/mod.rs` and of deferring to a callback as in `deferred.rs`.
//!
//! loom tries every interleaving with at most three preemptions, and every value that the orderings
//! allow a load to return. A reader-writer lock models RCU: a read section holds the lock for
//! reading, and a grace period ends when a writer has taken the lock. Nodes are never freed, so
//! that a reader after a drop finds the mark of the drop. Each rule has a test that breaks the
//! rule.

use loom::model::Builder;
use loom::sync::atomic::Ordering::{
    self,
    AcqRel,
    Acquire,
    Relaxed,
    Release, //
};
use loom::sync::atomic::{
    fence,
    AtomicBool,
    AtomicU32,
    AtomicUsize, //
};
use loom::sync::{
    Arc,
    RwLock, //
};
use loom::thread;

const VALUE: u32 = 42;

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    // Without a bound, some of the models take minutes.
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// A reference-counted value. `Unpublished` is a value with a single reference.
struct Node {
    value: AtomicU32,
    refs: AtomicUsize,
    drops: AtomicU32,
    deferred: AtomicBool,
    asked: AtomicU32,
    handled: AtomicU32,
}

impl Node {
    fn new() -> Self {
        Self {
            value: AtomicU32::new(0),
            refs: AtomicUsize::new(1),
            drops: AtomicU32::new(0),
            deferred: AtomicBool::new(false),
            asked: AtomicU32::new(0),
            handled: AtomicU32::new(0),
        }
    }

    fn get(&self) {
        self.refs.fetch_add(1, Relaxed);
    }

    fn put(&self) {
        if self.refs.fetch_sub(1, Release) == 1 {
            fence(Acquire);
            self.drops.fetch_add(1, Relaxed);
        }
    }

    /// Uses the value: asserts that the value is whole and not dropped.
    fn look(&self) {
        assert_eq!(self.drops.load(Relaxed), 0, "used after it was dropped");
        assert_eq!(self.value.load(Relaxed), VALUE, "not whole");
    }
}

/// The state of the model: read sections and grace periods, two values, and a pointer to a value.
struct World {
    rcu: RwLock<()>,
    nodes: [Node; 2],
    /// 0, or 1 and the number of a node.
    ptr: AtomicUsize,
    publish: Ordering,
    grace_period: bool,
}

impl World {
    fn new() -> Self {
        Self::with(AcqRel, true)
    }

    fn with(publish: Ordering, grace_period: bool) -> Self {
        Self {
            rcu: RwLock::new(()),
            nodes: [Node::new(), Node::new()],
            ptr: AtomicUsize::new(0),
            publish,
            grace_period,
        }
    }

    fn create(&self, node: usize) -> usize {
        self.nodes[node].value.store(VALUE, Relaxed);
        node + 1
    }

    /// Models `Rcu::load` and a use of the value, with `keep` by a reference after the read
    /// section.
    fn read(&self, keep: bool) {
        let guard = self.rcu.read().unwrap();
        let ptr = self.ptr.load(Acquire);
        let Some(node) = ptr.checked_sub(1).map(|node| &self.nodes[node]) else {
            return;
        };
        node.look();
        if keep {
            node.get();
        }
        drop(guard);
        if keep {
            node.look();
            node.put();
        }
    }

    /// Models `Rcu::publish`.
    fn publish(&self, new: usize) -> bool {
        let published = self.ptr.compare_exchange(0, new, AcqRel, Relaxed).is_ok();
        if !published {
            self.nodes[new - 1].put();
        }
        published
    }

    fn assert_dropped_once(&self) {
        for node in &self.nodes {
            assert_eq!(node.drops.load(Relaxed), 1);
        }
    }
}

/// Models `Rcu::replace` and the drop of `Retired`.
fn replace(world: &Arc<World>, new: usize) -> Option<thread::JoinHandle<()>> {
    let old = world.ptr.swap(new, world.publish).checked_sub(1)?;
    if !world.grace_period {
        world.nodes[old].put();
        return None;
    }
    let world = world.clone();
    Some(thread::spawn(move || {
        drop(world.rcu.write().unwrap());
        world.nodes[old].put();
    }))
}

fn join(threads: impl IntoIterator<Item = thread::JoinHandle<()>>) {
    threads.into_iter().for_each(|t| t.join().unwrap());
}

fn read_beside_a_replace(publish: Ordering, grace_period: bool, keep: bool) {
    check(move || {
        let world = Arc::new(World::with(publish, grace_period));
        let first = world.create(0);
        replace(&world, first);
        let reader = {
            let world = world.clone();
            thread::spawn(move || world.read(keep))
        };
        let second = world.create(1);
        let retired = replace(&world, second);
        join(retired.into_iter().chain([reader]));
        join(replace(&world, 0));
        world.assert_dropped_once();
    });
}

#[test]
fn reader_beside_a_replace_finds_a_whole_value() {
    read_beside_a_replace(AcqRel, true, false);
}

#[test]
fn reference_outlives_the_read_section_and_the_grace_period() {
    read_beside_a_replace(AcqRel, true, true);
}

#[test]
#[should_panic(expected = "not whole")]
fn pointer_published_without_release_shows_an_old_value() {
    read_beside_a_replace(Relaxed, true, false);
}

#[test]
#[should_panic(expected = "used after it was dropped")]
fn value_dropped_without_a_grace_period_is_used_later() {
    read_beside_a_replace(AcqRel, false, false);
}

#[test]
fn two_updaters_retire_each_value_once() {
    check(|| {
        let world = Arc::new(World::new());
        let first = world.create(0);
        let other = {
            let world = world.clone();
            thread::spawn(move || join(replace(&world, first)))
        };
        let second = world.create(1);
        let retired = replace(&world, second);
        join(retired.into_iter().chain([other]));
        join(replace(&world, 0));
        world.assert_dropped_once();
    });
}

#[test]
fn one_of_two_publishers_succeeds() {
    check(|| {
        let world = Arc::new(World::new());
        let first = world.create(0);
        let other = {
            let world = world.clone();
            thread::spawn(move || world.publish(first))
        };
        let reader = {
            let world = world.clone();
            thread::spawn(move || world.read(false))
        };
        let second = world.create(1);
        let ours = world.publish(second);
        assert!(ours != other.join().unwrap());
        reader.join().unwrap();
        join(replace(&world, 0));
        world.assert_dropped_once();
    });
}

/// The way in which the callback clears its flag.
#[derive(Clone, Copy)]
enum Begin {
    Exchange,
    Store,
}

/// Models `Deferrable::defer`: the request, the callback's flag, and the callback with its
/// reference.
fn defer(world: &Arc<World>, begin: Begin) -> Option<thread::JoinHandle<()>> {
    let node = &world.nodes[0];
    node.asked.fetch_add(1, Relaxed);
    if node.deferred.swap(true, AcqRel) {
        node.put();
        return None;
    }
    let world = world.clone();
    Some(thread::spawn(move || {
        let node = &world.nodes[0];
        match begin {
            Begin::Exchange => {
                node.deferred.swap(false, AcqRel);
            }
            Begin::Store => node.deferred.store(false, Release),
        }
        node.look();
        let asked = node.asked.load(Relaxed);
        node.handled.fetch_max(asked, Relaxed);
        node.put();
    }))
}

fn defer_twice(begin: Begin) {
    check(move || {
        let world = Arc::new(World::new());
        world.create(0);
        let node = &world.nodes[0];
        node.get();
        let other = {
            let world = world.clone();
            thread::spawn(move || join(defer(&world, begin)))
        };
        join(defer(&world, begin));
        other.join().unwrap();
        assert_eq!(node.handled.load(Relaxed), 2, "a request was forgotten");
        assert_eq!(node.drops.load(Relaxed), 1);
    });
}

#[test]
fn deferred_call_sees_the_writes_of_each_caller() {
    defer_twice(Begin::Exchange);
}

/// Shows why a plain store is not enough: the callback may miss the writes of a caller that found
/// the flag set.
#[test]
#[should_panic(expected = "a request was forgotten")]
fn callback_that_clears_its_flag_by_a_store_misses_a_caller() {
    defer_twice(Begin::Store);
}

#[test]
fn deferred_call_keeps_the_value_alive() {
    check(|| {
        let world = Arc::new(World::new());
        let first = world.create(0);
        world.publish(first);
        // A reader whose context does not allow the call.
        let guard = world.rcu.read().unwrap();
        world.nodes[0].get();
        drop(guard);
        let retired = replace(&world, 0);
        join(defer(&world, Begin::Exchange).into_iter().chain(retired));
        assert_eq!(world.nodes[0].handled.load(Relaxed), 1);
        assert_eq!(world.nodes[0].drops.load(Relaxed), 1);
    });
}
