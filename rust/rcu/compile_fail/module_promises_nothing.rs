// compiles

//! A module has nothing to promise about its callbacks: it publishes and retires in safe code.
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
