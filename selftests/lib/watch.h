/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Watchpoints, which count the accesses of the kernel to a word of a ring's pages: a program
 * accesses the word at another address. For root.
 */
#ifndef MINIRING_SELFTEST_WATCH_H
#define MINIRING_SELFTEST_WATCH_H

#include <linux/hw_breakpoint.h>
#include <stddef.h>

#define WATCH_CPUS 64

struct watch {
	int fds[WATCH_CPUS], nr;
};

/*
 * Returns the kernel address of pages of a ring of which @size bytes are mapped: the one area of
 * the kernel's vmalloc() with so many pages and a guard page that a Rust module may have made.
 * Returns 0 if there is none, or another.
 */
unsigned long kernel_address(size_t size);

/*
 * Counts the accesses of @type (HW_BREAKPOINT_R and so on) to @len bytes at @addr, on all CPUs. x86
 * cannot count reads alone. Returns 0 or a negative error.
 */
int watch_open(struct watch *watch, unsigned long addr, unsigned int len, int type);

/* Returns the number of accesses; -EIO if a CPU was not watched throughout. */
long long watch_close(struct watch *watch);

#endif /* MINIRING_SELFTEST_WATCH_H */
