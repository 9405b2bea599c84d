// SPDX-License-Identifier: GPL-2.0
/* The end of a module's section of dyn_debug! sites: linked last. */

#include <linux/dynamic_debug.h>

extern struct _ddebug miniring_sites_end[];
struct _ddebug miniring_sites_end[0] __aligned(8) __section("__miniring_sites");
