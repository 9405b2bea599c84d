// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "key_state.h"

int state_of(const char *file, const char *key)
{
	char name[64], line[256];
	int count, taken, state = -1;
	FILE *f = fopen(file, "re");

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %d %d", name, &count, &taken) == 3 &&
		    !strcmp(name, key))
			state = 1000 * count + taken;
	fclose(f);
	return state;
}
