/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Each allocation and each copy from or to the user in a call fails once: the first, the second,
 * and so on until none is left. A call that fails for that reason returns -ENOMEM or -EFAULT, or
 * its fallback. It has changed nothing, and succeeds when it is repeated. A call that succeeds
 * nevertheless has done all its work. Needs CONFIG_FAULT_INJECTION with failslab and
 * fail_usercopy.
 */
#ifndef MINIRING_SELFTEST_FAULTS_H
#define MINIRING_SELFTEST_FAULTS_H

#include "modules.h"
#include "uring.h"

#define FAIL_NTH "/proc/self/fail-nth"

struct count {
	unsigned int points, nomem, fault, fallback, tolerated;
};

/* The objects of a test's calls. */
struct state {
	struct count count;
	struct uring ring;
	struct io_uring_params p;
	unsigned int model, setup_flags;
	int fd, eventfd, epoll;
	void *map;
	unsigned int head;
	unsigned long long seen;
	const char *path, *query, *undo;
	/* Lists: the old one, the current one, and the expected one. */
	char *before, *after, *wanted;
};

struct call {
	/* Makes the call. Returns its result, -errno for a failure. */
	int (*make)(struct state *s);
	/* Checks after a failure. Returns what has changed, NULL for nothing. */
	const char *(*changed)(struct state *s);
	/* Checks after a success with result @ret. Returns what is wrong, NULL for nothing. */
	const char *(*wrong)(struct state *s, int ret);
	/* Undoes a success. */
	void (*undo)(struct state *s);
	/* Errors that are allowed beside -ENOMEM and -EFAULT. */
	int fallback;
};

/* Allows every allocation to fail, and keeps their traces out of the log. */
void faults_configure(void);

/*
 * Fails every point of @call, and then every copy alone, which counts the copies exactly. Returns
 * the error found, or NULL.
 */
const char *fail_each(const struct call *call, struct state *s);

/* Frees the objects of @s. */
void state_release(struct state *s);

/* Totals of all tests, which are processes. They are printed at the exit. */
bool totals_init(void);
void totals_add(const struct count *count);

/* Returns the reference count of the module. */
int module_users(void);

#endif /* MINIRING_SELFTEST_FAULTS_H */
