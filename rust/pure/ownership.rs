// SPDX-License-Identifier: GPL-2.0

//! Who may touch a request that several parties may complete.
//!
//! A request has one owner at most: its submitter, a worker, a timer, or whoever cancels it. Who
//! wants to become the owner and finds one leaves word instead, and the owner cannot let go before
//! it has heard. So every event is seen by an owner that comes after it, and a request is completed
//! once: by an owner, who stays that for good.

use core::sync::atomic::{
    AtomicU32,
    Ordering::{AcqRel, Acquire, Relaxed}, //
};

const OWNED: u32 = 1 << 0;
const EVENT: u32 = 1 << 1;
const CANCEL: u32 = 1 << 2;
const DONE: u32 = 1 << 3;

/// The ownership of one request.
pub struct Ownership(AtomicU32);

/// What became of an attempt to gain ownership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The caller is the owner.
    Gained,
    /// There is an owner, which will hear of it.
    Told,
    /// The request was completed.
    Done,
}

/// What an owner was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// Something happened that the owner may have missed.
    Event,
    /// The request is to be cancelled.
    Cancel,
}

impl Ownership {
    /// Of a request that its maker owns.
    pub const fn new() -> Self {
        Self(AtomicU32::new(OWNED))
    }

    /// Gains ownership because something happened, or tells the owner.
    pub fn claim(&self) -> Claim {
        self.become_owner(0, EVENT)
    }

    /// Gains ownership in order to cancel the request, or tells the owner to. Who gains it finds
    /// [`Ownership::word`] to be [`Word::Cancel`] too.
    pub fn cancel(&self) -> Claim {
        self.become_owner(CANCEL, CANCEL)
    }

    /// Gains ownership if there is no owner; leaves no word.
    pub fn try_claim(&self) -> Claim {
        self.become_owner(0, 0)
    }

    fn become_owner(&self, with: u32, word: u32) -> Claim {
        let mut now = self.0.load(Relaxed);
        loop {
            let (new, claim) = match now {
                _ if now & DONE != 0 => return Claim::Done,
                _ if now & OWNED == 0 => (now | OWNED | with, Claim::Gained),
                _ => (now | word, Claim::Told),
            };
            match self.0.compare_exchange_weak(now, new, AcqRel, Relaxed) {
                Ok(_) => return claim,
                Err(other) => now = other,
            }
        }
    }

    /// Gives ownership up.
    ///
    /// # Errors
    ///
    /// What the owner was told since it last asked; it still is the owner.
    pub fn release(&self) -> Result<(), Word> {
        match self.word() {
            Some(word) => Err(word),
            None => match self.0.compare_exchange(OWNED, 0, AcqRel, Acquire) {
                Ok(_) => Ok(()),
                // Only others' words change it meanwhile.
                Err(_) => Err(self.word().unwrap_or(Word::Event)),
            },
        }
    }

    /// What the owner was told since it last asked. Events are told once, a cancellation always.
    pub fn word(&self) -> Option<Word> {
        let now = self.0.fetch_and(!EVENT, AcqRel);
        if now & CANCEL != 0 {
            Some(Word::Cancel)
        } else if now & EVENT != 0 {
            Some(Word::Event)
        } else {
            None
        }
    }

    /// Whether the owner was told something that it did not ask for yet.
    pub fn has_word(&self) -> bool {
        self.0.load(Acquire) & (EVENT | CANCEL) != 0
    }

    /// The owner completes the request. Nobody else is going to.
    pub fn finish(&self) {
        self.0.fetch_or(DONE, AcqRel);
    }

    /// Whether the request was completed.
    pub fn is_finished(&self) -> bool {
        self.0.load(Acquire) & DONE != 0
    }
}

impl Default for Ownership {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_owner_at_a_time() {
        let request = Ownership::new();
        assert_eq!(request.claim(), Claim::Told);
        assert!(request.has_word());
        assert_eq!(request.release(), Err(Word::Event));
        assert!(!request.has_word());
        assert_eq!(request.release(), Ok(()));
        assert_eq!(request.claim(), Claim::Gained);
        assert_eq!(request.release(), Ok(()));
    }

    #[test]
    fn a_cancellation_is_not_forgotten() {
        let request = Ownership::new();
        assert_eq!(request.cancel(), Claim::Told);
        assert_eq!(request.claim(), Claim::Told);
        for _ in 0..3 {
            assert_eq!(request.release(), Err(Word::Cancel));
        }
        request.finish();
        assert_eq!(request.cancel(), Claim::Done);
        assert_eq!(request.claim(), Claim::Done);
    }

    #[test]
    fn who_cancels_a_request_without_owner_owns_it() {
        let request = Ownership::new();
        assert_eq!(request.release(), Ok(()));
        assert_eq!(request.cancel(), Claim::Gained);
        assert_eq!(request.word(), Some(Word::Cancel));
        assert_eq!(request.cancel(), Claim::Told);
    }

    #[test]
    fn to_try_leaves_no_word() {
        let request = Ownership::new();
        assert_eq!(request.try_claim(), Claim::Told);
        assert_eq!(request.release(), Ok(()));
        assert_eq!(request.try_claim(), Claim::Gained);
    }

    #[test]
    fn each_event_is_heard_of() {
        use std::sync::{
            atomic::AtomicU32,
            Arc, //
        };
        // Producers count, then claim; an owner reads the count. In the end it must have been
        // read by an owner that came last.
        let request = Arc::new(Ownership::new());
        assert_eq!(request.release(), Ok(()));
        let made = Arc::new(AtomicU32::new(0));
        let seen = Arc::new(AtomicU32::new(0));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (request, made, seen) = (request.clone(), made.clone(), seen.clone());
                std::thread::spawn(move || {
                    for _ in 0..10_000 {
                        made.fetch_add(1, Relaxed);
                        if request.claim() != Claim::Gained {
                            continue;
                        }
                        loop {
                            seen.store(made.load(Relaxed), Relaxed);
                            if request.release().is_ok() {
                                break;
                            }
                        }
                    }
                })
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        assert_eq!(seen.load(Relaxed), 40_000);
    }
}
