// SPDX-License-Identifier: GPL-2.0
/* The start of a module's section of dyn_debug! sites: linked first. */

#include <linux/dynamic_debug.h>
#include <linux/miniring_sites.h>
#include <linux/moduleparam.h>

extern struct _ddebug miniring_sites_begin[];
struct _ddebug miniring_sites_begin[0] __aligned(8) __section("__miniring_sites");

/*
 * register_sites!() carries out this parameter. The kernel parses "dyndbg" only
 * for modules without such a parameter, and finds no dyn_debug! sites.
 */
char *miniring_sites_dyndbg;
module_param_cb(dyndbg, &miniring_dyndbg_ops, &miniring_sites_dyndbg, 0);
MODULE_PARM_DESC(dyndbg, "queries of dynamic debug, by default about this module's sites");
