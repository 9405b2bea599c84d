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
static inline int ring_tally(int fd, struct ring_tally *tally)
{
	char line[256];
	int found = 0;
	FILE *file;

	snprintf(line, sizeof(line), "/proc/self/fdinfo/%d", fd);
	file = fopen(line, "r");
	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		found += sscanf(line, "submits: %llu", &tally->submits) == 1;
		found += sscanf(line, "locks: %llu", &tally->locks) == 1;
	}
	fclose(file);
	return found == 2 ? 0 : -ENOENT;
}

/* Returns the number of rings of all processes, or the error of reading it. */
static inline int rings_now(void)
{
	FILE *file = fopen(RINGS_FILE, "r");
	int nr = -EINVAL;

	if (!file)
		return -errno;
	if (fscanf(file, "%d", &nr) != 1)
		nr = -EINVAL;
	fclose(file);
	return nr;
}

/* Waits until @nr rings exist. Returns false after a time. */
static inline bool rings_become(int nr)
{
	for (int tries = 0; tries < HANG_MS / 10; tries++) {
		if (rings_now() == nr)
			return true;
		usleep(10000);
	}
	return false;
}

#endif /* MINIRING_SELFTEST_RINGS_H */
