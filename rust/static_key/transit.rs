// SPDX-License-Identifier: GPL-2.0

//! Keys on their way from one state to the other.
//!
//! Each is marked right before the first of its places is patched and published right after the
//! last one was. Most keys have one place, or a few close together; so others find a key half way
//! for about as long as a batch takes, not an apply.

use super::{
    entries::Patch,
    key::Key,
    stats::STATS, //
};
use kernel::{
    alloc::AllocError,
    prelude::*, //
};

/// How far a key is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It is as it was.
    Waiting,
    /// Some of its places may be as requested already.
    UnderWay,
    /// Someone took a second reference meanwhile: it stays on.
    Refused,
    /// It cannot be changed with the others.
    Elsewhere,
}

struct Way {
    key: Key,
    enable: bool,
    state: State,
    /// Places that are not yet patched.
    left: u32,
}

/// What is being changed together. The jump label mutex is held while there is one.
pub(super) struct Transit {
    ways: KVVec<Way>,
    changed: usize,
}

impl Transit {
    pub(super) fn with_capacity(keys: usize) -> Result<Self, AllocError> {
        Ok(Self {
            ways: KVVec::with_capacity(keys, GFP_KERNEL)?,
            changed: 0,
        })
    }

    /// The number that the next key will have, for its [`Patch::way`].
    pub(super) fn next(&self) -> u32 {
        self.ways.len() as u32
    }

    /// Adds a key with so many places, or none if it is to be left to others.
    pub(super) fn add(
        &mut self,
        key: Key,
        enable: bool,
        places: Option<usize>,
    ) -> Result<(), AllocError> {
        let way = Way {
            key,
            enable,
            state: places.map_or(State::Elsewhere, |_| State::Waiting),
            left: places.unwrap_or(0) as u32,
        };
        self.ways.push(way, GFP_KERNEL)
    }

    /// Marks the key of a place that is about to be patched. False if it is to be left as it is.
    pub(super) fn begin(&mut self, patch: &Patch) -> bool {
        self.ways
            .get_mut(patch.way as usize)
            .is_some_and(Way::begin)
    }

    /// Whether the key of a place has been marked.
    pub(super) fn is_under_way(&self, patch: &Patch) -> bool {
        self.ways
            .get(patch.way as usize)
            .is_some_and(|way| way.state == State::UnderWay)
    }

    /// Publishes the key of a place that was patched, and says so, if that was its last one.
    pub(super) fn end(&mut self, patch: &Patch) -> bool {
        let through = match self.ways.get_mut(patch.way as usize) {
            Some(way) if way.state == State::UnderWay => way.end(),
            _ => false,
        };
        self.changed += usize::from(through);
        through
    }

    /// Changes the keys that have no places.
    pub(super) fn finish(&mut self) {
        for way in self.ways.iter_mut().filter(|way| way.left == 0) {
            if way.state == State::Waiting && way.begin() {
                way.publish();
                self.changed += 1;
            }
        }
    }

    /// How many keys were changed.
    pub(super) fn changed(&self) -> usize {
        self.changed
    }

    /// Whether each key, in order, is left to others.
    pub(super) fn elsewhere(&self) -> impl Iterator<Item = bool> + '_ {
        self.ways.iter().map(|way| way.state == State::Elsewhere)
    }
}

impl Way {
    fn begin(&mut self) -> bool {
        if self.state == State::Waiting {
            self.state = if self.key.mark(self.enable) {
                State::UnderWay
            } else {
                STATS.refused.add(1);
                State::Refused
            };
        }
        self.state == State::UnderWay
    }

    fn end(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            self.publish();
        }
        self.left == 0
    }

    fn publish(&self) {
        if self.enable {
            self.key.publish();
        }
    }
}
