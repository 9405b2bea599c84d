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

static inline unsigned long long rng_next(struct rng *rng)
{
	unsigned long long z = rng->state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

static inline unsigned int rng_below(struct rng *rng, unsigned int limit)
{
	return (rng_next(rng) >> 32) % limit;
}

static inline bool rng_one_in(struct rng *rng, unsigned int n)
{
	return !rng_below(rng, n);
}

#endif /* MINIRING_SELFTEST_RNG_H */
