// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "faults.h"
#include "ring_base.h"

#define MAX_POINTS 5000

/* Sets whether allocations are points. No cache is marked for its filter, and no order is 30. */
static void allocations_fail(bool fail)
{
	put(DEBUGFS "failslab/cache-filter", fail ? "N" : "Y");
	put(DEBUGFS "fail_page_alloc/min-order", fail ? "0" : "30");
}

void faults_configure(void)
{
	put(DEBUGFS "failslab/ignore-gfp-wait", "N");
	put(DEBUGFS "failslab/verbose", "0");
	put(DEBUGFS "fail_page_alloc/ignore-gfp-wait", "N");
	put(DEBUGFS "fail_page_alloc/ignore-gfp-highmem", "N");
	put(DEBUGFS "fail_page_alloc/verbose", "0");
	put(DEBUGFS "fail_usercopy/verbose", "0");
	allocations_fail(true);
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

/* Fails every point of @call. Returns the error found, or NULL. */
static const char *search(const struct call *call, struct state *s)
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

const char *fail_each(const struct call *call, struct state *s)
{
	unsigned int faults = s->count.fault;
	struct count all;
	const char *what = search(call, s);

	if (what)
		return what;
	/*
	 * Some allocations depend on what else the kernel did: a call can have one more than the
	 * call before, and the search then skips a copy. Without allocations each copy is found.
	 */
	all = s->count;
	s->count.fault = faults;
	allocations_fail(false);
	what = search(call, s);
	allocations_fail(true);
	all.fault = s->count.fault;
	s->count = all;
	return what;
}

void state_release(struct state *s)
{
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
}

static struct count *total;

static void print_total(void)
{
	printf("# %u points failed in all: %u ENOMEM, %u EFAULT, %u fallback, %u tolerated\n",
	       total->points, total->nomem, total->fault, total->fallback, total->tolerated);
}

/* The harness exits where the tests end. */
bool totals_init(void)
{
	total = mmap(NULL, sizeof(*total), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		     -1, 0);
	return total != MAP_FAILED && !atexit(print_total);
}

void totals_add(const struct count *count)
{
	total->points += count->points;
	total->nomem += count->nomem;
	total->fault += count->fault;
	total->fallback += count->fallback;
	total->tolerated += count->tolerated;
}

int module_users(void)
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
