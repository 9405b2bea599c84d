// error[E0599]: no method named `remove` found for struct `Pending` in the current scope
// error[E0599]: no method named `rename` found for struct `Pending` in the current scope
// error[E0599]: no method named `hold` found for struct `Notifier` in the current scope
// error[E0133]: call to unsafe function `init` is unsafe and requires unsafe function or block
// error[E0133]: call to unsafe function `new` is unsafe and requires unsafe function or block
// error[E0133]: call to unsafe function `new` is unsafe and requires unsafe function or block

//! Calls that could break the kernel's memory are unsafe, or do not exist.
#![deny(unsafe_code)]

use super::{
    call::workers::Workers,
    req::request::Owned,
    Ring, //
};
use kernel::error::Result;

/// Would empty the list of rings while rings exist, and initialise its mutex while the mutex may be
/// held.
fn initialised_again() -> Result<(Workers, Workers)> {
    super::req::rings::init();
    Ok((Workers::new()?, Workers::new()?))
}

/// Would unlink an entry under the lock of another ring's table.
fn of_another_ring(ring: &Ring, of_another: &mut Owned) {
    ring.pending.remove(of_another);
    ring.pending.rename(of_another, 1);
}

/// Would read the slot while an updater may write it: the caller announced itself in another ring.
fn a_race(other: &Ring, ring: &Ring) -> Result {
    let elsewhere = other.notifier.in_flight()?;
    let hold = ring.notifier.hold(&elsewhere);
    Ok(())
}
