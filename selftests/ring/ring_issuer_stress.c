// SPDX-License-Identifier: GPL-2.0
/*
 * Mixes all operations on rings of each kind of issuer, for SECONDS from the environment (5 by
 * default). Plain and linked NOPs, timers and their cancellation, drain, polls, and messages of
 * other rings. An eventfd comes and goes, other tasks read fdinfo, and other tasks try to submit.
 * Asserts that no completion is lost or doubled: submitted = completed + cancelled.
 */
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include "ring_test.h"

#define SECONDS 5
#define ENTRIES 32
#define SENDERS 2

FIXTURE(stress)
{
	struct uring ring;
	int event, pipe[2];
	unsigned long long submitted, completed, cancelled, strange;
	unsigned long long sent, intruded, read;
	unsigned int state;
	bool stop;
};

FIXTURE_VARIANT(stress)
{
	unsigned int flags;
};

FIXTURE_VARIANT_ADD(stress, single_issuer)
{
	.flags = IORING_SETUP_SINGLE_ISSUER,
};

FIXTURE_VARIANT_ADD(stress, locked)
{
	.flags = 0,
};

FIXTURE_VARIANT_ADD(stress, sqpoll)
{
	.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_SQPOLL,
};

FIXTURE_SETUP(stress)
{
	self->ring.p.flags = variant->flags;
	self->ring.p.sq_thread_idle = 1;
	ASSERT_EQ(0, uring_open(&self->ring, ENTRIES));
	self->event = eventfd(0, EFD_NONBLOCK);
	ASSERT_EQ(0, pipe(self->pipe));
}

FIXTURE_TEARDOWN(stress)
{
	uring_close(&self->ring);
	close(self->event);
	close(self->pipe[0]);
	close(self->pipe[1]);
}

static unsigned int dice(unsigned int *state, unsigned int limit)
{
	*state = *state * 1664525 + 1013904223;
	return (*state >> 8) % limit;
}

static bool stopped(struct _test_data_stress *self)
{
	return __atomic_load_n(&self->stop, __ATOMIC_ACQUIRE);
}

static void *send_messages(void *arg)
{
	struct _test_data_stress *self = arg;
	struct uring ring = { .p.flags = IORING_SETUP_SINGLE_ISSUER };

	if (uring_open(&ring, 4))
		return NULL;
	while (!stopped(self)) {
		struct io_uring_sqe *sqe = uring_get_sqe(&ring);
		struct io_uring_cqe *cqe;

		sqe->opcode = IORING_OP_MSG_RING;
		sqe->fd = self->ring.fd;
		uring_submit_and_wait(&ring, 1);
		cqe = uring_peek(&ring);
		if (cqe && !cqe->res)
			__atomic_fetch_add(&self->sent, 1, __ATOMIC_RELAXED);
		uring_reap(&ring);
		/* Sends no faster than the receiver reaps. */
		usleep(200);
	}
	uring_close(&ring);
	return NULL;
}

/* Other tasks may neither submit to a ring with one issuer, nor change it. */
static void *intrude(void *arg)
{
	struct _test_data_stress *self = arg;
	const bool single = self->ring.p.flags & IORING_SETUP_SINGLE_ISSUER;
	const bool polled = self->ring.p.flags & IORING_SETUP_SQPOLL;
	unsigned long long tries = 0;
	char info[4096], path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", self->ring.fd);
	while (!stopped(self)) {
		int fd = open(path, O_RDONLY);

		if (single) {
			bool in = uring_unregister_eventfd(&self->ring) != -EEXIST;

			in |= !polled && uring_enter(&self->ring, 1, 0, 0) != -EEXIST;
			__atomic_fetch_add(&self->intruded, in, __ATOMIC_RELAXED);
		}
		while (fd >= 0 && read(fd, info, sizeof(info)) > 0)
			__atomic_fetch_add(&self->read, 1, __ATOMIC_RELAXED);
		close(fd);
		if (++tries % 16 == 0)
			sched_yield();
	}
	return NULL;
}

static void take(struct _test_data_stress *self)
{
	struct io_uring_cqe *cqe;

	if (*self->ring.sq.flags & IORING_SQ_CQ_OVERFLOW)
		uring_enter(&self->ring, 0, 0, IORING_ENTER_GETEVENTS);
	while ((cqe = uring_peek(&self->ring))) {
		switch (cqe->res) {
		case -ECANCELED:
			self->cancelled++;
			break;
		case -ETIME:
		case -ENOENT:
		case -EALREADY:
			self->completed++;
			break;
		default:
			self->completed++;
			self->strange += cqe->res < 0;
		}
		uring_advance(&self->ring, 1);
	}
}

static void submit(struct _test_data_stress *self)
{
	if (!(self->ring.p.flags & IORING_SETUP_SQPOLL)) {
		uring_submit(&self->ring);
		return;
	}
	uring_publish(&self->ring);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (uring_load(self->ring.sq.flags) & IORING_SQ_NEED_WAKEUP)
		uring_enter(&self->ring, 1, 0, IORING_ENTER_SQ_WAKEUP);
}

/* Submits a request of a random kind, linked to the next request or not. */
static void request(struct _test_data_stress *self, struct io_uring_sqe *sqe, bool may_link)
{
	static struct __kernel_timespec soon = { .tv_nsec = 30000 };
	/* Requests that a drained request waits for, and a cancellation behind it. */
	static struct __kernel_timespec late = { .tv_nsec = 200000000 };
	unsigned int kind = dice(&self->state, 16);

	sqe->user_data = kind < 8 ? 0 : 1 + dice(&self->state, 4);
	switch (kind) {
	case 8:
	case 9:
	case 10:
		sqe->opcode = IORING_OP_TIMEOUT;
		sqe->addr = (unsigned long)(kind == 10 ? &late : &soon);
		sqe->len = 1;
		break;
	case 11:
		sqe->opcode = IORING_OP_POLL_ADD;
		sqe->fd = self->pipe[0];
		sqe->poll32_events = POLLIN;
		break;
	case 12:
	case 13:
	case 14:
		sqe->opcode = IORING_OP_ASYNC_CANCEL;
		sqe->addr = sqe->user_data;
		sqe->user_data = 0;
		break;
	default:
		sqe->opcode = IORING_OP_NOP;
	}
	if (may_link && !dice(&self->state, 4))
		sqe->flags |= dice(&self->state, 2) ? IOSQE_IO_LINK : IOSQE_IO_HARDLINK;
	if (!dice(&self->state, 8))
		sqe->flags |= IOSQE_ASYNC;
	if (!dice(&self->state, 64))
		sqe->flags |= IOSQE_IO_DRAIN;
	self->submitted++;
}

/* Cancels all requests, until each has completed. */
static bool settle(struct _test_data_stress *self)
{
	long long start = now_ms();
	char byte = 0;

	/* A drained request may wait for polls, and cannot be cancelled meanwhile. */
	if (write(self->pipe[1], &byte, 1) != 1)
		return false;

	while (self->completed + self->cancelled <
	       self->submitted + __atomic_load_n(&self->sent, __ATOMIC_RELAXED)) {
		struct io_uring_sqe *sqe = uring_get_sqe(&self->ring);

		if (now_ms() - start > HANG_MS)
			return false;
		if (sqe) {
			sqe->opcode = IORING_OP_ASYNC_CANCEL;
			sqe->cancel_flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL;
			self->submitted++;
		}
		submit(self);
		enter_timeout(&self->ring, 1, 5);
		take(self);
	}
	return read(self->pipe[0], &byte, 1) == 1;
}

TEST_F_TIMEOUT(stress, each_request_completes_once, 7200)
{
	const char *text = getenv("SECONDS");
	long long end = now_ms() + (text ? atoi(text) : SECONDS) * 1000LL;
	pthread_t threads[SENDERS + 1];
	bool registered = false;
	unsigned int rounds = 0;

	for (int i = 0; i < SENDERS; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, send_messages, self));
	ASSERT_EQ(0, pthread_create(&threads[SENDERS], NULL, intrude, self));

	while (now_ms() < end || !__atomic_load_n(&self->sent, __ATOMIC_RELAXED) ||
	       !__atomic_load_n(&self->read, __ATOMIC_RELAXED) || !self->cancelled) {
		unsigned int nr = 1 + dice(&self->state, ENTRIES);
		struct io_uring_sqe *sqe;

		while (nr-- && (sqe = uring_get_sqe(&self->ring)))
			request(self, sqe, nr);
		submit(self);
		take(self);
		if (!dice(&self->state, 8)) {
			int ret = registered ? uring_unregister_eventfd(&self->ring) :
				uring_register_eventfd(&self->ring, self->event);

			registered ^= !ret;
			/* Another task may change the eventfd on a ring without one issuer. */
			ASSERT_TRUE(!ret || !(variant->flags & IORING_SETUP_SINGLE_ISSUER));
		}
		/* Late timeouts accumulate. */
		if (++rounds % 64 == 0)
			ASSERT_TRUE(settle(self));
	}
	__atomic_store_n(&self->stop, true, __ATOMIC_RELEASE);
	for (int i = 0; i < SENDERS + 1; i++)
		pthread_join(threads[i], NULL);
	ASSERT_TRUE(settle(self));
	sleep_ms(100);
	take(self);

	TH_LOG("%llu submitted, %llu messages: %llu completed, %llu cancelled",
	       self->submitted, self->sent, self->completed, self->cancelled);
	EXPECT_EQ(self->submitted + self->sent, self->completed + self->cancelled);
	EXPECT_EQ(0, self->strange);
	EXPECT_EQ(0, self->intruded);
	EXPECT_LT(0, self->sent);
	EXPECT_LT(0, self->read);
	EXPECT_LT(0, self->cancelled);
}

TEST_HARNESS_MAIN
