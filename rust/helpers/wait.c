// SPDX-License-Identifier: GPL-2.0

#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/time_namespace.h>
#include <linux/wait.h>

#include "helpers.h"

bool miniring_wq_has_sleeper(struct wait_queue_head *wq)
{
	return wq_has_sleeper(wq);
}

/* Converts CLOCK_MONOTONIC of the current time namespace to that of the host. */
s64 miniring_timens_monotonic_to_host(s64 ns)
{
	return timens_ktime_to_host(CLOCK_MONOTONIC, ns);
}

/* Sets whether the sleep of the current task counts as a wait for I/O. */
void miniring_set_iowait(bool on)
{
	current->in_iowait = on;
}

void miniring_wake_up_input(struct wait_queue_head *wq)
{
	__wake_up(wq, TASK_NORMAL, 0, poll_to_key(EPOLL_URING_WAKE | EPOLLIN));
}
