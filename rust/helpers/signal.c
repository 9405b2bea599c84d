// SPDX-License-Identifier: GPL-2.0

#include <linux/sched/signal.h>
#include <linux/signal.h>

#include "helpers.h"

/* Whether a signal is pending, and not only work for the task. */
bool miniring_sigpending(void)
{
	return task_sigpending(current);
}

/* The current task does its work now, and need not be reminded of it. */
void miniring_clear_notify_signal(void)
{
	clear_notify_signal();
}

/* Blocks the signals of @mask, and has the mask of now come back on return. */
void miniring_push_sigmask(sigset_t *mask)
{
	sigdelsetmask(mask, sigmask(SIGKILL) | sigmask(SIGSTOP));
	set_restore_sigmask();
	current->saved_sigmask = current->blocked;
	sigprocmask(SIG_SETMASK, mask, NULL);
}

/* Brings back what miniring_push_sigmask() put aside, at once. */
void miniring_pop_sigmask(void)
{
	if (test_and_clear_restore_sigmask())
		sigprocmask(SIG_SETMASK, &current->saved_sigmask, NULL);
}
