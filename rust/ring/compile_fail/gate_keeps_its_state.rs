// error[E0616]: field `state` of struct `Gate` is private

//! The field of the gate with the issuer state is private.

use super::sq::gate::Gate;

fn f(gate: &Gate) -> bool {
    // SAFETY: Never runs: this file does not compile.
    unsafe { (*gate.state.get()).drain_next }
}
