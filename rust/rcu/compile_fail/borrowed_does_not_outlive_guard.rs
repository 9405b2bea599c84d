// error[E0515]: cannot return value referencing local variable `guard`

//! A value borrowed under an RCU read lock does not outlive the lock.

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
