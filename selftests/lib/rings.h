/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What /sys/kernel/debug/miniring/rings says about a ring.
 */
#ifndef MINIRING_SELFTEST_RINGS_H
#define MINIRING_SELFTEST_RINGS_H

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>
#include "hang.h"

#define RINGS_FILE "/sys/kernel/debug/miniring/rings"

struct ring_tally {
	unsigned int flags;		/* IORING_SETUP_* */
	unsigned long long submits;	/* calls that submitted */
	unsigned long long locks;	/* acquisitions of the ring's mutex */
};

/*
 * The @nth ring, from 0, of those that this process made and that are still
 * there. Returns 0, -ENOENT if there are no so many, or why the file cannot be
 * read.
 */
static inline int ring_tally(int nth, struct ring_tally *tally)
{
	FILE *file = fopen(RINGS_FILE, "r");
	int pid, ret = -ENOENT;

	if (!file)
		return -errno;
	while (fscanf(file, "pid=%d flags=0x%x submits=%llu locks=%llu\n", &pid,
		      &tally->flags, &tally->submits, &tally->locks) == 4) {
		if (pid == getpid() && !nth--) {
			ret = 0;
			break;
		}
	}
	fclose(file);
	return ret;
}

/* How many rings there are, all or those that process @pid made; or why not known. */
static inline int rings_of(int pid)
{
	FILE *file = fopen(RINGS_FILE, "r");
	char line[128];
	int maker, nr = 0;

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file))
		nr += sscanf(line, "pid=%d ", &maker) == 1 && (!pid || pid == maker);
	fclose(file);
	return nr;
}

/* Whether there are @nr rings, now or soon; as for rings_of(). */
static inline bool rings_become(int pid, int nr)
{
	for (int tries = 0; tries < HANG_MS / 10; tries++) {
		if (rings_of(pid) == nr)
			return true;
		usleep(10000);
	}
	return false;
}

#endif /* MINIRING_SELFTEST_RINGS_H */
