// error[E0599]: no method named `remove` found for struct `Pending` in the current scope
// error[E0599]: no method named `rename` found for struct `Pending` in the current scope
// error[E0599]: no method named `hold` found for struct `Notifier` in the current scope
// error[E0133]: call to unsafe function `init` is unsafe and requires unsafe function or block
// error[E0133]: call to unsafe function `new` is unsafe and requires unsafe function or block
// error[E0133]: call to unsafe function `new` is unsafe and requires unsafe function or block

//! What could break the kernel's memory is unsafe, or cannot be written.
#![deny(unsafe_code)]

use super::{
    call::workers::Workers,
    req::request::Owned,
    Ring, //
};
use kernel::error::Result;

/// The list of rings, which has some, is emptied and its mutex initialised while it may be held.
fn initialised_again() -> Result<(Workers, Workers)> {
    super::req::rings::init();
    Ok((Workers::new()?, Workers::new()?))
}

/// An entry is unlinked under the lock of another ring's table.
fn of_another_ring(ring: &Ring, of_another: &mut Owned) {
    ring.pending.remove(of_another);
    ring.pending.rename(of_another, 1);
}

/// Reads the slot that a `Still` may write: announced in another ring.
fn a_race(other: &Ring, ring: &Ring) -> Result {
    let elsewhere = other.notifier.in_flight()?;
    let hold = ring.notifier.hold(&elsewhere);
    Ok(())
}
