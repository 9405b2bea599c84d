// error[E0515]: cannot return value referencing local variable `guard`

//! What was found under an RCU read lock does not outlive it.

use super::{
    Borrowed,
    Rcu, //
};
use kernel::sync::rcu;

struct Limit(u32);

fn f(pointer: &'static Rcu<Limit>) -> Option<Borrowed<'static, Limit>> {
    let guard = rcu::read_lock();
    pointer.load(&guard)
}
