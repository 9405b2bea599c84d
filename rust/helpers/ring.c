// SPDX-License-Identifier: GPL-2.0
/* What rings need of C beyond requests: macros and inline functions. */

#include <linux/cpumask.h>
#include <linux/kthread.h>
#include <linux/mutex.h>
#include <linux/sched/task.h>

#include "helpers.h"

void miniring_mutex_lock_second(struct mutex *lock)
{
	mutex_lock_nested(lock, SINGLE_DEPTH_NESTING);
}

/* NULL for a task that is no kernel thread. */
miniring_thread_fn miniring_kthread_func(struct task_struct *task)
{
	return task->flags & PF_KTHREAD ? kthread_func(task) : NULL;
}

bool miniring_cpu_online(unsigned int cpu)
{
	return cpu < nr_cpu_ids && cpu_online(cpu);
}
