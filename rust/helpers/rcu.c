// SPDX-License-Identifier: GPL-2.0

#include <linux/preempt.h>
#include <linux/rcupdate.h>

#include "helpers.h"

/* call_rcu_hurry() is an inline function without CONFIG_RCU_LAZY. */
void miniring_call_rcu_hurry(struct rcu_head *head, rcu_callback_t func)
{
	call_rcu_hurry(head, func);
}

bool miniring_in_softirq(void)
{
	return in_softirq();
}
