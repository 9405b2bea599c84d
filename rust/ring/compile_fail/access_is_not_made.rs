// error[E0451]: field `gate` of struct `Access` is private
// error[E0451]: field `_lock` of struct `Access` is private
// error[E0451]: field `_task` of struct `Access` is private

//! Only the gate makes an `Access`.

use super::sq::gate::{
    Access,
    Gate, //
};

fn f(gate: &Gate) -> Access<'_> {
    Access {
        gate,
        _lock: None,
        _task: kernel::types::NotThreadSafe,
    }
}
