// SPDX-License-Identifier: GPL-2.0
/* Rate limit and parameter operations for rust/dyndbg. */

#include <linux/miniring_sites.h>
#include <linux/ratelimit.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "helpers.h"

/* Returns whether the rate limit allows another message about bad input. */
bool miniring_may_complain(void)
{
	static DEFINE_RATELIMIT_STATE(complaints, DEFAULT_RATELIMIT_INTERVAL,
				      DEFAULT_RATELIMIT_BURST);

	return __ratelimit(&complaints);
}

/*
 * Appends a value of "dyndbg" to the kept values, one a line. The queries run
 * later, because the module is not initialised yet. No value means "+p", as in
 * the kernel.
 */
static int set_queries(const char *val, const struct kernel_param *kp)
{
	char **queries = kp->arg, *all;

	if (!val)
		val = "+p";
	if (*queries)
		all = kasprintf(GFP_KERNEL, "%s\n%s", *queries, val);
	else
		all = kstrdup(val, GFP_KERNEL);
	if (!all)
		return -ENOMEM;
	kfree(*queries);
	*queries = all;
	return 0;
}

static void free_queries(void *arg)
{
	char **queries = arg;

	kfree(*queries);
	*queries = NULL;
}

/* Operations of the parameter in sites_begin.c of each module with sites. */
const struct kernel_param_ops miniring_dyndbg_ops = {
	.flags = KERNEL_PARAM_OPS_FL_NOARG,
	.set = set_queries,
	.free = free_queries,
};
EXPORT_SYMBOL_GPL(miniring_dyndbg_ops);
