// SPDX-License-Identifier: GPL-2.0
/*
 * Maps of classes for selftests/dyndbg/dyndbg.c, whose numbers have no single name. Two maps name
 * the same numbers. One map reaches 63, the number of sites without a class, and one has a number
 * that is 63 only in its lowest 8 bits. Does not use miniring.
 */

#include <linux/dynamic_debug.h>
#include <linux/module.h>
#include <linux/printk.h>

enum { ZERO, ONE, LAST = 62, TOO_LARGE = 256 + 63 };

#ifdef CONFIG_DYNAMIC_DEBUG
#define say_in(class, fmt) __pr_debug_cls(class, fmt)

DECLARE_DYNDBG_CLASSMAP(first, DD_CLASS_TYPE_DISJOINT_NAMES, ZERO,
			"MINIRING_A0", "MINIRING_A1");
DECLARE_DYNDBG_CLASSMAP(same_numbers, DD_CLASS_TYPE_DISJOINT_NAMES, ZERO,
			"MINIRING_B0", "MINIRING_B1");
DECLARE_DYNDBG_CLASSMAP(to_63, DD_CLASS_TYPE_DISJOINT_NAMES, LAST,
			"MINIRING_62", "MINIRING_63");
DECLARE_DYNDBG_CLASSMAP(too_large, DD_CLASS_TYPE_DISJOINT_NAMES, TOO_LARGE,
			"MINIRING_319");
#else
#define say_in(class, fmt) \
	do { (void)(class); no_printk(fmt); } while (0)
#endif

static noinline void say_in_classes(void)
{
	pr_debug("class none\n");
	say_in(ZERO, "class 0\n");
	say_in(ONE, "class 1\n");
	say_in(LAST, "class 62\n");
}

static int say(const char *what, const struct kernel_param *parameter)
{
	say_in_classes();
	return 0;
}

static const struct kernel_param_ops say_ops = { .set = say };
module_param_cb(say, &say_ops, NULL, 0200);

MODULE_DESCRIPTION("Maps of dynamic debug's classes to test miniring with");
MODULE_LICENSE("GPL");
