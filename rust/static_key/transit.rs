// SPDX-License-Identifier: GPL-2.0

//! The state of each key during an apply.
//!
//! A key is marked right before its first patch site is patched, and published right after its last
//! patch site. Most keys have one patch site, or a few close together. So a key is half changed for
//! about the duration of a batch, not of an apply.

use super::{
    entries::Patch,
    key::Key,
    stats::STATS, //
};
use kernel::{
    alloc::AllocError,
    prelude::*, //
};

/// The progress of a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The key is not marked yet.
    Waiting,
    /// The key is marked; some of its patch sites may be patched.
    UnderWay,
    /// Another task took a second reference meanwhile: the key stays on.
    Refused,
    /// The key cannot be changed together with the other keys.
    Elsewhere,
}

struct Way {
    key: Key,
    enable: bool,
    state: State,
    /// Number of patch sites not yet patched.
    left: u32,
}

/// The keys that are changed together.
///
/// Locking: the jump label mutex is held while a value exists.
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

    /// Returns the number of the next key, for its [`Patch::way`].
    pub(super) fn next(&self) -> u32 {
        self.ways.len() as u32
    }

    /// Adds a key with that number of patch sites, or with `None` if the key is changed elsewhere.
    ///
    /// # Errors
    ///
    /// [`AllocError`] if there is no memory.
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

    /// Marks the key of `patch` before it is patched. Returns false if the key does not change.
    pub(super) fn begin(&mut self, patch: &Patch) -> bool {
        self.ways
            .get_mut(patch.way as usize)
            .is_some_and(Way::begin)
    }

    /// Returns whether the key of `patch` is marked.
    pub(super) fn is_under_way(&self, patch: &Patch) -> bool {
        self.ways
            .get(patch.way as usize)
            .is_some_and(|way| way.state == State::UnderWay)
    }

    /// Counts `patch` as written. After the last patch of its key, publishes the key and returns
    /// true.
    pub(super) fn end(&mut self, patch: &Patch) -> bool {
        let through = match self.ways.get_mut(patch.way as usize) {
            Some(way) if way.state == State::UnderWay => way.end(),
            _ => false,
        };
        self.changed += usize::from(through);
        through
    }

    /// Changes the keys that have no patch sites.
    pub(super) fn finish(&mut self) {
        for way in self.ways.iter_mut().filter(|way| way.left == 0) {
            if way.state == State::Waiting && way.begin() {
                way.publish();
                self.changed += 1;
            }
        }
    }

    /// Returns the number of keys changed.
    pub(super) fn changed(&self) -> usize {
        self.changed
    }

    /// Returns for each key, in order, whether the key is changed elsewhere.
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
