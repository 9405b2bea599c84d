// SPDX-License-Identifier: GPL-2.0

//! Ownership of a request that several tasks may complete.
//!
//! A request has at most one owner: its submitter, a worker, a timer, or a canceller. An event that
//! finds an owner stores a word for the owner. The owner cannot release the request before it has
//! read the word. So an owner sees every event after it happened. Only an owner completes the
//! request, and stays the owner, so a request is completed once.

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

/// The result of an attempt to gain ownership.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The caller is the owner.
    Gained,
    /// There is an owner. A word was stored for the owner, unless the attempt stores no word.
    Told,
    /// There is an owner, and [`Word::Cancel`] was already stored for it.
    Again,
    /// The request is completed.
    Done,
}

/// A word stored for the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// An event happened that the owner may have missed.
    Event,
    /// The owner must cancel the request.
    Cancel,
}

impl Ownership {
    /// Makes the ownership of a new request, which the caller owns.
    pub fn new() -> Self {
        Self(AtomicU32::new(OWNED))
    }

    /// Gains ownership after an event, or stores [`Word::Event`] for the owner.
    pub fn claim(&self) -> Claim {
        self.become_owner(0, EVENT)
    }

    /// Gains ownership to cancel the request, or stores [`Word::Cancel`] for the owner.
    ///
    /// If the caller gains ownership, [`Ownership::word`] also returns [`Word::Cancel`] to the
    /// caller.
    pub fn cancel(&self) -> Claim {
        self.become_owner(CANCEL, CANCEL)
    }

    /// Gains ownership to cancel the request, if there is no owner. Stores no word for an owner.
    pub fn try_cancel(&self) -> Claim {
        self.become_owner(CANCEL, 0)
    }

    /// Gains ownership if there is no owner. Stores no word for an owner.
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

    /// Gives up ownership.
    ///
    /// # Errors
    ///
    /// The [`Word`] stored since the owner last read it; the caller stays the owner.
    pub fn release(&self) -> Result<(), Word> {
        match self.word() {
            Some(word) => Err(word),
            None => match self.0.compare_exchange(OWNED, 0, AcqRel, Acquire) {
                Ok(_) => Ok(()),
                // Only a word that another task stored makes the exchange fail.
                Err(_) => Err(self.word().unwrap_or(Word::Event)),
            },
        }
    }

    /// Reads the word stored for the owner. Clears [`Word::Event`], but not [`Word::Cancel`].
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

    /// Returns whether a word is stored, without clearing it.
    pub fn has_word(&self) -> bool {
        self.0.load(Acquire) & (EVENT | CANCEL) != 0
    }

    /// Marks the request as completed by its owner, so that no other task completes it.
    pub fn finish(&self) {
        self.0.fetch_or(DONE, AcqRel);
    }

    /// Marks the request as completed by its owner, unless [`Word::Cancel`] is stored.
    ///
    /// Returns false if [`Word::Cancel`] is stored. A later canceller finds the request completed.
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

    /// Returns whether the request is completed.
    pub fn is_finished(&self) -> bool {
        self.0.load(Acquire) & DONE != 0
    }
}

impl Default for Ownership {
    fn default() -> Self {
        Self::new()
    }
}
