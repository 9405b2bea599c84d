// SPDX-License-Identifier: GPL-2.0
/* Macros and inline functions for rings, other than those for requests. */

#include <linux/cpumask.h>
#include <linux/mutex.h>

#include "helpers.h"

void miniring_mutex_lock_second(struct mutex *lock)
{
	mutex_lock_nested(lock, SINGLE_DEPTH_NESTING);
}

bool miniring_cpu_online(unsigned int cpu)
{
	return cpu < nr_cpu_ids && cpu_online(cpu);
}
