// error[E0505]: cannot move out of `access` because it is borrowed

//! What was borrowed is given back before the `Access` is.

use super::sq::gate::Access;

fn f(mut access: Access<'_>) {
    let issuer = &mut *access;
    drop(access);
    issuer.drain_next = false;
}
