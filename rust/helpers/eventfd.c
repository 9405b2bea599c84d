// SPDX-License-Identifier: GPL-2.0

#include <linux/eventfd.h>

#include "helpers.h"

/* Two inline functions that belong together, in one call: it is a hot path. */
bool miniring_eventfd_signal_if_allowed(struct eventfd_ctx *ctx, __u32 mask)
{
	if (!eventfd_signal_allowed())
		return false;
	eventfd_signal_mask(ctx, (__force __poll_t)mask);
	return true;
}
