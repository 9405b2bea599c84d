// error[E0609]: no field `drain_next` on type `&Gate`

//! The gate gives no issuer state without an `Access`.

use super::sq::gate::Gate;

fn f(gate: &Gate) -> bool {
    gate.drain_next
}
