// SPDX-License-Identifier: GPL-2.0
/* The start of the section of sites: linked before the Rust code. */

#include <linux/dynamic_debug.h>

#include "helpers.h"

struct _ddebug miniring_sites_begin[0] __aligned(8) __section("__miniring_sites");
