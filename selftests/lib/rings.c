// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include "hang.h"
#include "rings.h"

int ring_tally(int fd, struct ring_tally *tally)
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

int rings_now(void)
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

bool rings_become(int nr)
{
	for (int tries = 0; tries < HANG_MS / 10; tries++) {
		if (rings_now() == nr)
			return true;
		usleep(10000);
	}
	return false;
}
