// compiles

//! What the others must not be able to do, done with an `Access`: they fail for the reason given
//! and no other.

use super::issuer::Gate;

fn f(gate: &Gate) -> kernel::error::Result {
    let mut access = gate.access()?;
    access.sq_head += 1;
    access.sq_dropped = access.sq_head;
    Ok(())
}
