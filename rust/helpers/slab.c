// SPDX-License-Identifier: GPL-2.0
/* kmalloc() of a constant size, whose cache the compiler finds. */

#include <linux/export.h>
#include <linux/slab.h>

#include "helpers.h"

/* Exported for modules that have an Rcu<T> of their own. */

void *miniring_kmalloc_64(void)
{
	return kmalloc(64, GFP_KERNEL);
}
EXPORT_SYMBOL_GPL(miniring_kmalloc_64);

void *miniring_kmalloc_96(void)
{
	return kmalloc(96, GFP_KERNEL);
}
EXPORT_SYMBOL_GPL(miniring_kmalloc_96);

void *miniring_kmalloc_128(void)
{
	return kmalloc(128, GFP_KERNEL);
}
EXPORT_SYMBOL_GPL(miniring_kmalloc_128);
