// error[E0609]: no field `sq_head` on type `&Gate`

//! Nor through it without an `Access`.

use super::issuer::Gate;

fn f(gate: &Gate) -> u32 {
    gate.sq_head
}
