// SPDX-License-Identifier: GPL-2.0

//! Makes proptest store failed inputs beside the test, in `<test>.regressions`, to commit with the
//! fix. By default proptest stores them outside the package.

use proptest::test_runner::{
    Config,
    FileFailurePersistence, //
};

/// Returns the configuration for every `proptest!` of these tests.
pub(crate) fn config() -> Config {
    Config {
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..Config::default()
    }
}
