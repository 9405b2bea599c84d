// SPDX-License-Identifier: GPL-2.0
/*
 * The word behind the CQ tail belongs to the user. A thread writes the word again and again, and
 * detects any foreign value, and any step back of the tail beside it. A watchpoint on the kernel's
 * address of the word detects writes and reads there. Another watchpoint, on the tail, shows that
 * watchpoints work.
 */
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include "ring_test.h"
#include "watch.h"

#define CQ_ENTRIES 8
#define LINE 64
#define RACE_MS 500

FIXTURE(reserved)
{
	struct uring ring;
	pthread_t thread;
	unsigned int *word;
	unsigned int tail;	/* the expected CQ tail */
	bool stop;
	unsigned long long writes, strange, backwards;
};

/* Writes word after word. Each word differs from the previous word in every byte. */
static void *scribble(void *arg)
{
	struct _test_data_reserved *self = arg;
	unsigned int value = 0x01020304, tail = 0, seen;

	while (!__atomic_load_n(&self->stop, __ATOMIC_ACQUIRE)) {
		__atomic_store_n(self->word, value, __ATOMIC_RELAXED);
		seen = uring_load(self->ring.cq.tail);
		self->backwards += (int)(seen - tail) < 0;
		tail = seen;
		self->strange += __atomic_load_n(self->word, __ATOMIC_RELAXED) != value;
		value += 0x61c88647 | 0x01010101;
		__atomic_store_n(&self->writes, self->writes + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

FIXTURE_SETUP(reserved)
{
	if (on_io_uring())
		SKIP(return, "io_uring promises no such word");
	self->ring.p.flags = IORING_SETUP_CQSIZE;
	self->ring.p.cq_entries = CQ_ENTRIES;
	ASSERT_EQ(0, uring_open(&self->ring, 4));
	self->word = self->ring.cq.tail + 1;
	ASSERT_EQ(0, pthread_create(&self->thread, NULL, scribble, self));
	while (!__atomic_load_n(&self->writes, __ATOMIC_ACQUIRE))
		sched_yield();
}

FIXTURE_TEARDOWN(reserved)
{
	__atomic_store_n(&self->stop, true, __ATOMIC_RELEASE);
	pthread_join(self->thread, NULL);
	EXPECT_EQ(0, self->strange) {
		TH_LOG("of %llu values were not the writer's", self->writes);
	}
	EXPECT_EQ(0, self->backwards);
	uring_close(&self->ring);
}

/* Returns whether the test continues: for @RACE_MS, and until the writer has run. */
static bool more(struct _test_data_reserved *self, long long start)
{
	return now_ms() - start < RACE_MS ||
	       __atomic_load_n(&self->writes, __ATOMIC_ACQUIRE) < 1000;
}

/* Submits a NOP, which moves the tail by @step. */
#define NOP_THEN(step)								\
do {										\
	self->tail += (step);							\
	ASSERT_NE(NULL, uring_nop(&self->ring, 0));				\
	ASSERT_EQ(1, uring_submit(&self->ring));				\
	ASSERT_EQ(self->tail, uring_load(self->ring.cq.tail));			\
} while (0)

TEST_F(reserved, each_head_and_tail_starts_a_cache_line)
{
	const struct io_sqring_offsets *so = &self->ring.p.sq_off;
	const struct io_cqring_offsets *co = &self->ring.p.cq_off;
	const unsigned int offsets[] = { so->head, so->tail, co->head, co->tail };
	const unsigned int others[] = {
		so->ring_mask, so->ring_entries, so->flags, so->dropped, so->array,
		co->ring_mask, co->ring_entries, co->overflow, co->cqes, co->flags,
	};

	for (int i = 0; i < 4; i++) {
		EXPECT_EQ(0, offsets[i] % LINE);
		for (int j = 0; j < i; j++)
			EXPECT_NE(offsets[i], offsets[j]);
		for (int j = 0; j < ARRAY_SIZE(others); j++)
			EXPECT_NE(offsets[i] / LINE, others[j] / LINE);
	}
	EXPECT_EQ(0, (uintptr_t)self->ring.map % LINE);
}

TEST_F(reserved, word_survives_a_tail_that_wraps)
{
	long long start = now_ms();

	while (more(self, start)) {
		NOP_THEN(1);
		ASSERT_EQ(1, uring_reap(&self->ring));
	}
}

TEST_F(reserved, word_survives_overflow_and_flush)
{
	long long start = now_ms();

	while (more(self, start)) {
		for (int j = 0; j < CQ_ENTRIES; j++)
			NOP_THEN(1);
		for (int j = 0; j < CQ_ENTRIES; j++)
			NOP_THEN(0);
		ASSERT_EQ(CQ_ENTRIES, uring_reap(&self->ring));
		self->tail += CQ_ENTRIES;
		ASSERT_EQ(0, uring_enter(&self->ring, 0, 1, IORING_ENTER_GETEVENTS));
		ASSERT_EQ(self->tail, uring_load(self->ring.cq.tail));
		ASSERT_EQ(CQ_ENTRIES, uring_reap(&self->ring));
	}
}

TEST_F(reserved, word_survives_completions_of_timers)
{
	struct __kernel_timespec ts = { .tv_nsec = 10000 };
	long long start = now_ms();

	while (more(self, start)) {
		struct io_uring_sqe *sqe = uring_get_sqe(&self->ring);

		ASSERT_NE(NULL, sqe);
		sqe->opcode = IORING_OP_TIMEOUT;
		sqe->addr = (unsigned long)&ts;
		sqe->len = 1;
		ASSERT_EQ(1, uring_submit_and_wait(&self->ring, 1));
		ASSERT_EQ(++self->tail, uring_load(self->ring.cq.tail));
		ASSERT_EQ(1, uring_reap(&self->ring));
	}
}

TEST_F(reserved, word_survives_messages)
{
	long long start = now_ms();
	struct uring sender = {};

	ASSERT_EQ(0, uring_open(&sender, 4));
	while (more(self, start)) {
		struct io_uring_sqe *sqe = uring_get_sqe(&sender);

		ASSERT_NE(NULL, sqe);
		sqe->opcode = IORING_OP_MSG_RING;
		sqe->fd = self->ring.fd;
		ASSERT_EQ(1, uring_submit(&sender));
		ASSERT_EQ(1, uring_reap(&sender));
		ASSERT_EQ(++self->tail, uring_load(self->ring.cq.tail));
		ASSERT_EQ(1, uring_reap(&self->ring));
	}
	uring_close(&sender);
}

/* A kernel thread polls the SQ of another ring; the fixture's ring is not used. */
TEST_F(reserved, word_survives_a_submitting_thread)
{
	long long start;

	__atomic_store_n(&self->stop, true, __ATOMIC_RELEASE);
	pthread_join(self->thread, NULL);
	uring_close(&self->ring);
	self->ring = (struct uring){
		.p.flags = IORING_SETUP_SQPOLL, .p.sq_thread_idle = 1000,
	};
	ASSERT_EQ(0, uring_open(&self->ring, 4));
	self->word = self->ring.cq.tail + 1;
	self->stop = false;
	ASSERT_EQ(0, pthread_create(&self->thread, NULL, scribble, self));

	start = now_ms();
	while (more(self, start)) {
		ASSERT_NE(NULL, uring_nop(&self->ring, 0));
		uring_publish(&self->ring);
		ASSERT_EQ(1, uring_enter(&self->ring, 1, 1, IORING_ENTER_GETEVENTS |
					 IORING_ENTER_SQ_WAKEUP));
		ASSERT_EQ(++self->tail, uring_load(self->ring.cq.tail));
		ASSERT_EQ(1, uring_reap(&self->ring));
		/* The thread returns the entry after it has published the CQE. */
		while (uring_load(self->ring.sq.head) != self->tail)
			sched_yield();
	}
}

/* A ring, and watchpoints on its word and on the tail before it. */
struct watched {
	struct uring ring;
	struct watch word, tail;
};

static int watched_open(struct watched *w, unsigned int flags)
{
	/* 4,096 CQEs: no other allocation of this test has that size. */
	*w = (struct watched){
		.ring.p.flags = flags | IORING_SETUP_CQSIZE,
		.ring.p.cq_entries = 4096,
		.ring.p.sq_thread_idle = 20,
	};
	return uring_open(&w->ring, 8);
}

/* Returns 0, or an error: -ENXIO if the address of the ring is not known. */
static int watch_it(struct watched *w)
{
	unsigned long base = kernel_address(w->ring.map_len);
	int ret;

	if (!base)
		return -ENXIO;
	ret = watch_open(&w->word, base + w->ring.p.cq_off.tail + 4, 4, HW_BREAKPOINT_RW);
	return ret ?: watch_open(&w->tail, base + w->ring.p.cq_off.tail, 4, HW_BREAKPOINT_W);
}

TEST_F(reserved, kernel_does_not_touch_the_word)
{
	struct uring ring;
	struct watched w;
	int ret;

	ASSERT_EQ(0, watched_open(&w, 0));
	ret = watch_it(&w);
	if (ret)
		SKIP(return, "no watchpoint: %s", strerror(-ret));
	ring = w.ring;

	/* No CQ has room for 100 completions. */
	for (int i = 0; i < 4096 + 100; i++) {
		ASSERT_NE(NULL, uring_nop(&ring, i));
		ASSERT_EQ(1, uring_submit(&ring));
	}
	ASSERT_EQ(4096, uring_reap(&ring));
	ASSERT_EQ(0, uring_enter(&ring, 0, 1, IORING_ENTER_GETEVENTS));
	ASSERT_EQ(100, uring_reap(&ring));

	/* Completions of timeouts, and messages of another ring. */
	for (int i = 0; i < 20; i++) {
		struct __kernel_timespec ts = { .tv_nsec = 10000 };
		struct io_uring_sqe *sqe = uring_get_sqe(&ring);

		sqe->opcode = IORING_OP_TIMEOUT;
		sqe->addr = (unsigned long)&ts;
		sqe->len = 1;
		ASSERT_EQ(1, uring_submit_and_wait(&ring, 1));
		ASSERT_EQ(1, uring_reap(&ring));
		sqe = uring_get_sqe(&self->ring);
		sqe->opcode = IORING_OP_MSG_RING;
		sqe->fd = ring.fd;
		ASSERT_EQ(1, uring_submit(&self->ring));
		uring_reap(&self->ring);
		ASSERT_EQ(1, uring_reap(&ring));
	}

	/* A flush publishes once for each hold of the lock: at most 32 completions. */
	EXPECT_EQ(4096 + (100 + 31) / 32 + 40, watch_close(&w.tail)) {
		TH_LOG("one for each call that published, or part of a flush");
	}
	EXPECT_EQ(0, watch_close(&w.word));
	uring_close(&ring);
}

/* Waits until the thread has taken all SQEs. */
static bool taken(struct uring *ring)
{
	long long start = now_ms();

	while (uring_publish(ring)) {
		uring_enter(ring, 0, 0, IORING_ENTER_SQ_WAKEUP);
		if (now_ms() - start > HANG_MS)
			return false;
		sched_yield();
	}
	return true;
}

TEST_F(reserved, submitting_thread_does_not_touch_the_word)
{
	struct uring ring;
	struct watched w;
	int ret;
	long long seen;

	ASSERT_EQ(0, watched_open(&w, IORING_SETUP_SQPOLL));
	ret = watch_it(&w);
	if (ret)
		SKIP(return, "no watchpoint: %s", strerror(-ret));
	ring = w.ring;
	for (int i = 0; i < 4096 + 96; i++) {
		ASSERT_NE(NULL, uring_nop(&ring, i));
		if (i % 8 == 7)
			ASSERT_TRUE(taken(&ring));
	}
	ASSERT_EQ(4096, uring_reap(&ring));
	ASSERT_EQ(0, uring_enter(&ring, 0, 1, IORING_ENTER_GETEVENTS));
	ASSERT_EQ(96, uring_reap(&ring));
	seen = watch_close(&w.tail);
	EXPECT_LE(4096 / 8, seen) {
		TH_LOG("8 at most at a time");
	}
	EXPECT_GE(4096 + (96 + 31) / 32, seen);
	EXPECT_EQ(0, watch_close(&w.word));
	uring_close(&ring);
}

TEST_HARNESS_MAIN
