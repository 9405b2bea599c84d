/* SPDX-License-Identifier: GPL-2.0 */
/* Shared by the ring tests: the harness, and what ring programs share. */
#ifndef MINIRING_SELFTEST_RING_TEST_H
#define MINIRING_SELFTEST_RING_TEST_H

#include "hang.h"
#include "harness.h"
#include "ring_base.h"
#include "uring.h"

/* For features that io_uring lacks or does not promise. */
static inline bool on_io_uring(void)
{
	return uring_backend() == URING_IO_URING;
}

#endif /* MINIRING_SELFTEST_RING_TEST_H */
