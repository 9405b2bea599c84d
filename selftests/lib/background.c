// SPDX-License-Identifier: GPL-2.0
#include "background.h"

void background_start(struct background *b, void *(*run)(void *), void *arg)
{
	b->stop = false;
	b->running = !pthread_create(&b->thread, NULL, run, arg);
}

void background_stop(struct background *b)
{
	if (!b->running)
		return;
	__atomic_store_n(&b->stop, true, __ATOMIC_RELEASE);
	pthread_join(b->thread, NULL);
	b->running = false;
}
