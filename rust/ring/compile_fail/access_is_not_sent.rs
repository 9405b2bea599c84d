// error[E0277]: `*mut ()` cannot be sent between threads safely

//! An `Access` stays in the task that got it.

use super::sq::gate::Access;

fn send(_: impl Send) {}

fn f(access: Access<'_>) {
    send(access);
}
