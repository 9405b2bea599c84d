// error[E0277]: the trait bound `u32: Reclaimed` is not satisfied
// error[E0599]: the method `replace` exists for reference `&Rcu<u32>`, but its trait bounds were not satisfied
// error[E0599]: the method `replace` exists for reference `&Rcu<u32>`, but its trait bounds were not satisfied

//! A type whose module promises no `Callbacks` cannot be retired: the callback could outlive the
//! module's text.
#![deny(unsafe_code)]

use super::{
    Rcu,
    Unpublished, //
};
use kernel::prelude::*;

pub fn f(pointer: &Rcu<u32>) -> Result {
    drop(pointer.replace(Some(Unpublished::new(1, GFP_KERNEL)?)));
    drop(pointer.replace(None));
    Ok(())
}
