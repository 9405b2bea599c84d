/* SPDX-License-Identifier: GPL-2.0 */
/* Shared by ring tests and ring programs without a harness: results as text, and clocks. */
#ifndef MINIRING_SELFTEST_RING_BASE_H
#define MINIRING_SELFTEST_RING_BASE_H

#include <time.h>
#include "uring.h"

/* Returns "7" for a result, "-EINVAL" for an error. */
static inline const char *result_name(int res)
{
	static __thread char text[32];
	const char *name = res < 0 ? strerrorname_np(-res) : NULL;

	if (name)
		snprintf(text, sizeof(text), "-%s", name);
	else
		snprintf(text, sizeof(text), "%d", res);
	return text;
}

static inline long long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static inline long long now_ms(void)
{
	return now_ns() / 1000000;
}

static inline void sleep_ms(unsigned int ms)
{
	struct timespec ts = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

#endif /* MINIRING_SELFTEST_RING_BASE_H */
