// SPDX-License-Identifier: GPL-2.0

//! Who may touch a request that several parties may complete.
//!
//! A request has one owner at most: its submitter, a worker, a timer, or a canceller. An event that
//! finds an owner stores a word for it, and the owner cannot release the request before it has read
//! the word. So every event is seen by an owner that comes after it, and a request is completed
//! once: by an owner, who stays that for good.

use super::atomic::{
    AtomicU32,
    Ordering::{
        AcqRel,
        Acquire,
        Relaxed, //
    }, //
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
    /// There is an owner, which was told to cancel the request before.
    Again,
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
    pub fn new() -> Self {
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

    /// Gains ownership in order to cancel the request, if there is no owner; leaves no word.
    pub fn try_cancel(&self) -> Claim {
        self.become_owner(CANCEL, 0)
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
                _ if now & word & CANCEL != 0 => return Claim::Again,
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

    /// The owner completes the request, unless it was told to cancel it. Who told it that after
    /// this finds the request completed. Returns whether it did.
    pub fn try_finish(&self) -> bool {
        let mut now = self.0.load(Relaxed);
        while now & CANCEL == 0 {
            match self
                .0
                .compare_exchange_weak(now, now | DONE, AcqRel, Relaxed)
            {
                Ok(_) => return true,
                Err(other) => now = other,
            }
        }
        false
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
