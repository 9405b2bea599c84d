// error[E0609]: no field `drain_next` on type `&Gate`

//! Nor through it without an `Access`.

use super::sq::gate::Gate;

fn f(gate: &Gate) -> bool {
    gate.drain_next
}
