// error[E0382]: use of moved value: `new`

//! Publishing a value consumes it.

use super::{
    Rcu,
    Unpublished, //
};
use kernel::error::Result;

struct Limit(u32);

fn f(pointer: &Rcu<Limit>, new: Unpublished<Limit>) -> Result {
    pointer.publish(new)?;
    pointer.publish(new)
}
