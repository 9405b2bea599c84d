// error[E0277]: `*mut ()` cannot be shared between threads safely

//! Nor is a reference to it given to another.

use super::sq::gate::Access;

fn send(_: impl Send) {}

fn f(access: &Access<'_>) {
    send(access);
}
