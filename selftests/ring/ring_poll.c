// SPDX-License-Identifier: GPL-2.0
/*
 * poll(2) and epoll(7) on a ring: POLLIN while there are completions, POLLOUT
 * while the submission queue has room.
 */
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include "ring_test.h"

FIXTURE(poll)
{
	struct uring ring;
	int epoll;
};

FIXTURE_SETUP(poll)
{
	ASSERT_EQ(0, uring_open(&self->ring, 4));
	self->epoll = epoll_create1(0);
	ASSERT_LE(0, self->epoll);
}

FIXTURE_TEARDOWN(poll)
{
	close(self->epoll);
	uring_close(&self->ring);
}

static int events(struct uring *ring, int timeout)
{
	struct pollfd fd = { .fd = ring->fd, .events = POLLIN | POLLOUT };

	poll(&fd, 1, timeout);
	return fd.revents;
}

static int post(struct uring *ring, int nr)
{
	for (int i = 0; i < nr; i++)
		uring_nop(ring, i);
	return uring_submit(ring);
}

static int watch(int epoll, int fd, unsigned int events, unsigned long long data)
{
	struct epoll_event ev = { .events = events, .data.u64 = data };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev);
}

/*
 * Returns the events of the one ready file, 0 if no file is ready, -1 if
 * several are ready.
 */
static int epoll_events(int epoll, int timeout)
{
	struct epoll_event ev[2];
	int nr = epoll_wait(epoll, ev, 2, timeout);

	return nr > 1 ? -1 : nr ? (int)ev[0].events : 0;
}

/* Posts one completion after a delay. */
static void *post_later(void *arg)
{
	sleep_ms(200);
	post(arg, 1);
	return NULL;
}

TEST_F(poll, new_ring_is_writable_only)
{
	EXPECT_EQ(POLLOUT, events(&self->ring, 0));
}

TEST_F(poll, ring_is_readable_until_the_last_cqe_is_reaped)
{
	ASSERT_EQ(2, post(&self->ring, 2));
	EXPECT_EQ(POLLIN | POLLOUT, events(&self->ring, 0));
	uring_advance(&self->ring, 1);
	EXPECT_EQ(POLLIN | POLLOUT, events(&self->ring, 0));
	uring_advance(&self->ring, 1);
	EXPECT_EQ(POLLOUT, events(&self->ring, 0));
}

TEST_F(poll, ring_is_not_writable_while_the_sq_is_full)
{
	for (int i = 0; i < 4; i++) {
		EXPECT_EQ(POLLOUT, events(&self->ring, 0));
		ASSERT_NE(NULL, uring_nop(&self->ring, i));
		uring_publish(&self->ring);
	}
	EXPECT_EQ(0, events(&self->ring, 0));
	EXPECT_EQ(1, uring_enter(&self->ring, 1, 0, 0));
	EXPECT_EQ(POLLIN | POLLOUT, events(&self->ring, 0));
}

TEST_F(poll, poll_of_a_ring_times_out)
{
	struct pollfd fd = { .fd = self->ring.fd, .events = POLLIN };
	long long start = now_ms();

	EXPECT_EQ(0, poll(&fd, 1, 100));
	EXPECT_LE(99, now_ms() - start);
}

TEST_F(poll, poll_wakes_when_another_thread_submits)
{
	struct pollfd fd = { .fd = self->ring.fd, .events = POLLIN };
	pthread_t thread;

	pthread_create(&thread, NULL, post_later, &self->ring);
	EXPECT_EQ(1, poll(&fd, 1, HANG_MS));
	EXPECT_EQ(POLLIN, fd.revents);
	pthread_join(thread, NULL);
	EXPECT_STREQ("0 0", next_cqe(&self->ring));
}

TEST_F(poll, epoll_wakes_when_another_thread_submits)
{
	pthread_t thread;

	ASSERT_EQ(0, watch(self->epoll, self->ring.fd, EPOLLIN, 0));
	for (int i = 0; i < 3; i++) {
		pthread_create(&thread, NULL, post_later, &self->ring);
		EXPECT_EQ(EPOLLIN, epoll_events(self->epoll, 20000));
		pthread_join(thread, NULL);
		EXPECT_STREQ("0 0", next_cqe(&self->ring));
	}
}

TEST_F(poll, level_triggered_epoll_reports_until_reaped)
{
	ASSERT_EQ(0, watch(self->epoll, self->ring.fd, EPOLLIN, 0));
	EXPECT_EQ(0, epoll_events(self->epoll, 0));
	ASSERT_EQ(1, post(&self->ring, 1));
	EXPECT_EQ(EPOLLIN, epoll_events(self->epoll, 0));
	EXPECT_EQ(EPOLLIN, epoll_events(self->epoll, 0));
	uring_reap(&self->ring);
	EXPECT_EQ(0, epoll_events(self->epoll, 0));
}

TEST_F(poll, edge_triggered_epoll_reports_each_submission_once)
{
	ASSERT_EQ(0, watch(self->epoll, self->ring.fd, EPOLLIN | EPOLLET, 0));
	EXPECT_EQ(0, epoll_events(self->epoll, 0));
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(1, post(&self->ring, 1));
		EXPECT_EQ(EPOLLIN, epoll_events(self->epoll, 0)) {
			TH_LOG("completion %d, none reaped", i);
		}
		EXPECT_EQ(0, epoll_events(self->epoll, 0));
	}
	uring_reap(&self->ring);
	EXPECT_EQ(0, epoll_events(self->epoll, 0));
	ASSERT_EQ(1, post(&self->ring, 1));
	EXPECT_EQ(EPOLLIN, epoll_events(self->epoll, 0));
}

TEST_F(poll, oneshot_epoll_reports_once)
{
	ASSERT_EQ(0, watch(self->epoll, self->ring.fd, EPOLLIN | EPOLLONESHOT, 0));
	ASSERT_EQ(1, post(&self->ring, 1));
	EXPECT_EQ(EPOLLIN, epoll_events(self->epoll, 0));
	ASSERT_EQ(1, post(&self->ring, 1));
	EXPECT_EQ(0, epoll_events(self->epoll, 0));
}

TEST_F(poll, epoll_reports_the_ring_that_completed)
{
	struct uring other = {};
	struct epoll_event ev;

	ASSERT_EQ(0, uring_open(&other, 4));
	ASSERT_EQ(0, watch(self->epoll, self->ring.fd, EPOLLIN, 1));
	ASSERT_EQ(0, watch(self->epoll, other.fd, EPOLLIN, 2));
	ASSERT_EQ(1, post(&other, 1));
	ASSERT_EQ(1, epoll_wait(self->epoll, &ev, 1, 0));
	EXPECT_EQ(2, ev.data.u64);
	uring_reap(&other);
	ASSERT_EQ(1, post(&self->ring, 1));
	ASSERT_EQ(1, epoll_wait(self->epoll, &ev, 1, 0));
	EXPECT_EQ(1, ev.data.u64);
}

TEST_F(poll, closed_ring_leaves_epoll)
{
	struct uring other = {};

	ASSERT_EQ(0, uring_open(&other, 4));
	ASSERT_EQ(0, watch(self->epoll, other.fd, EPOLLIN, 0));
	ASSERT_EQ(1, post(&other, 1));
	EXPECT_EQ(EPOLLIN, epoll_events(self->epoll, 0));
	uring_close(&other);
	EXPECT_EQ(0, epoll_events(self->epoll, 0));
}

TEST_F(poll, skipped_success_does_not_wake_poll)
{
	uring_nop(&self->ring, 1)->flags = IOSQE_CQE_SKIP_SUCCESS;
	ASSERT_EQ(1, uring_submit(&self->ring));
	EXPECT_EQ(POLLOUT, events(&self->ring, 0));
}

TEST(disabled_ring_can_be_polled)
{
	struct uring ring = { .p.flags = IORING_SETUP_R_DISABLED };
	pthread_t thread;

	ASSERT_EQ(0, uring_open(&ring, 4));
	EXPECT_EQ(POLLOUT, events(&ring, 0));
	ASSERT_EQ(0, uring_register(&ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0));

	struct pollfd fd = { .fd = ring.fd, .events = POLLIN };

	pthread_create(&thread, NULL, post_later, &ring);
	EXPECT_EQ(1, poll(&fd, 1, HANG_MS));
	pthread_join(thread, NULL);
}

TEST_HARNESS_MAIN
