// SPDX-License-Identifier: GPL-2.0
/*
 * The waiter of samples/umwait loses no wake-up. Another thread makes work, by a message or a
 * completion, at about the time when the waiter announces its sleep. A sleep that times out with
 * work pending is a lost wake-up. HANDSHAKES in the environment is the number of announcements.
 */
#include <pthread.h>
#include <sched.h>
#include "../../samples/umwait/waiter.h"
#include "ring_test.h"

#define HANDSHAKES 20000

/* user_data of completions */
enum { COMPLETION = 1, KICK = 2 };

FIXTURE(waiter)
{
	struct uring ring;
	struct waiter waiter;
	unsigned long long made, messages;	/* by the other thread */
	unsigned long long taken, taken_messages, kicks, at[4];
	bool stop;
};

static bool has_work(void *arg)
{
	struct _test_data_waiter *self = arg;

	return uring_ready(&self->ring) ||
	       __atomic_load_n(&self->messages, __ATOMIC_ACQUIRE) != self->taken_messages;
}

static int sleep_in_kernel(void *arg)
{
	struct _test_data_waiter *self = arg;

	return enter_timeout(&self->ring, 1, HANG_MS);
}

/* The one thread that submits. */
static void complete(struct uring *ring, unsigned long long user_data)
{
	while (!uring_nop(ring, user_data))
		sched_yield();
	uring_submit(ring);
}

static unsigned int random_below(unsigned int *state, unsigned int limit)
{
	*state = *state * 1664525 + 1013904223;
	return (*state >> 8) % limit;
}

static void *make_work(void *arg)
{
	struct _test_data_waiter *self = arg;
	unsigned int state = 1;

	while (!__atomic_load_n(&self->stop, __ATOMIC_ACQUIRE)) {
		if (__atomic_load_n(&self->taken, __ATOMIC_ACQUIRE) != self->made) {
			_mm_pause();
			continue;
		}
		for (unsigned int i = random_below(&state, 200); i; i--)
			__asm__ volatile("");
		self->made++;
		if (random_below(&state, 2)) {
			complete(&self->ring, COMPLETION);
			continue;
		}
		__atomic_store_n(&self->messages, self->messages + 1, __ATOMIC_RELEASE);
		if (waiter_ring(&self->waiter))
			complete(&self->ring, KICK);
	}
	return NULL;
}

FIXTURE_SETUP(waiter)
{
	if (on_io_uring())
		SKIP(return, "io_uring promises no word for the user");
	ASSERT_EQ(0, uring_open(&self->ring, 8));
	self->waiter = (struct waiter){
		.cq_tail = self->ring.cq.tail,
		.has_work = has_work,
		.sleep = sleep_in_kernel,
		.arg = self,
	};
	waiter_init(&self->waiter);
}

FIXTURE_TEARDOWN(waiter)
{
	uring_close(&self->ring);
}

/* Takes all work. */
static void take_work(struct _test_data_waiter *self)
{
	unsigned long long messages = __atomic_load_n(&self->messages, __ATOMIC_ACQUIRE);
	unsigned long long taken = messages - self->taken_messages;
	struct io_uring_cqe *cqe;

	self->taken_messages = messages;
	while ((cqe = uring_peek(&self->ring))) {
		taken += cqe->user_data == COMPLETION;
		self->kicks += cqe->user_data == KICK;
		uring_advance(&self->ring, 1);
	}
	__atomic_store_n(&self->taken, self->taken + taken, __ATOMIC_RELEASE);
}

TEST_F_TIMEOUT(waiter, waiter_loses_no_wake_up, 3000)
{
	const char *text = getenv("HANDSHAKES");
	unsigned long long wanted = text ? strtoull(text, NULL, 0) : HANDSHAKES;
	struct waiter *w = &self->waiter;
	unsigned int state = 2, lost = 0, strange = 0;
	long long start = now_ms();
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, make_work, self));
	while (w->announced < wanted && !lost) {
		/* Mostly 0: then every wait announces a sleep. */
		long long bound = random_below(&state, 8) ? 0 : random_below(&state, 3000);
		enum wake wake;

		for (unsigned int i = random_below(&state, 200); i; i--)
			__asm__ volatile("");
		wake = waiter_wait(w, bound);
		self->at[wake]++;
		if (wake == WAKE_SLEPT && w->slept == -ETIME)
			lost += has_work(self);
		else if (wake == WAKE_SLEPT)
			strange += w->slept != 0;
		take_work(self);
	}
	__atomic_store_n(&self->stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	take_work(self);

	TH_LOG("%llu handshakes in %lld ms, %s: %llu raced, %llu slept", w->announced,
	       now_ms() - start, w->umwait ? "UMWAIT" : "PAUSE",
	       self->at[WAKE_ANNOUNCED], self->at[WAKE_SLEPT]);
	TH_LOG("and %llu short, %llu at once; %llu kicks", self->at[WAKE_SHORT],
	       self->at[WAKE_AT_ONCE], self->kicks);
	EXPECT_EQ(0, lost);
	EXPECT_EQ(0, strange) {
		TH_LOG("sleeps that ended with an error, the last with %s",
		       result_name(w->slept));
	}
	EXPECT_EQ(self->made, self->taken);
	EXPECT_LE(wanted, w->announced);
	/* Work came during announcements, and after the waiter slept. */
	EXPECT_LT(0, self->at[WAKE_ANNOUNCED]);
	EXPECT_LT(0, self->at[WAKE_SLEPT]);
	EXPECT_LT(0, self->kicks);
}

TEST_HARNESS_MAIN
