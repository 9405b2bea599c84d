/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by ring tests and ring programs without a harness: completions as text that a failure
 * can show, waits, and clocks.
 */
#ifndef MINIRING_SELFTEST_RING_BASE_H
#define MINIRING_SELFTEST_RING_BASE_H

#include <stdbool.h>
#include "clock.h"
#include "uring.h"

/* Returns "7" for a result, "-EINVAL" for an error. */
const char *result_name(int res);

/* Reaps the next completion: "user_data result", or "none". */
const char *next_cqe(struct uring *ring);

/*
 * Waits until the thread sleeps in this system call. Returns false if it does not, or has ended.
 */
bool until_asleep_in(int tid, long nr);

/* Waits for completions, at most @ms. */
int enter_timeout(struct uring *ring, unsigned int min_complete, unsigned int ms);

/* Waits in the kernel for the next completion, and returns it as next_cqe() does. */
const char *wait_next_cqe(struct uring *ring);

/* Returns an inaccessible page, for pointers that must fault. */
void *bad_pointer(void);

#endif /* MINIRING_SELFTEST_RING_BASE_H */
