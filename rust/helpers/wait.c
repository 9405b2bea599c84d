// SPDX-License-Identifier: GPL-2.0

#include <linux/poll.h>
#include <linux/wait.h>

#include "helpers.h"

bool miniring_wq_has_sleeper(struct wait_queue_head *wq)
{
	return wq_has_sleeper(wq);
}

void miniring_wake_up_input(struct wait_queue_head *wq)
{
	__wake_up(wq, TASK_NORMAL, 0, poll_to_key(EPOLL_URING_WAKE | EPOLLIN));
}
