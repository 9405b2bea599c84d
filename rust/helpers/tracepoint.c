// SPDX-License-Identifier: GPL-2.0
/* Probes on tracepoints of the kernel, found by name. */

#include <linux/string.h>
#include <linux/tracepoint.h>

#include "helpers.h"

struct wanted {
	const char *name;
	struct tracepoint *found;
};

static void compare(struct tracepoint *tp, void *data)
{
	struct wanted *wanted = data;

	if (!strcmp(tp->name, wanted->name))
		wanted->found = tp;
}

/* Returns the tracepoint, NULL if the kernel has no tracepoint of that name. */
void *miniring_find_tracepoint(const char *name)
{
	struct wanted wanted = { .name = name };

	for_each_kernel_tracepoint(compare, &wanted);
	return wanted.found;
}

int miniring_tracepoint_probe_register(void *tp, void *probe)
{
	return tracepoint_probe_register(tp, probe, NULL);
}

/* Unregisters a probe, and waits until no CPU runs it. */
void miniring_tracepoint_probe_unregister(void *tp, void *probe)
{
	tracepoint_probe_unregister(tp, probe, NULL);
	tracepoint_synchronize_unregister();
}
