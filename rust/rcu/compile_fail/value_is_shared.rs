// error[E0277]: `Cell<u32>` cannot be shared between threads safely

//! A value that readers share must be `Sync`.

use super::Rcu;
use core::cell::Cell;

pub fn f(_: &Rcu<Cell<u32>>) {}
