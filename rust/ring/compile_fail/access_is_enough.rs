// compiles

//! An `Access` allows what the other files try without one: they fail only for the reason given.

use super::sq::gate::Gate;

fn f(gate: &Gate) -> kernel::error::Result {
    let mut access = gate.access()?;
    access.drain_next = true;
    access.has_skipped = access.drain_next;
    Ok(())
}
