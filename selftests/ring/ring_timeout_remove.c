// SPDX-License-Identifier: GPL-2.0
/* TIMEOUT_REMOVE: removal and updates of timeouts, also while they expire. */
#include "ring_ops.h"
#include "ring_test.h"

static struct io_uring_sqe *prep_update(struct uring *ring, unsigned long long target,
					struct __kernel_timespec *ts, unsigned int flags,
					unsigned long long user_data)
{
	struct io_uring_sqe *sqe = prep_timeout_remove(ring, target, user_data);

	sqe->addr2 = (unsigned long)ts;
	sqe->timeout_flags = IORING_TIMEOUT_UPDATE | flags;
	return sqe;
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

/*
 * Reaps reports of timeout 7 until the completion of removal 8. Returns the result of the
 * removal. Later only the removed timeout reports.
 */
static int removal(struct uring *ring)
{
	struct io_uring_cqe *cqe;
	int res;

	for (;;) {
		while (!(cqe = uring_peek(ring))) {
			if (enter_timeout(ring, 1, HANG_MS))
				return -ETIME;
		}
		res = cqe->res;
		if (cqe->user_data == 8)
			break;
		if (res != -ETIME || cqe->flags != IORING_CQE_F_MORE)
			return -EIO;
		uring_advance(ring, 1);
	}
	uring_advance(ring, 1);
	return res;
}

static void spin_us(unsigned int us)
{
	long long start = now_ns();

	while (now_ns() - start < us * 1000LL)
		;
}

/*
 * The removal comes at any moment of the interval. io_uring does not find an expiring timeout;
 * here the removal succeeds. A removed timeout reports its removal once, and nothing later.
 */
TEST_F(timeout, multishot_timeout_ends_once_when_removed_at_expiry)
{
	struct uring ring = { .p.flags = IORING_SETUP_CQSIZE, .p.cq_entries = 16384 };

	ASSERT_EQ(0, uring_open(&ring, 8));
	for (int round = 0; round < 400; round++) {
		struct __kernel_timespec ts = { .tv_nsec = 200000 };
		int res;

		prep_timeout(&ring, &ts, 0, IORING_TIMEOUT_MULTISHOT, 7);
		ASSERT_EQ(1, uring_submit(&ring));
		/*
		 * The delay after one completion puts the removal near the next one, or between
		 * two.
		 */
		for (int i = 0; i <= round % 2; i++) {
			while (!uring_ready(&ring))
				;
			uring_advance(&ring, uring_ready(&ring));
		}
		spin_us(round % 25 * 10);
		do {
			prep_timeout_remove(&ring, 7, 8);
			ASSERT_EQ(1, uring_submit(&ring));
			res = removal(&ring);
		} while (on_io_uring() && (res == -EALREADY || res == -ENOENT));
		ASSERT_EQ(0, res);
		EXPECT_STREQ("7 -ECANCELED", next_cqe(&ring));
		prep_timeout_remove(&ring, 7, 8);
		ASSERT_EQ(1, uring_submit(&ring));
		EXPECT_STREQ("8 -ENOENT", next_cqe(&ring));
	}
	sleep_ms(5);
	EXPECT_EQ(0, uring_ready(&ring));
	uring_close(&ring);
}

/* A one-shot timeout either reports or is removed: never both, never neither. */
TEST_F(timeout, timeout_removed_at_expiry_completes_once)
{
	int expired = 0, removed = 0;

	for (int round = 0; round < 400; round++) {
		struct __kernel_timespec ts = { .tv_nsec = 200000 };
		int res = 0, reported = 0;

		prep_timeout(&self->ring, &ts, 0, 0, 7);
		ASSERT_EQ(1, uring_submit(&self->ring));
		spin_us(150 + round % 25 * 4);
		prep_timeout_remove(&self->ring, 7, 8);
		ASSERT_EQ(1, uring_submit(&self->ring));
		for (int i = 0; i < 2; i++) {
			struct io_uring_cqe *cqe;

			cqe = uring_peek(&self->ring);
			for (; !cqe; cqe = uring_peek(&self->ring))
				ASSERT_EQ(0, enter_timeout(&self->ring, 1, HANG_MS));
			if (cqe->user_data == 8)
				res = cqe->res;
			else
				reported = cqe->res;
			uring_advance(&self->ring, 1);
		}
		EXPECT_TRUE(!res || res == -ENOENT || (on_io_uring() && res == -EALREADY));
		EXPECT_EQ(res ? -ETIME : -ECANCELED, reported);
		expired += res != 0;
		removed += !res;
	}
	TH_LOG("%d expired, %d were removed", expired, removed);
	sleep_ms(5);
	EXPECT_EQ(0, uring_ready(&self->ring));
}

TEST_F(timeout, removed_timeout_is_cancelled)
{
	prep_timeout(&self->ring, &self->never, 0, 0, 7);
	ASSERT_EQ(1, uring_submit(&self->ring));
	prep_timeout_remove(&self->ring, 7, 8);
	ASSERT_EQ(1, uring_submit_and_wait(&self->ring, 2));
	EXPECT_STREQ("8 0", next_cqe(&self->ring));
	EXPECT_STREQ("7 -ECANCELED", next_cqe(&self->ring));
	prep_timeout_remove(&self->ring, 7, 9);
	ASSERT_EQ(1, uring_submit_and_wait(&self->ring, 1));
	EXPECT_STREQ("9 -ENOENT", next_cqe(&self->ring));
}

TEST_F(timeout, removed_counting_timeout_is_cancelled)
{
	prep_timeout(&self->ring, &self->never, 2, 0, 7);
	ASSERT_EQ(1, uring_submit(&self->ring));
	prep_timeout_remove(&self->ring, 7, 8);
	ASSERT_EQ(1, uring_submit_and_wait(&self->ring, 2));
	EXPECT_STREQ("8 0", next_cqe(&self->ring));
	EXPECT_STREQ("7 -ECANCELED", next_cqe(&self->ring));
	for (int i = 0; i < 3; i++)
		uring_nop(&self->ring, i);
	ASSERT_EQ(3, uring_submit(&self->ring));
	EXPECT_EQ(3, uring_reap(&self->ring));
}

TEST_F(timeout, removal_of_an_expired_timeout_is_enoent)
{
	prep_timeout(&self->ring, &self->soon, 0, 0, 7);
	ASSERT_EQ(1, uring_submit_and_wait(&self->ring, 1));
	EXPECT_STREQ("7 -ETIME", next_cqe(&self->ring));
	prep_timeout_remove(&self->ring, 7, 8);
	ASSERT_EQ(1, uring_submit_and_wait(&self->ring, 1));
	EXPECT_STREQ("8 -ENOENT", next_cqe(&self->ring));
}

TEST_F(timeout, update_makes_a_timeout_expire_sooner)
{
	long long start = now_ms();

	prep_timeout(&self->ring, &self->never, 0, 0, 7);
	prep_update(&self->ring, 7, &self->soon, 0, 8);
	ASSERT_EQ(2, uring_submit_and_wait(&self->ring, 2));
	EXPECT_STREQ("8 0", next_cqe(&self->ring));
	EXPECT_STREQ("7 -ETIME", next_cqe(&self->ring));
	EXPECT_GE(now_ms() - start, 19);
}

TEST_F(timeout, update_sets_an_absolute_time)
{
	struct timespec now;
	struct __kernel_timespec ts;
	long long start = now_ms();

	prep_timeout(&self->ring, &self->never, 0, IORING_TIMEOUT_REALTIME, 7);
	clock_gettime(CLOCK_REALTIME, &now);
	ts.tv_sec = now.tv_sec;
	ts.tv_nsec = now.tv_nsec + 30000000;
	prep_update(&self->ring, 7, &ts, IORING_TIMEOUT_ABS, 8);
	ASSERT_EQ(2, uring_submit_and_wait(&self->ring, 2));
	EXPECT_STREQ("8 0", next_cqe(&self->ring));
	EXPECT_STREQ("7 -ETIME", next_cqe(&self->ring));
	EXPECT_GE(now_ms() - start, 28);
}

TEST_F(timeout, update_removes_the_count_of_a_timeout)
{
	prep_timeout(&self->ring, &self->never, 1, 0, 7);
	prep_update(&self->ring, 7, &self->never, 0, 8);
	ASSERT_EQ(2, uring_submit(&self->ring));
	uring_nop(&self->ring, 9);
	ASSERT_EQ(1, uring_submit(&self->ring));
	sleep_ms(10);
	EXPECT_STREQ("8 0", next_cqe(&self->ring));
	EXPECT_STREQ("9 0", next_cqe(&self->ring));
	EXPECT_STREQ("none", next_cqe(&self->ring));
}

TEST_F(timeout, update_without_a_timeout_is_enoent)
{
	prep_update(&self->ring, 7, &self->soon, 0, 8);
	ASSERT_EQ(1, uring_submit(&self->ring));
	EXPECT_STREQ("8 -ENOENT", next_cqe(&self->ring));
	prep_update(&self->ring, 7, bad_pointer(), 0, 8);
	ASSERT_EQ(1, uring_submit(&self->ring));
	EXPECT_STREQ("8 -EFAULT", next_cqe(&self->ring));
}

TEST_HARNESS_MAIN
