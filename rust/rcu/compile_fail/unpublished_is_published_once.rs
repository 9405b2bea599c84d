// error[E0382]: use of moved value: `new`

//! Publishing a value consumes it.

use super::{
    Rcu,
    Reclaimed,
    Unpublished, //
};
use kernel::error::Result;

struct Limit(u32);

// SAFETY: For this test.
unsafe impl Reclaimed for Limit {}

fn f(pointer: &Rcu<Limit>, new: Unpublished<Limit>) -> Result {
    pointer.publish(new)?;
    pointer.publish(new)
}
