/* SPDX-License-Identifier: GPL-2.0 */
/* Reads the counts of a ring's mutex from fdinfo, and the number of rings. */
#ifndef MINIRING_SELFTEST_RINGS_H
#define MINIRING_SELFTEST_RINGS_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>
#include "hang.h"

#define RINGS_FILE "/sys/kernel/debug/miniring/rings"

struct ring_tally {
	unsigned long long submits;	/* calls that submitted */
	unsigned long long locks;	/* acquisitions of the ring's mutex */
};

/* Reads the counts of the ring @fd. Returns 0 or the error. */
int ring_tally(int fd, struct ring_tally *tally);

/* Returns the number of rings of all processes, or the error of reading it. */
int rings_now(void);

/* Waits until @nr rings exist. Returns false after a time. */
bool rings_become(int nr);

#endif /* MINIRING_SELFTEST_RINGS_H */
