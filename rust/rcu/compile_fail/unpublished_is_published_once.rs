// error[E0382]: use of moved value: `new`

//! Publishing a value consumes it.

use super::{
    Rcu,
    Unpublished, //
};
use kernel::error::Result;

fn f(pointer: &Rcu<u32>, new: Unpublished<u32>) -> Result {
    pointer.publish(new)?;
    pointer.publish(new)
}
