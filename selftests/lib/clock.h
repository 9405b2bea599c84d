/* SPDX-License-Identifier: GPL-2.0 */
/* The monotonic clock. */
#ifndef MINIRING_SELFTEST_CLOCK_H
#define MINIRING_SELFTEST_CLOCK_H

#include <time.h>

long long now_ns(void);

static inline long long now_ms(void)
{
	return now_ns() / 1000000;
}

/* Sleeps that long, also if signals interrupt the sleep. */
void sleep_ms(unsigned int ms);

#endif /* MINIRING_SELFTEST_CLOCK_H */
