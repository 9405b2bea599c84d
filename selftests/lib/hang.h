/* SPDX-License-Identifier: GPL-2.0 */
/*
 * How long a test waits for what must come. That only ends a test that hangs: a host
 * with other work may keep a thread from its CPU for seconds.
 */
#ifndef MINIRING_SELFTEST_HANG_H
#define MINIRING_SELFTEST_HANG_H

#define HANG_MS 60000

#endif /* MINIRING_SELFTEST_HANG_H */
