/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Random numbers: splitmix64.
 */
#ifndef MINIRING_SELFTEST_RNG_H
#define MINIRING_SELFTEST_RNG_H

#include <stdbool.h>

struct rng {
	unsigned long long state;
};

unsigned long long rng_next(struct rng *rng);

static inline unsigned int rng_below(struct rng *rng, unsigned int limit)
{
	return (rng_next(rng) >> 32) % limit;
}

static inline bool rng_one_in(struct rng *rng, unsigned int n)
{
	return !rng_below(rng, n);
}

#endif /* MINIRING_SELFTEST_RNG_H */
