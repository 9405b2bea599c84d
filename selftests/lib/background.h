/* SPDX-License-Identifier: GPL-2.0 */
/* A thread that repeats a function until it is stopped. */
#ifndef MINIRING_SELFTEST_BACKGROUND_H
#define MINIRING_SELFTEST_BACKGROUND_H

#include <pthread.h>
#include <stdbool.h>

struct background {
	pthread_t thread;
	bool running, stop;
};

void background_start(struct background *b, void *(*run)(void *), void *arg);

/* Returns whether the thread has to end. For the thread. */
static inline bool background_is_over(struct background *b)
{
	return __atomic_load_n(&b->stop, __ATOMIC_ACQUIRE);
}

/* Ends the thread, if it is running. */
void background_stop(struct background *b);

#endif /* MINIRING_SELFTEST_BACKGROUND_H */
