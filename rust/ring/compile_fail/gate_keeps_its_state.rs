// error[E0616]: field `state` of struct `Gate` is private

//! Issuer state is not reached past the gate.

use super::sq::gate::Gate;

fn f(gate: &Gate) -> bool {
    // SAFETY: Does not come to that.
    unsafe { (*gate.state.get()).drain_next }
}
