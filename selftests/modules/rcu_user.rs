// SPDX-License-Identifier: GPL-2.0

//! For the test `module`: a module that is unloaded with RCU callbacks pending. Each callback
//! queues the next, and the module does not wait for them.

use kernel::prelude::*;
use miniring::rcu::{
    Rcu,
    Unpublished, //
};

module! {
    type: RcuUser,
    name: "miniring_rcu_user",
    authors: ["The miniring developers"],
    description: "For a selftest: leaves RCU callbacks behind",
    license: "GPL",
}

static CHAIN: Rcu<Link> = Rcu::null();

/// When it is dropped, publishes and retires a link with one less to come.
struct Link(u32);

impl Drop for Link {
    fn drop(&mut self) {
        match self.0.checked_sub(1) {
            Some(left) => retire(left, GFP_ATOMIC),
            None => pr_info!("the last callback has run\n"),
        }
    }
}

fn retire(left: u32, flags: kernel::alloc::Flags) {
    match Unpublished::new(Link(left), flags) {
        Ok(link) => drop(CHAIN.replace(Some(link))),
        Err(error) => pr_err!("no link: {error:?}\n"),
    }
    drop(CHAIN.replace(None));
}

struct RcuUser;

impl kernel::Module for RcuUser {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        Ok(Self)
    }
}

impl Drop for RcuUser {
    fn drop(&mut self) {
        retire(16, GFP_KERNEL);
    }
}
