// SPDX-License-Identifier: GPL-2.0
#include "rng.h"

unsigned long long rng_next(struct rng *rng)
{
	unsigned long long z = rng->state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}
