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

static inline void background_start(struct background *b, void *(*run)(void *), void *arg)
{
	b->stop = false;
	b->running = !pthread_create(&b->thread, NULL, run, arg);
}

/* Returns whether the thread has to end. For the thread. */
static inline bool background_is_over(struct background *b)
{
	return __atomic_load_n(&b->stop, __ATOMIC_ACQUIRE);
}

/* Ends the thread, if it is running. */
static inline void background_stop(struct background *b)
{
	if (!b->running)
		return;
	__atomic_store_n(&b->stop, true, __ATOMIC_RELEASE);
	pthread_join(b->thread, NULL);
	b->running = false;
}

#endif /* MINIRING_SELFTEST_BACKGROUND_H */
