// SPDX-License-Identifier: GPL-2.0

#include <linux/sched/signal.h>
#include <linux/signal.h>

#include "helpers.h"

/* Returns whether a signal is pending. Task work does not count. */
bool miniring_sigpending(void)
{
	return task_sigpending(current);
}

/* Clears TIF_NOTIFY_SIGNAL. The caller runs the task work now. */
void miniring_clear_notify_signal(void)
{
	clear_notify_signal();
}

/* Sets the signal mask to @mask. The return to userspace restores the old mask. */
void miniring_push_sigmask(sigset_t *mask)
{
	sigdelsetmask(mask, sigmask(SIGKILL) | sigmask(SIGSTOP));
	set_restore_sigmask();
	current->saved_sigmask = current->blocked;
	sigprocmask(SIG_SETMASK, mask, NULL);
}

/* Restores at once the mask that miniring_push_sigmask() saved. */
void miniring_pop_sigmask(void)
{
	if (test_and_clear_restore_sigmask())
		sigprocmask(SIG_SETMASK, &current->saved_sigmask, NULL);
}
