// SPDX-License-Identifier: GPL-2.0

#include <linux/eventfd.h>

#include "helpers.h"

/*
 * Signals the eventfd. Returns false if eventfd_signal_allowed() forbids that.
 * Both inline functions are in one helper, because this is a hot path.
 */
bool miniring_eventfd_signal_if_allowed(struct eventfd_ctx *ctx, __u32 mask)
{
	if (!eventfd_signal_allowed())
		return false;
	eventfd_signal_mask(ctx, (__force __poll_t)mask);
	return true;
}
