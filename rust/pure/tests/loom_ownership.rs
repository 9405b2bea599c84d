// SPDX-License-Identifier: GPL-2.0

//! Tests the ownership of a request in every interleaving: the module's code, with loom's atomics.

#[path = "."]
mod model {
    pub(crate) use loom::sync::atomic;

    #[allow(missing_docs, unreachable_pub, dead_code)]
    #[path = "../ownership.rs"]
    pub(crate) mod ownership;
}

use loom::model::Builder;
use loom::sync::atomic::{
    AtomicU32,
    Ordering::Relaxed, //
};
use loom::sync::Arc;
use loom::thread;
use model::ownership::{
    Claim,
    Ownership,
    Word, //
};

fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    // Without a bound, an owner that always finds a word never ends.
    builder.preemption_bound = Some(2);
    builder.check(model);
}

/// A request that waits for a number of events and records the events that its owners saw.
struct Request {
    ownership: Ownership,
    events: AtomicU32,
    seen: AtomicU32,
    completions: AtomicU32,
}

impl Request {
    /// Makes a request that the caller owns.
    fn new() -> Arc<Self> {
        Arc::new(Self {
            ownership: Ownership::new(),
            events: AtomicU32::new(0),
            seen: AtomicU32::new(0),
            completions: AtomicU32::new(0),
        })
    }

    /// Acts as the owner: checks for events until it can release the request, or completes it.
    fn own(&self) {
        loop {
            self.seen.store(self.events.load(Relaxed), Relaxed);
            match self.ownership.release() {
                Ok(()) => return,
                Err(Word::Event) => (),
                Err(Word::Cancel) => return self.complete(),
            }
        }
    }

    fn complete(&self) {
        self.ownership.finish();
        self.completions.fetch_add(1, Relaxed);
    }

    fn happen(&self) {
        self.events.fetch_add(1, Relaxed);
        if self.ownership.claim() == Claim::Gained {
            self.own();
        }
    }

    fn cancel(&self) {
        if self.ownership.cancel() == Claim::Gained {
            self.complete();
        }
    }
}

#[test]
fn last_owner_sees_every_event() {
    check(|| {
        let request = Request::new();
        let other = request.clone();
        let thread = thread::spawn(move || {
            other.happen();
            other.happen();
        });
        request.own();
        request.happen();
        thread.join().unwrap();
        assert_eq!(request.seen.load(Relaxed), 3);
        assert_eq!(request.completions.load(Relaxed), 0);
        assert_eq!(request.ownership.try_claim(), Claim::Gained);
    });
}

#[test]
fn cancelled_request_is_completed_once() {
    check(|| {
        let request = Request::new();
        let (one, two) = (request.clone(), request.clone());
        let threads = [
            thread::spawn(move || one.cancel()),
            thread::spawn(move || two.happen()),
        ];
        request.own();
        request.cancel();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(request.completions.load(Relaxed), 1);
        assert_eq!(request.ownership.claim(), Claim::Done);
    });
}

#[test]
fn try_claim_leaves_an_event_to_the_owner() {
    check(|| {
        let request = Request::new();
        let other = request.clone();
        let thread = thread::spawn(move || {
            if other.ownership.try_claim() == Claim::Gained {
                other.own();
            }
        });
        request.own();
        request.happen();
        thread.join().unwrap();
        assert_eq!(request.seen.load(Relaxed), 1);
    });
}

#[test]
fn waiting_canceller_gains_a_request_from_its_owner() {
    check(|| {
        let request = Request::new();
        let other = request.clone();
        let owner = thread::spawn(move || {
            other.own();
            other.happen();
        });
        let cancelled = loop {
            match request.ownership.try_cancel() {
                Claim::Gained => break true,
                Claim::Done => break false,
                _ => thread::yield_now(),
            }
        };
        if cancelled {
            request.complete();
        }
        owner.join().unwrap();
        assert!(cancelled);
        assert_eq!(request.completions.load(Relaxed), 1);
    });
}

#[test]
fn owner_completes_before_a_cancel_or_is_told_of_it() {
    check(|| {
        let request = Request::new();
        let other = request.clone();
        let canceller = thread::spawn(move || other.ownership.cancel());
        let expected = if request.ownership.try_finish() {
            Claim::Done
        } else {
            Claim::Told
        };
        assert_eq!(canceller.join().unwrap(), expected);
    });
}
