// SPDX-License-Identifier: GPL-2.0
/* What rust/dyndbg needs of C. */

#include <linux/ratelimit.h>

#include "helpers.h"

/* Whether another message about bad input is in order. */
bool miniring_may_complain(void)
{
	static DEFINE_RATELIMIT_STATE(complaints, DEFAULT_RATELIMIT_INTERVAL,
				      DEFAULT_RATELIMIT_BURST);

	return __ratelimit(&complaints);
}
