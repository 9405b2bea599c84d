/* SPDX-License-Identifier: GPL-2.0 */
/* For sites_begin.c, the first object of a module with dyn_debug! sites. */
#ifndef _LINUX_MINIRING_SITES_H
#define _LINUX_MINIRING_SITES_H

#include <linux/moduleparam.h>

/* Operations of the parameter "dyndbg", a char *, which keep all its values. */
extern const struct kernel_param_ops miniring_dyndbg_ops;

/* The values, one a line, or NULL. register_sites!() reads them. */
extern char *miniring_sites_dyndbg;

#endif /* _LINUX_MINIRING_SITES_H */
