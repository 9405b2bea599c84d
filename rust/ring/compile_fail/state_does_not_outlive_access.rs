// error[E0505]: cannot move out of `access` because it is borrowed

//! A borrow of issuer state ends before its `Access`.

use super::sq::gate::Access;

fn f(mut access: Access<'_>) {
    let issuer = &mut *access;
    drop(access);
    issuer.drain_next = false;
}
