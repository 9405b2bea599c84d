// SPDX-License-Identifier: GPL-2.0

//! Where proptest keeps what failed: beside the test, in `<test>.regressions`, to be committed with
//! the fix. (By itself it would choose a folder outside of the package.)

use proptest::test_runner::{
    Config,
    FileFailurePersistence, //
};

/// The configuration for every `proptest!` here.
pub(crate) fn config() -> Config {
    Config {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..Config::default()
    }
}
