// compiles

//! What the others must not be able to do, done with an `Access`: they fail for the reason given
//! and no other.

use super::sq::gate::Gate;

fn f(gate: &Gate) -> kernel::error::Result {
    let mut access = gate.access()?;
    access.drain_next = true;
    access.has_skipped = access.drain_next;
    Ok(())
}
