/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Each allocation and each copy from or to the user in a call fails once: the first, the second,
 * and so on until none is left. A call that fails for that reason returns -ENOMEM or -EFAULT, or
 * its fallback. It has changed nothing, and succeeds when it is repeated. A call that succeeds
 * nevertheless has done all its work. Needs CONFIG_FAULT_INJECTION with failslab and
 * fail_usercopy.
 */
#ifndef MINIRING_SELFTEST_FAULT_INJECT_H
#define MINIRING_SELFTEST_FAULT_INJECT_H

#include <sys/eventfd.h>
#include "modules.h"
#include "ring_test.h"

#define CONTROL DEBUGFS "miniring/control"
#define KERNEL_CONTROL "/proc/dynamic_debug/control"
#define FAIL_NTH "/proc/self/fail-nth"
#define MAX_POINTS 5000
#define ENTRIES 64
#define LIST_MAX 1048576

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
static void faults_configure(void)
{
	put(DEBUGFS "failslab/ignore-gfp-wait", "N");
	put(DEBUGFS "failslab/cache-filter", "N");
	put(DEBUGFS "failslab/verbose", "0");
	put(DEBUGFS "fail_page_alloc/ignore-gfp-wait", "N");
	put(DEBUGFS "fail_page_alloc/ignore-gfp-highmem", "N");
	put(DEBUGFS "fail_page_alloc/min-order", "0");
	put(DEBUGFS "fail_page_alloc/verbose", "0");
	put(DEBUGFS "fail_usercopy/verbose", "0");
}

/* Makes the call with its @nth point failing. @hit is set if it has that many. */
static int make_failing(const struct call *call, struct state *s, int fail, unsigned int nth,
			bool *hit)
{
	char text[16];
	int ret;
	ssize_t len;

	snprintf(text, sizeof(text), "%u", nth);
	if (pwrite(fail, text, strlen(text), 0) < 0)
		return -EIO;
	ret = call->make(s);
	/* If a count is left, the read of it may itself be the fault. */
	len = pread(fail, text, sizeof(text) - 1, 0);
	*hit = len > 0 && atoi(text) == 0;
	/* So may be the undo, once. */
	if (pwrite(fail, "0", 1, 0) < 0 && pwrite(fail, "0", 1, 0) < 0)
		return -EIO;
	return ret;
}

/* Returns the error found, or NULL. */
static const char *fail_each(const struct call *call, struct state *s)
{
	struct count *count = &s->count;
	int fail = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	static char text[256];
	const char *what = NULL;
	bool hit = true;

	if (fail < 0)
		return "cannot open " FAIL_NTH;
	for (unsigned int nth = 1; !what && hit && nth <= MAX_POINTS; nth++) {
		int ret;

		hit = false;
		ret = make_failing(call, s, fail, nth, &hit);
		if (hit)
			count->points++;
		if (ret < 0) {
			if (!hit)
				what = "fails with nothing made to fail";
			else if (ret == -ENOMEM)
				count->nomem++;
			else if (ret == -EFAULT)
				count->fault++;
			else if (ret == call->fallback)
				count->fallback++;
			else
				what = "fails with something else than -ENOMEM and -EFAULT";
			if (!what && call->changed)
				what = call->changed(s);
			if (!what) {
				ret = call->make(s);
				if (ret < 0)
					what = "does not succeed after a failure";
			}
		} else if (hit) {
			count->tolerated++;
		}
		if (!what && call->wrong)
			what = call->wrong(s, ret);
		if (!what && call->undo)
			call->undo(s);
		if (what)
			snprintf(text, sizeof(text), "point %u: %s (returned %s)", nth, what,
				 result_name(ret));
	}
	close(fail);
	if (!what && hit) {
		what = "has no end";
		snprintf(text, sizeof(text), "point %u: %s", MAX_POINTS, what);
	}
	return what ? text : NULL;
}

/* Totals of all tests, which are processes. */
static struct count *total;

static inline void print_total(void)
{
	printf("# %u points failed in all: %u ENOMEM, %u EFAULT, %u fallback, %u tolerated\n",
	       total->points, total->nomem, total->fault, total->fallback, total->tolerated);
}

/* Runs all tests, and prints the total at the end, where the harness exits. */
static inline int fault_main(int argc, char **argv)
{
	total = mmap(NULL, sizeof(*total), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		     -1, 0);
	if (total == MAP_FAILED || atexit(print_total))
		return KSFT_FAIL;
	return test_harness_run(argc, argv);
}

FIXTURE(fault)
{
	struct state state;
	int users;
};

/* Returns the reference count of the module. */
static int users(void)
{
	FILE *file = fopen("/sys/module/miniring/refcnt", "re");
	int nr = -1;

	if (!file)
		return -errno;
	if (fscanf(file, "%d", &nr) != 1)
		nr = -1;
	fclose(file);
	return nr;
}

FIXTURE_SETUP(fault)
{
	if (on_io_uring())
		SKIP(return, "faults are for miniring");
	if (access(FAIL_NTH, W_OK))
		SKIP(return, "the kernel has no CONFIG_FAULT_INJECTION");
	if (access(DEBUGFS "failslab", F_OK) && access(DEBUGFS "fail_usercopy", F_OK))
		SKIP(return, "the kernel has neither failslab nor fail_usercopy");
	faults_configure();
	self->users = users();
	self->state = (struct state){ .ring.fd = -1, .fd = -1, .epoll = -1 };
	self->state.eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ASSERT_LE(0, self->state.eventfd);
}

FIXTURE_TEARDOWN(fault)
{
	struct state *s = &self->state;

	if (s->ring.map)
		uring_close(&s->ring);
	if (s->fd >= 0)
		close(s->fd);
	if (s->epoll >= 0)
		close(s->epoll);
	close(s->eventfd);
	free(s->before);
	free(s->after);
	free(s->wanted);
	EXPECT_EQ(self->users, users());
	total->points += s->count.points;
	total->nomem += s->count.nomem;
	total->fault += s->count.fault;
	total->fallback += s->count.fallback;
	total->tolerated += s->count.tolerated;
	TH_LOG("%u points failed: %u ENOMEM, %u EFAULT, %u fallback, %u tolerated",
	       s->count.points, s->count.nomem, s->count.fault, s->count.fallback,
	       s->count.tolerated);
}

/* For tests: fails every point of @call. */
#define FAIL_EACH(state, call) do {					\
	const char *what_ = fail_each(call, state);			\
	ASSERT_EQ(NULL, what_) TH_LOG("%s", what_);			\
} while (0)

#endif /* MINIRING_SELFTEST_FAULT_INJECT_H */
