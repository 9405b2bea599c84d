/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The limit of a wait for an event that must come. It only ends a test that hangs: a busy host may
 * keep a thread from its CPU for seconds.
 */
#ifndef MINIRING_SELFTEST_HANG_H
#define MINIRING_SELFTEST_HANG_H

#define HANG_MS 60000

#endif /* MINIRING_SELFTEST_HANG_H */
