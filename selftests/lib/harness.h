/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel's harness, with a limit for busy hosts: the limit of a test only ends a hang. */
#ifndef MINIRING_SELFTEST_HARNESS_H
#define MINIRING_SELFTEST_HARNESS_H

#include "kselftest_harness.h"

#undef TEST_TIMEOUT_DEFAULT
#define TEST_TIMEOUT_DEFAULT 180

#endif /* MINIRING_SELFTEST_HARNESS_H */
