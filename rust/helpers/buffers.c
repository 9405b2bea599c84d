// SPDX-License-Identifier: GPL-2.0
/* Inline functions and macros for registered buffers and their account. */

#include <linux/compat.h>
#include <linux/cred.h>
#include <linux/mm.h>
#include <linux/nospec.h>
#include <linux/sched/signal.h>
#include <linux/sched/user.h>

#include "helpers.h"

struct user_struct *miniring_get_current_user(void)
{
	return get_uid(current_user());
}

unsigned long miniring_memlock_limit(void)
{
	return rlimit(RLIMIT_MEMLOCK);
}

struct page *miniring_compound_head(struct page *page)
{
	return compound_head(page);
}

unsigned long miniring_compound_nr(struct page *page)
{
	return compound_nr(page);
}

unsigned long miniring_array_index_nospec(unsigned long index, unsigned long size)
{
	return array_index_nospec(index, size);
}

bool miniring_in_compat_syscall(void)
{
	return in_compat_syscall();
}
