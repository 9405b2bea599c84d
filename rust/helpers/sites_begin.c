// SPDX-License-Identifier: GPL-2.0
/* The start of a module's section of dyn_debug! sites: linked first. */

#include <linux/dynamic_debug.h>

extern struct _ddebug miniring_sites_begin[];
struct _ddebug miniring_sites_begin[0] __aligned(8) __section("__miniring_sites");
