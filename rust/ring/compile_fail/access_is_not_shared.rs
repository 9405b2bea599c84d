// error[E0277]: `*mut ()` cannot be shared between threads safely

//! No other task gets a reference to an `Access`.

use super::sq::gate::Access;

fn send(_: impl Send) {}

fn f(access: &Access<'_>) {
    send(access);
}
