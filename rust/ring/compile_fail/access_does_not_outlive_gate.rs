// error[E0515]: cannot return value referencing function parameter `ring`

//! An `Access` does not outlive its ring.

use super::{
    sq::gate::Access,
    Ring, //
};
use kernel::{
    error::Result,
    sync::Arc, //
};

fn f(ring: Arc<Ring>) -> Result<Access<'static>> {
    ring.gate.access()
}
