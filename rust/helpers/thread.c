// SPDX-License-Identifier: GPL-2.0
/* Threads of the current process, and its descriptor table. */

#include <linux/cpumask.h>
#include <linux/err.h>
#include <linux/fdtable.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/sched/vhost_task.h>
#include <linux/task_work.h>

#include "helpers.h"

bool miniring_has_threads(void)
{
	return IS_ENABLED(CONFIG_VHOST_TASK);
}

#ifdef CONFIG_VHOST_TASK

void *miniring_thread_create(miniring_step_fn step, miniring_killed_fn killed, void *data,
			     const char *name)
{
	return vhost_task_create(step, killed, data, name);
}

void miniring_thread_start(void *thread)
{
	vhost_task_start(thread);
}

void miniring_thread_stop(void *thread)
{
	vhost_task_stop(thread);
}

#else

void *miniring_thread_create(miniring_step_fn step, miniring_killed_fn killed, void *data,
			     const char *name)
{
	return ERR_PTR(-EOPNOTSUPP);
}

void miniring_thread_start(void *thread)
{
}

void miniring_thread_stop(void *thread)
{
}

#endif

/* Takes a reference to the current descriptor table, for the thread that adopts it. */
void *miniring_get_files(void)
{
	atomic_inc(&current->files->count);
	return current->files;
}

/* Makes @files the table of the current task, whose exit drops the reference. */
void miniring_adopt_files(void *files)
{
	task_lock(current);
	current->files = files;
	task_unlock(current);
}

void miniring_set_running(void)
{
	__set_current_state(TASK_RUNNING);
}

/* Binds the current thread to @cpu. If that CPU is offline, the affinity stays. */
void miniring_stay_on_cpu(unsigned int cpu)
{
	set_cpus_allowed_ptr(current, cpumask_of(cpu));
}

/*
 * Sets TIF_NOTIFY_SIGNAL if task work is pending. This thread never returns to
 * userspace, which would run task work that was queued without that flag.
 */
void miniring_notice_task_work(void)
{
	if (task_work_pending(current))
		set_thread_flag(TIF_NOTIFY_SIGNAL);
}
