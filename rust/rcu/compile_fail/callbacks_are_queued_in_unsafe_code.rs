// error[E0133]: call to unsafe function `queue` is unsafe and requires unsafe function or block
// error[E0133]: call to unsafe function `new` is unsafe and requires unsafe function or block

//! Safe code can neither queue a callback nor make a `Callbacks`.

use super::{
    Callback,
    Callbacks,
    Head,
    Pace, //
};
use kernel::error::Result;

static HEAD: Head = Head::new();

pub fn f<C: Callback>() {
    Head::queue::<C>(&raw const HEAD, Pace::Lazy);
}

pub fn g() -> Result {
    core::mem::forget(Callbacks::new()?);
    Ok(())
}
