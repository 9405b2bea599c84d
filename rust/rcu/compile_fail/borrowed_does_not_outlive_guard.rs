// error[E0515]: cannot return value referencing local variable `guard`

//! What was found under an RCU read lock does not outlive it.

use super::{
    Borrowed,
    Rcu, //
};
use kernel::sync::rcu;

fn f(pointer: &'static Rcu<u32>) -> Option<Borrowed<'static, u32>> {
    let guard = rcu::read_lock();
    pointer.load(&guard)
}
