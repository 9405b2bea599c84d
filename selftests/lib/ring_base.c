// SPDX-License-Identifier: GPL-2.0
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "clock.h"
#include "hang.h"
#include "ring_base.h"

const char *result_name(int res)
{
	static __thread char text[32];
	const char *name = res < 0 ? strerrorname_np(-res) : NULL;

	if (name)
		snprintf(text, sizeof(text), "-%s", name);
	else
		snprintf(text, sizeof(text), "%d", res);
	return text;
}

const char *next_cqe(struct uring *ring)
{
	static __thread char text[64];
	struct io_uring_cqe *cqe = uring_peek(ring);

	if (!cqe)
		return "none";
	snprintf(text, sizeof(text), "%llu %s", cqe->user_data, result_name(cqe->res));
	uring_advance(ring, 1);
	return text;
}

bool until_asleep_in(int tid, long nr)
{
	long long end = now_ms() + HANG_MS;
	char path[64], line[256];

	snprintf(path, sizeof(path), "/proc/%d/syscall", tid);
	do {
		FILE *file = fopen(path, "r");
		bool there = file && fgets(line, sizeof(line), file);
		long in;

		if (file)
			fclose(file);
		/* "running", or the number of the call and its arguments. */
		if (there && sscanf(line, "%ld ", &in) == 1 && in == nr)
			return true;
		if (!there)
			return false;
		sleep_ms(1);
	} while (now_ms() < end);
	return false;
}

int enter_timeout(struct uring *ring, unsigned int min_complete, unsigned int ms)
{
	struct __kernel_timespec ts = {
		.tv_sec = ms / 1000,
		.tv_nsec = ms % 1000 * 1000000LL,
	};
	struct io_uring_getevents_arg arg = { .ts = (unsigned long)&ts };

	return uring_enter_arg(ring, 0, min_complete,
			       IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG,
			       &arg, sizeof(arg));
}

const char *wait_next_cqe(struct uring *ring)
{
	if (!uring_ready(ring))
		enter_timeout(ring, 1, HANG_MS);
	return next_cqe(ring);
}

void *bad_pointer(void)
{
	static void *page;

	if (!page)
		page = mmap(NULL, getpagesize(), PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return page;
}
