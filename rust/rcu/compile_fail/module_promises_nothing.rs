// compiles

//! A module needs no unsafe code to publish and retire values, and promises nothing about
//! callbacks.
#![deny(unsafe_code)]

use super::{
    Rcu,
    Unpublished, //
};
use kernel::prelude::*;

struct Limit(u32);

pub fn f() -> Result {
    static LIMIT: Rcu<Limit> = Rcu::null();
    drop(LIMIT.replace(Some(Unpublished::new(Limit(1), GFP_KERNEL)?)));
    drop(LIMIT.replace(None));
    Ok(())
}
