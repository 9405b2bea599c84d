// SPDX-License-Identifier: GPL-2.0

#include <linux/eventfd.h>

#include "helpers.h"

bool miniring_eventfd_signal_allowed(void)
{
	return eventfd_signal_allowed();
}
