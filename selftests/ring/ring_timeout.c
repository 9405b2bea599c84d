// SPDX-License-Identifier: GPL-2.0
/* Timeouts: expiry, and counts of completions. */
#include <pthread.h>
#include <sched.h>
#include <sys/epoll.h>
#include "background.h"
#include "ring_ops.h"
#include "ring_test.h"

/* A completed timeout ends a wait for any number of completions. */
static unsigned int wait_for(struct uring *ring, unsigned int nr)
{
	long long start = now_ms();

	while (uring_ready(ring) < nr && now_ms() - start < HANG_MS)
		uring_enter(ring, 0, nr, IORING_ENTER_GETEVENTS);
	return uring_ready(ring);
}

FIXTURE(timeout)
{
	struct uring ring;
	struct __kernel_timespec soon, never;
};

FIXTURE_SETUP(timeout)
{
	ASSERT_EQ(0, uring_open(&self->ring, 8));
	self->soon.tv_nsec = 20000000;
	self->never.tv_sec = 1000;
}

FIXTURE_TEARDOWN(timeout)
{
	uring_close(&self->ring);
}

TEST_F(timeout, timeout_expires)
{
	long long start = now_ms();

	prep_timeout(&self->ring, &self->soon, 0, 0, 7);
	ASSERT_EQ(1, uring_submit_and_wait(&self->ring, 1));
	EXPECT_STREQ("7 -ETIME", next_cqe(&self->ring));
	EXPECT_GE(now_ms() - start, 19);
	EXPECT_LT(now_ms() - start, HANG_MS);
}

TEST_F(timeout, timeout_ends_a_wait_for_more)
{
	prep_timeout(&self->ring, &self->soon, 0, 0, 7);
	ASSERT_EQ(1, uring_submit_and_wait(&self->ring, 2));
	EXPECT_STREQ("7 -ETIME", next_cqe(&self->ring));
}

TEST_F(timeout, silent_timeout_ends_a_wait)
{
	struct io_uring_sqe *sqe = prep_timeout(&self->ring, &self->soon, 0,
						IORING_TIMEOUT_ETIME_SUCCESS, 7);

	sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
	ASSERT_EQ(1, uring_submit(&self->ring));
	EXPECT_EQ(0, enter_timeout(&self->ring, 1, HANG_MS));
	EXPECT_STREQ("none", next_cqe(&self->ring));
}

TEST_F(timeout, timeout_reads_its_time_at_submission)
{
	prep_timeout(&self->ring, &self->soon, 0, 0, 7);
	ASSERT_EQ(1, uring_submit(&self->ring));
	self->soon.tv_sec = 1000;
	ASSERT_EQ(0, uring_enter(&self->ring, 0, 1, IORING_ENTER_GETEVENTS));
	EXPECT_STREQ("7 -ETIME", next_cqe(&self->ring));
}

TEST_F(timeout, timeouts_expire_in_order_of_time)
{
	struct __kernel_timespec ts[4] = {
		{ .tv_nsec = 80000000 }, { .tv_nsec = 20000000 },
		{ .tv_nsec = 60000000 }, { .tv_nsec = 40000000 },
	};

	for (int i = 0; i < 4; i++)
		prep_timeout(&self->ring, &ts[i], 0, 0, i);
	ASSERT_EQ(4, uring_submit(&self->ring));
	ASSERT_EQ(4, wait_for(&self->ring, 4));
	EXPECT_STREQ("1 -ETIME", next_cqe(&self->ring));
	EXPECT_STREQ("3 -ETIME", next_cqe(&self->ring));
	EXPECT_STREQ("2 -ETIME", next_cqe(&self->ring));
	EXPECT_STREQ("0 -ETIME", next_cqe(&self->ring));
}

TEST_F(timeout, timeouts_that_expire_together_complete_in_order)
{
	struct timespec now;
	struct __kernel_timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ts.tv_sec = now.tv_sec + 1;
	ts.tv_nsec = 0;
	for (int i = 0; i < 8; i++)
		prep_timeout(&self->ring, &ts, 0, IORING_TIMEOUT_ABS, i);
	ASSERT_EQ(8, uring_submit(&self->ring));
	ASSERT_EQ(8, wait_for(&self->ring, 8));
	for (int i = 0; i < 8; i++, uring_advance(&self->ring, 1)) {
		EXPECT_EQ(i, uring_peek(&self->ring)->user_data);
		EXPECT_EQ(-ETIME, uring_peek(&self->ring)->res);
	}
}

TEST_F(timeout, timeout_completes_after_its_count_of_completions)
{
	prep_timeout(&self->ring, &self->never, 3, 0, 7);
	ASSERT_EQ(1, uring_submit(&self->ring));
	for (int i = 0; i < 2; i++) {
		uring_nop(&self->ring, i);
		ASSERT_EQ(1, uring_submit(&self->ring));
		uring_reap(&self->ring);
	}
	uring_nop(&self->ring, 2);
	ASSERT_EQ(1, uring_submit(&self->ring));
	ASSERT_EQ(0, uring_enter(&self->ring, 0, 2, IORING_ENTER_GETEVENTS));
	EXPECT_STREQ("2 0", next_cqe(&self->ring));
	EXPECT_STREQ("7 0", next_cqe(&self->ring));
}

TEST_F(timeout, completions_of_timeouts_do_not_count)
{
	struct __kernel_timespec later = { .tv_nsec = 100000000 };

	prep_timeout(&self->ring, &later, 1, 0, 1);
	prep_timeout(&self->ring, &self->soon, 0, 0, 2);
	ASSERT_EQ(2, uring_submit(&self->ring));
	ASSERT_EQ(2, wait_for(&self->ring, 2));
	EXPECT_STREQ("2 -ETIME", next_cqe(&self->ring));
	EXPECT_STREQ("1 -ETIME", next_cqe(&self->ring));
}

static struct io_uring_sqe *refused_timeout(struct uring *ring, unsigned long long user_data)
{
	struct io_uring_sqe *sqe = prep_timeout(ring, NULL, 0, 0, user_data);

	sqe->len = 2;
	return sqe;
}

TEST_F(timeout, completion_of_an_unstarted_timeout_counts)
{
	struct uring *ring = &self->ring;

	prep_timeout(ring, &self->never, 2, 0, 1);
	ASSERT_EQ(1, uring_submit(ring));
	refused_timeout(ring, 2);
	ASSERT_EQ(1, uring_submit(ring));
	refused_timeout(ring, 3);
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("2 -EINVAL", wait_next_cqe(ring));
	EXPECT_STREQ("3 -EINVAL", wait_next_cqe(ring));
	EXPECT_STREQ("1 0", wait_next_cqe(ring));
	/* A timeout that is linked to a refused request is not started. */
	prep_timeout(ring, &self->never, 2, 0, 4);
	ASSERT_EQ(1, uring_submit(ring));
	refused_timeout(ring, 5)->flags = IOSQE_IO_LINK;
	prep_timeout(ring, &self->never, 0, 0, 6);
	ASSERT_EQ(2, uring_submit(ring));
	EXPECT_STREQ("5 -EINVAL", wait_next_cqe(ring));
	EXPECT_STREQ("6 -ECANCELED", wait_next_cqe(ring));
	EXPECT_STREQ("4 0", wait_next_cqe(ring));
}

TEST_F(timeout, completion_of_a_removed_timeout_does_not_count)
{
	struct uring *ring = &self->ring;

	prep_timeout(ring, &self->never, 2, 0, 1);
	prep_timeout(ring, &self->never, 0, 0, 2);
	ASSERT_EQ(2, uring_submit(ring));
	prep_timeout_remove(ring, 2, 3);
	ASSERT_EQ(1, uring_submit(ring));
	ASSERT_EQ(2, wait_for(ring, 2));
	sleep_ms(5);
	EXPECT_EQ(2, uring_reap(ring));
	uring_nop(ring, 4);
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("4 0", wait_next_cqe(ring));
	EXPECT_STREQ("1 0", wait_next_cqe(ring));
}

/* A thread that waits for three completions, and the number of CQEs at the end of its wait. */
struct wait_for_three {
	pthread_t thread;
	struct uring *ring;
	int result, ready;
};

static void *wait_for_three(void *arg)
{
	struct wait_for_three *w = arg;

	w->result = enter_timeout(w->ring, 3, HANG_MS);
	w->ready = uring_ready(w->ring);
	return NULL;
}

TEST_F(timeout, unstarted_timeout_ends_no_wait)
{
	struct wait_for_three w = { .ring = &self->ring };
	struct uring *ring = &self->ring;

	pthread_create(&w.thread, NULL, wait_for_three, &w);
	sleep_ms(50);
	refused_timeout(ring, 1);
	ASSERT_EQ(1, uring_submit(ring));
	sleep_ms(50);
	uring_nop(ring, 2);
	uring_nop(ring, 3);
	ASSERT_EQ(2, uring_submit(ring));
	pthread_join(w.thread, NULL);
	EXPECT_EQ(0, w.result);
	EXPECT_EQ(3, w.ready);
}

/* A thread that sends a message to the ring in each round, at about the given time. */
struct sender {
	struct background background;
	struct uring ring;
	int fd, round, delay, done;
};

static void *send_messages(void *arg)
{
	struct sender *s = arg;

	while (!background_is_over(&s->background)) {
		int round = __atomic_load_n(&s->round, __ATOMIC_ACQUIRE);
		struct io_uring_sqe *sqe;

		if (round == s->done)
			continue;
		for (int i = 0; i < s->delay; i++)
			__atomic_signal_fence(__ATOMIC_SEQ_CST);
		sqe = prep(&s->ring, IORING_OP_MSG_RING, s->fd, 7);
		sqe->off = 100;
		sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
		uring_submit(&s->ring);
		__atomic_store_n(&s->done, round, __ATOMIC_RELEASE);
	}
	return NULL;
}

/*
 * A message that comes before the timeout is issued does not count; a later message makes the
 * timeout due. Another timeout does not count, but its expiry completes a timeout that missed
 * the message.
 */
TEST_F(timeout, completion_counts_while_the_timeout_is_issued)
{
	struct sender s = { .fd = self->ring.fd };
	struct uring *ring = &self->ring;
	struct __kernel_timespec now = { .tv_nsec = 1 };
	int late = 0;

	ASSERT_EQ(0, uring_open(&s.ring, 8));
	background_start(&s.background, send_messages, &s);
	for (int round = 1; round <= 3000; round++) {
		bool due = false, found = false;

		s.delay = round % 1000 * 3;
		prep_timeout(ring, &self->never, 1, 0, 1);
		__atomic_store_n(&s.round, round, __ATOMIC_RELEASE);
		ASSERT_EQ(1, uring_submit(ring));
		while (__atomic_load_n(&s.done, __ATOMIC_ACQUIRE) != round)
			sched_yield();
		for (; uring_ready(ring); uring_advance(ring, 1))
			due |= uring_peek(ring)->user_data == 1;
		if (!due) {
			prep_timeout(ring, &now, 0, 0, 2);
			ASSERT_EQ(1, uring_submit_and_wait(ring, 1));
			prep_undo(ring, IORING_OP_TIMEOUT_REMOVE, 1, 3);
			ASSERT_EQ(1, uring_submit(ring));
			for (int seen = 0; seen < 3 - found;) {
				ASSERT_LE(0, enter_timeout(ring, 1, HANG_MS));
				for (; uring_ready(ring); uring_advance(ring, 1)) {
					struct io_uring_cqe *cqe = uring_peek(ring);

					found |= cqe->user_data == 1 && !cqe->res;
					seen++;
				}
			}
		}
		late += found;
	}
	background_stop(&s.background);
	EXPECT_EQ(0, late);
	uring_close(&s.ring);
}

/* CQEs of timeouts that wait for room are not published yet. */
/* Returns the number of completions that wait for room, from fdinfo. */
static int kept(struct uring *ring)
{
	char path[64], line[256];
	FILE *file;
	int nr = 0;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", ring->fd);
	file = fopen(path, "r");
	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file))
		nr += !!strstr(line, " user_data=");
	fclose(file);
	return nr;
}

TEST_F(timeout, timeout_counts_while_completions_of_timeouts_overflow)
{
	struct uring ring = {};

	ASSERT_EQ(0, uring_open(&ring, 1));
	for (int i = 0; i < 4; i++) {
		prep_timeout(&ring, &self->soon, 0, 0, i);
		ASSERT_EQ(1, uring_submit(&ring));
	}
	/* The CQ has two entries. */
	while (kept(&ring) != 2)
		usleep(1000);
	prep_timeout(&ring, &self->never, 1, 0, 9);
	ASSERT_EQ(1, uring_submit(&ring));
	for (int i = 0; i < 4; i++) {
		ASSERT_LE(1, wait_for(&ring, 1));
		EXPECT_NE(NULL, strstr(next_cqe(&ring), "-ETIME"));
	}
	ASSERT_EQ(1, wait_for(&ring, 1));
	EXPECT_STREQ("9 0", next_cqe(&ring));
	uring_close(&ring);
}

TEST_F(timeout, timeout_with_the_lower_count_completes_first)
{
	prep_timeout(&self->ring, &self->never, 3, 0, 13);
	prep_timeout(&self->ring, &self->never, 1, 0, 11);
	prep_timeout(&self->ring, &self->never, 2, 0, 12);
	ASSERT_EQ(3, uring_submit(&self->ring));
	for (int i = 1; i <= 3; i++) {
		char expected[16];

		uring_nop(&self->ring, i);
		ASSERT_EQ(1, uring_submit(&self->ring));
		ASSERT_EQ(0, uring_enter(&self->ring, 0, 2, IORING_ENTER_GETEVENTS));
		snprintf(expected, sizeof(expected), "%d 0", i);
		EXPECT_STREQ(expected, next_cqe(&self->ring));
		snprintf(expected, sizeof(expected), "%d 0", 10 + i);
		EXPECT_STREQ(expected, next_cqe(&self->ring));
	}
}

TEST_F(timeout, timeouts_with_the_same_count_complete_in_order)
{
	for (int i = 1; i <= 3; i++)
		prep_timeout(&self->ring, &self->never, 1, 0, i);
	uring_nop(&self->ring, 4);
	ASSERT_EQ(4, uring_submit(&self->ring));
	ASSERT_EQ(4, wait_for(&self->ring, 4));
	EXPECT_STREQ("4 0", next_cqe(&self->ring));
	EXPECT_STREQ("1 0", next_cqe(&self->ring));
	EXPECT_STREQ("2 0", next_cqe(&self->ring));
	EXPECT_STREQ("3 0", next_cqe(&self->ring));
}

struct later {
	pthread_t thread;
	int fd;
};

static void *write_later(void *arg)
{
	struct later *later = arg;

	sleep_ms(100);
	if (write(later->fd, "x", 1) != 1)
		return arg;
	return NULL;
}

/* The count of the timeout is reached before the wait of the same call. */
TEST_F(timeout, timeout_that_is_due_at_submission_does_not_end_the_wait)
{
	struct later later;
	void *error;
	char byte;
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	later.fd = fds[1];
	ASSERT_EQ(0, pthread_create(&later.thread, NULL, write_later, &later));
	prep_timeout(&self->ring, &self->never, 1, 0, 1);
	uring_nop(&self->ring, 2);
	prep_rw(&self->ring, IORING_OP_READ, fds[0], &byte, 1, -1, 3);
	ASSERT_EQ(3, uring_submit_and_wait(&self->ring, 3));
	EXPECT_EQ(3, uring_ready(&self->ring));
	pthread_join(later.thread, &error);
	EXPECT_EQ(NULL, error);
	close(fds[0]);
	close(fds[1]);
}

/* As a signal without a handler does. */
TEST_F(timeout, timeout_ends_a_blocking_call_of_its_submitter)
{
	struct epoll_event event;
	int epoll = epoll_create1(EPOLL_CLOEXEC);

	ASSERT_LE(0, epoll);
	prep_timeout(&self->ring, &self->soon, 0, 0, 7);
	ASSERT_EQ(1, uring_submit(&self->ring));
	EXPECT_EQ(-1, epoll_wait(epoll, &event, 1, HANG_MS));
	EXPECT_EQ(EINTR, errno);
	EXPECT_STREQ("7 -ETIME", next_cqe(&self->ring));
	close(epoll);
}

TEST_F(timeout, many_timeouts_with_the_same_count_complete)
{
	struct uring ring = { .p.flags = IORING_SETUP_CQSIZE, .p.cq_entries = 4096 };

	ASSERT_EQ(0, uring_open(&ring, 2048));
	for (int i = 0; i < 2048; i++)
		prep_timeout(&ring, &self->never, 1, 0, i);
	ASSERT_EQ(2048, uring_submit(&ring));
	uring_nop(&ring, 5000);
	ASSERT_EQ(1, uring_submit(&ring));
	EXPECT_EQ(2049, wait_for(&ring, 2049));
	uring_close(&ring);
}

TEST_F(timeout, absolute_timeout_expires_on_each_clock)
{
	const struct {
		clockid_t clock;
		unsigned int flags;
	} clocks[] = {
		{ CLOCK_MONOTONIC, 0 },
		{ CLOCK_BOOTTIME, IORING_TIMEOUT_BOOTTIME },
		{ CLOCK_REALTIME, IORING_TIMEOUT_REALTIME },
	};

	for (int i = 0; i < ARRAY_SIZE(clocks); i++) {
		long long start = now_ms();
		struct timespec now;
		struct __kernel_timespec ts;

		clock_gettime(clocks[i].clock, &now);
		ts.tv_sec = now.tv_sec + (now.tv_nsec + 30000000) / 1000000000;
		ts.tv_nsec = (now.tv_nsec + 30000000) % 1000000000;
		prep_timeout(&self->ring, &ts, 0, IORING_TIMEOUT_ABS | clocks[i].flags, i);
		ASSERT_EQ(1, uring_submit_and_wait(&self->ring, 1));
		uring_reap(&self->ring);
		EXPECT_GE(now_ms() - start, 28);
		EXPECT_LT(now_ms() - start, HANG_MS);
	}
}

TEST_F(timeout, timeout_takes_an_immediate_time)
{
	prep_timeout(&self->ring, (void *)10000000, 0, IORING_TIMEOUT_IMMEDIATE_ARG, 1);
	ASSERT_EQ(1, uring_submit_and_wait(&self->ring, 1));
	EXPECT_STREQ("1 -ETIME", next_cqe(&self->ring));
	prep_timeout(&self->ring, (void *)-1, 0, IORING_TIMEOUT_IMMEDIATE_ARG, 2);
	ASSERT_EQ(1, uring_submit(&self->ring));
	EXPECT_STREQ("2 -EINVAL", next_cqe(&self->ring));
}

TEST_F(timeout, multishot_timeout_reports_as_often_as_asked)
{
	struct __kernel_timespec ts = { .tv_nsec = 5000000 };

	prep_timeout(&self->ring, &ts, 3, IORING_TIMEOUT_MULTISHOT, 7);
	ASSERT_EQ(1, uring_submit(&self->ring));
	ASSERT_EQ(3, wait_for(&self->ring, 3));
	for (int i = 0; i < 3; i++) {
		struct io_uring_cqe *cqe = uring_peek(&self->ring);

		ASSERT_NE(NULL, cqe);
		EXPECT_EQ(-ETIME, cqe->res);
		EXPECT_EQ(i < 2 ? IORING_CQE_F_MORE : 0, cqe->flags);
		uring_advance(&self->ring, 1);
	}
	sleep_ms(30);
	EXPECT_EQ(0, uring_ready(&self->ring));
}

TEST_F(timeout, multishot_timeout_continues_until_removed)
{
	struct __kernel_timespec ts = { .tv_nsec = 2000000 };
	struct io_uring_cqe *cqe;
	int reports = 0;

	prep_timeout(&self->ring, &ts, 0, IORING_TIMEOUT_MULTISHOT, 7);
	ASSERT_EQ(1, uring_submit(&self->ring));
	while (reports < 20) {
		ASSERT_EQ(0, uring_enter(&self->ring, 0, 1, IORING_ENTER_GETEVENTS));
		while ((cqe = uring_peek(&self->ring))) {
			ASSERT_EQ(-ETIME, cqe->res);
			ASSERT_EQ(IORING_CQE_F_MORE, cqe->flags);
			uring_advance(&self->ring, 1);
			reports++;
		}
	}
	/* io_uring does not find an expiring timer, or returns an error. */
	do {
		prep_timeout_remove(&self->ring, 7, 8);
		ASSERT_EQ(1, uring_submit_and_wait(&self->ring, 1));
		while ((cqe = uring_peek(&self->ring)) && cqe->user_data == 7 &&
		       cqe->res == -ETIME)
			uring_advance(&self->ring, 1);
		ASSERT_NE(NULL, cqe);
		reports = cqe->res;
		if (cqe->user_data == 8)
			uring_advance(&self->ring, 1);
	} while (on_io_uring() && (reports == -EALREADY || reports == -ENOENT));
	sleep_ms(20);
	reports = 0;
	while ((cqe = uring_peek(&self->ring))) {
		if (cqe->user_data == 7 && cqe->res == -ECANCELED)
			reports++;
		uring_advance(&self->ring, 1);
	}
	EXPECT_EQ(1, reports);
}

TEST_F(timeout, multishot_timeout_ends_when_the_cq_is_full)
{
	struct __kernel_timespec ts = { .tv_nsec = 1000000 };
	unsigned int entries = self->ring.p.cq_entries;
	struct io_uring_cqe *cqe;

	prep_timeout(&self->ring, &ts, 0, IORING_TIMEOUT_MULTISHOT, 7);
	ASSERT_EQ(1, uring_submit(&self->ring));
	for (int i = 0; i < 500 && !(uring_load(self->ring.sq.flags) & IORING_SQ_CQ_OVERFLOW); i++)
		sleep_ms(10);
	ASSERT_TRUE(uring_load(self->ring.sq.flags) & IORING_SQ_CQ_OVERFLOW);
	for (int i = 0; i < entries; i++) {
		cqe = uring_peek(&self->ring);
		ASSERT_NE(NULL, cqe);
		EXPECT_EQ(IORING_CQE_F_MORE, cqe->flags);
		uring_advance(&self->ring, 1);
	}
	ASSERT_EQ(0, uring_enter(&self->ring, 0, 1, IORING_ENTER_GETEVENTS));
	cqe = uring_peek(&self->ring);
	ASSERT_NE(NULL, cqe);
	EXPECT_EQ(0, cqe->flags);
	EXPECT_STREQ("7 -ETIME", next_cqe(&self->ring));
	sleep_ms(20);
	EXPECT_STREQ("none", next_cqe(&self->ring));
}

TEST_F(timeout, skipped_success_of_a_timeout_does_not_end_a_chain)
{
	struct io_uring_sqe *sqe;

	/* The timeout ends the wait, but the linked request completes before. */
	for (int i = 0; i < 100; i++) {
		sqe = prep_timeout(&self->ring, &self->soon, 0, IORING_TIMEOUT_ETIME_SUCCESS, 1);
		sqe->flags = IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS;
		uring_nop(&self->ring, 2);
		ASSERT_EQ(2, uring_submit_and_wait(&self->ring, 1));
		ASSERT_STREQ("2 0", next_cqe(&self->ring));
	}
	sqe = prep_timeout(&self->ring, &self->soon, 0, 0, 3);
	sqe->flags = IOSQE_IO_LINK;
	uring_nop(&self->ring, 4);
	ASSERT_EQ(2, uring_submit(&self->ring));
	ASSERT_EQ(2, wait_for(&self->ring, 2));
	EXPECT_STREQ("3 -ETIME", next_cqe(&self->ring));
	EXPECT_STREQ("4 -ECANCELED", next_cqe(&self->ring));
}

TEST_F(timeout, timeout_refuses_bad_arguments)
{
	struct __kernel_timespec negative = { .tv_sec = -1 };
	const unsigned int flags[] = {
		IORING_TIMEOUT_UPDATE, 1 << 8, IORING_TIMEOUT_BOOTTIME | IORING_TIMEOUT_REALTIME,
		IORING_TIMEOUT_MULTISHOT | IORING_TIMEOUT_ABS,
	};

	for (int i = 0; i < ARRAY_SIZE(flags); i++) {
		prep_timeout(&self->ring, &self->soon, 0, flags[i], i);
		ASSERT_EQ(1, uring_submit(&self->ring));
		ASSERT_EQ(1, uring_ready(&self->ring));
		EXPECT_EQ(-EINVAL, uring_peek(&self->ring)->res);
		uring_reap(&self->ring);
	}
	prep_timeout(&self->ring, &self->soon, 0, 0, 1)->len = 2;
	ASSERT_EQ(1, uring_submit(&self->ring));
	EXPECT_STREQ("1 -EINVAL", next_cqe(&self->ring));
	prep_timeout(&self->ring, &self->soon, 0, 0, 1)->buf_index = 1;
	ASSERT_EQ(1, uring_submit(&self->ring));
	EXPECT_STREQ("1 -EINVAL", next_cqe(&self->ring));
	prep_timeout(&self->ring, &negative, 0, 0, 1);
	ASSERT_EQ(1, uring_submit(&self->ring));
	EXPECT_STREQ("1 -EINVAL", next_cqe(&self->ring));
	prep_timeout(&self->ring, bad_pointer(), 0, 0, 1);
	ASSERT_EQ(1, uring_submit(&self->ring));
	EXPECT_STREQ("1 -EFAULT", next_cqe(&self->ring));
	prep_timeout_remove(&self->ring, 1, 1)->timeout_flags = 1;
	ASSERT_EQ(1, uring_submit(&self->ring));
	EXPECT_STREQ("1 -EINVAL", next_cqe(&self->ring));
}

TEST_F(timeout, many_timeouts_expire)
{
	struct uring ring = { .p.flags = IORING_SETUP_CQSIZE, .p.cq_entries = 4096 };
	struct __kernel_timespec ts = { .tv_nsec = 10000000 };

	ASSERT_EQ(0, uring_open(&ring, 256));
	for (int round = 0; round < 8; round++) {
		for (int i = 0; i < 256; i++)
			prep_timeout(&ring, &ts, 0, 0, i);
		ASSERT_EQ(256, uring_submit(&ring));
	}
	wait_for(&ring, 2048);
	EXPECT_EQ(2048, uring_reap(&ring));
	uring_close(&ring);
}

TEST_HARNESS_MAIN
