// error[E0507]: cannot move out of `*access` which is behind a shared reference

//! An `Access` is not copied.

use super::sq::gate::Access;

fn f<'a>(access: &Access<'a>) -> Access<'a> {
    *access
}
