// error[E0499]: cannot borrow `*access` as mutable more than once at a time

//! Issuer state is mutably borrowed once at a time, from the `Access`.

use super::sq::gate::{
    Access,
    Issuer, //
};

fn two<'a>(_: &'a mut Issuer, _: &'a mut Issuer) {}

fn f(access: &mut Access<'_>) {
    two(access, access);
}
