// SPDX-License-Identifier: GPL-2.0
/*
 * Sites of the kernel's own dynamic debug for selftests/dyndbg/dyndbg.c, with classes and without.
 * The module does not use miniring, so it can be loaded first. A write to the parameter "say"
 * makes each site print the text.
 */

#include <linux/dynamic_debug.h>
#include <linux/module.h>
#include <linux/printk.h>

/* Sites in several places, so that a wrong order or base shows. */
enum { RED, GREEN, NAMELESS = 30, OTHER_GREEN = 40, BLUE };

#ifdef CONFIG_DYNAMIC_DEBUG
#define say_in(colour, fmt, ...) __pr_debug_cls(colour, fmt, ##__VA_ARGS__)

DECLARE_DYNDBG_CLASSMAP(colours, DD_CLASS_TYPE_DISJOINT_NAMES, RED,
			"MINIRING_RED", "MINIRING_GREEN");
/* A name that another class has too, and a map that does not begin with 0. */
DECLARE_DYNDBG_CLASSMAP(more_colours, DD_CLASS_TYPE_DISJOINT_NAMES, OTHER_GREEN,
			"MINIRING_GREEN", "MINIRING_BLUE");
#else
#define say_in(colour, fmt, ...) \
	do { (void)(colour); no_printk(fmt, ##__VA_ARGS__); } while (0)
#endif

static noinline void say_in_colours(const char *what)
{
	say_in(RED, "red said %s\n", what);
	say_in(GREEN, "green said %s\n", what);
	say_in(NAMELESS, "nameless said %s\n", what);
	say_in(OTHER_GREEN, "other green said %s\n", what);
	say_in(BLUE, "blue said %s\n", what);
}

static int say(const char *what, const struct kernel_param *parameter)
{
	pr_debug("plainly said %s\n", what);
	say_in_colours(what);
	return 0;
}

static const struct kernel_param_ops say_ops = { .set = say };
module_param_cb(say, &say_ops, NULL, 0200);

MODULE_DESCRIPTION("Sites of dynamic debug to test miniring with");
MODULE_LICENSE("GPL");
