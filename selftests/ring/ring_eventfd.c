// SPDX-License-Identifier: GPL-2.0
/*
 * The eventfd of a ring: its registration, and the completions that it counts. The same tests run
 * under every notify model; io_uring has one model, the first.
 */
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include "ring_ops.h"
#include "ring_test.h"

FIXTURE(eventfd)
{
	struct uring ring;
	int fd;
};

FIXTURE_VARIANT(eventfd)
{
	unsigned int model;
};

FIXTURE_VARIANT_ADD(eventfd, rcu)
{
	.model = MINIRING_NOTIFY_RCU,
};

FIXTURE_VARIANT_ADD(eventfd, spinlock)
{
	.model = MINIRING_NOTIFY_SPINLOCK,
};

FIXTURE_VARIANT_ADD(eventfd, quiesce)
{
	.model = MINIRING_NOTIFY_QUIESCE,
};

FIXTURE_SETUP(eventfd)
{
	if (on_io_uring() && variant->model)
		SKIP(return, "io_uring has one notify model");
	self->ring.model = variant->model;
	ASSERT_EQ(0, uring_open(&self->ring, 8));
	self->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT_LE(0, self->fd);
}

FIXTURE_TEARDOWN(eventfd)
{
	uring_close(&self->ring);
	close(self->fd);
}

/* Returns the count since the last call. */
static unsigned long long count(int fd)
{
	unsigned long long value;

	return read(fd, &value, sizeof(value)) == sizeof(value) ? value : 0;
}

static int post(struct uring *ring, int nr)
{
	for (int i = 0; i < nr; i++)
		uring_nop(ring, i);
	return uring_submit(ring);
}

/*
 * Registers by pointer, as in the manual page; uring_register_eventfd() may
 * pass the value.
 */
static int register_pointed(struct uring *ring, int fd)
{
	return uring_register(ring, IORING_REGISTER_EVENTFD, &fd, 1);
}

static int register_async(struct uring *ring, int fd)
{
	return uring_register(ring, IORING_REGISTER_EVENTFD_ASYNC, &fd, 1);
}

static int open_fds(void)
{
	int fd = open("/dev/null", O_RDONLY);

	close(fd);
	return fd;
}

TEST_F(eventfd, second_register_is_busy)
{
	int other = eventfd(0, EFD_NONBLOCK);

	EXPECT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
	EXPECT_EQ(-EBUSY, uring_register_eventfd(&self->ring, self->fd));
	EXPECT_EQ(-EBUSY, register_pointed(&self->ring, self->fd));
	EXPECT_EQ(-EBUSY, uring_register_eventfd(&self->ring, other));
	EXPECT_EQ(-EBUSY, register_pointed(&self->ring, other));
	EXPECT_EQ(-EBUSY, register_async(&self->ring, other));
	/* The state is checked before the argument. */
	EXPECT_EQ(-EBUSY, uring_register_eventfd(&self->ring, -1));
	EXPECT_EQ(-EBUSY, register_pointed(&self->ring, -1));
	ASSERT_EQ(1, post(&self->ring, 1));
	EXPECT_EQ(1, count(self->fd));
	EXPECT_EQ(0, count(other));
}

TEST_F(eventfd, unregister_without_eventfd_is_refused)
{
	EXPECT_EQ(-ENXIO, uring_unregister_eventfd(&self->ring));
	ASSERT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
	EXPECT_EQ(0, uring_unregister_eventfd(&self->ring));
	EXPECT_EQ(-ENXIO, uring_unregister_eventfd(&self->ring));
	EXPECT_EQ(-ENXIO, uring_unregister_eventfd(&self->ring));
}

TEST_F(eventfd, register_right_after_unregister_succeeds)
{
	int other = eventfd(0, EFD_NONBLOCK);
	long long end = now_ms() + 1000;

	ASSERT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
	for (int i = 0; i < 1000 && now_ms() < end; i++) {
		ASSERT_EQ(0, uring_unregister_eventfd(&self->ring));
		ASSERT_EQ(0, uring_register_eventfd(&self->ring, i & 1 ? self->fd : other));
		ASSERT_EQ(1, post(&self->ring, 1));
		ASSERT_EQ(1, count(i & 1 ? self->fd : other));
		ASSERT_EQ(0, count(i & 1 ? other : self->fd));
		ASSERT_EQ(1, uring_reap(&self->ring));
	}
}

TEST_F(eventfd, register_takes_exactly_one_eventfd)
{
	int fds[2] = { self->fd, self->fd };

	EXPECT_EQ(-EINVAL, uring_register(&self->ring, IORING_REGISTER_EVENTFD, fds, 0));
	EXPECT_EQ(-EINVAL, uring_register(&self->ring, IORING_REGISTER_EVENTFD, fds, 2));
	EXPECT_EQ(-EINVAL, uring_register(&self->ring, IORING_REGISTER_EVENTFD_ASYNC, fds, 2));
	EXPECT_EQ(-EINVAL, uring_register(&self->ring, IORING_REGISTER_EVENTFD, NULL, -1U));
	EXPECT_EQ(-ENXIO, uring_unregister_eventfd(&self->ring));
}

TEST_F(eventfd, unregister_of_an_eventfd_takes_no_argument)
{
	ASSERT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
	EXPECT_EQ(-EINVAL, uring_register(&self->ring, IORING_UNREGISTER_EVENTFD, &self->fd, 0));
	EXPECT_EQ(-EINVAL, uring_register(&self->ring, IORING_UNREGISTER_EVENTFD, NULL, 1));
	EXPECT_EQ(0, uring_unregister_eventfd(&self->ring));
}

TEST_F(eventfd, register_from_a_bad_pointer_faults)
{
	EXPECT_EQ(-EFAULT, uring_register(&self->ring, IORING_REGISTER_EVENTFD, NULL, 1));
	EXPECT_EQ(-EFAULT, uring_register(&self->ring, IORING_REGISTER_EVENTFD,
					  bad_pointer(), 1));
	EXPECT_EQ(-ENXIO, uring_unregister_eventfd(&self->ring));
}

TEST_F(eventfd, register_of_a_file_that_is_no_eventfd_is_refused)
{
	int pipes[2], closed = open_fds();

	ASSERT_EQ(0, pipe(pipes));
	EXPECT_EQ(-EBADF, uring_register_eventfd(&self->ring, -1));
	EXPECT_EQ(-EBADF, register_pointed(&self->ring, -1));
	EXPECT_EQ(-EBADF, uring_register_eventfd(&self->ring, closed + 100));
	EXPECT_EQ(-EBADF, register_pointed(&self->ring, closed + 100));
	EXPECT_EQ(-EINVAL, uring_register_eventfd(&self->ring, pipes[0]));
	EXPECT_EQ(-EINVAL, register_pointed(&self->ring, pipes[0]));
	EXPECT_EQ(-EINVAL, uring_register_eventfd(&self->ring, self->ring.fd));
	EXPECT_EQ(-EINVAL, register_pointed(&self->ring, self->ring.fd));
	EXPECT_EQ(-EINVAL, register_async(&self->ring, pipes[1]));
	/* A failure leaves no registration. */
	EXPECT_EQ(-ENXIO, uring_unregister_eventfd(&self->ring));
	EXPECT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
	EXPECT_EQ(0, uring_unregister_eventfd(&self->ring));
	EXPECT_EQ(0, register_pointed(&self->ring, self->fd));
}

TEST_F(eventfd, register_of_a_number_that_is_no_fd_is_ebadf)
{
	const int fds[] = { -1, -2, -100, INT_MIN, INT_MAX, 1 << 20 };

	for (int i = 0; i < 6; i++) {
		EXPECT_EQ(-EBADF, uring_register_eventfd(&self->ring, fds[i]));
		EXPECT_EQ(-EBADF, register_pointed(&self->ring, fds[i]));
		EXPECT_EQ(-EBADF, register_async(&self->ring, fds[i]));
	}
	EXPECT_EQ(-ENXIO, uring_unregister_eventfd(&self->ring));
}

TEST_F(eventfd, register_of_files_of_other_kinds_is_einval)
{
	sigset_t none;
	int fds[] = {
		open("/dev/null", O_RDWR), open("/", O_RDONLY | O_DIRECTORY),
		epoll_create1(0), timerfd_create(CLOCK_MONOTONIC, 0),
		sigemptyset(&none) ? -1 : signalfd(-1, &none, 0),
		memfd_create("x", 0), self->ring.fd,
	};
	char path[64];
	int fd;

	for (int i = 0; i < 7; i++) {
		ASSERT_LE(0, fds[i]);
		EXPECT_EQ(-EINVAL, uring_register_eventfd(&self->ring, fds[i]));
		EXPECT_EQ(-EINVAL, register_pointed(&self->ring, fds[i]));
	}
	/* An O_PATH descriptor of an eventfd is no eventfd, and no open file. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", self->fd);
	fd = open(path, O_PATH | O_NOFOLLOW);
	ASSERT_LE(0, fd);
	EXPECT_EQ(-EBADF, uring_register_eventfd(&self->ring, fd));
	EXPECT_EQ(-EBADF, register_pointed(&self->ring, fd));
	EXPECT_EQ(-ENXIO, uring_unregister_eventfd(&self->ring));
}

TEST_F(eventfd, register_reads_the_fd_whole_or_faults)
{
	const size_t page = getpagesize();
	unsigned long bad[] = { 1, -1UL, -page, 1UL << 63, 1UL << 47, 0x800000000000UL - 2 };
	char *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, pages);
	ASSERT_EQ(0, munmap(pages + page, page));
	for (int i = 0; i < 6; i++)
		EXPECT_EQ(-EFAULT, uring_register(&self->ring, IORING_REGISTER_EVENTFD,
						  (void *)bad[i], 1));
	for (size_t i = 1; i < 4; i++)
		EXPECT_EQ(-EFAULT, uring_register(&self->ring, IORING_REGISTER_EVENTFD,
						  pages + page - i, 1));
	EXPECT_EQ(-ENXIO, uring_unregister_eventfd(&self->ring));

	/* At the end of a page, at an odd address, and in read-only memory. */
	memcpy(pages + page - 4, &self->fd, 4);
	memcpy(pages + 1, &self->fd, 4);
	ASSERT_EQ(0, mprotect(pages, page, PROT_READ));
	EXPECT_EQ(0, uring_register(&self->ring, IORING_REGISTER_EVENTFD,
				    pages + page - 4, 1));
	EXPECT_EQ(0, uring_unregister_eventfd(&self->ring));
	EXPECT_EQ(0, uring_register(&self->ring, IORING_REGISTER_EVENTFD, pages + 1, 1));
	munmap(pages, page);
}

TEST_F(eventfd, eventfd_counts_completions)
{
	ASSERT_EQ(1, post(&self->ring, 1));
	ASSERT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
	EXPECT_EQ(0, count(self->fd)) {
		TH_LOG("completions from before do not count");
	}
	for (int i = 0; i < 4; i++)
		ASSERT_EQ(1, post(&self->ring, 1));
	EXPECT_EQ(4, count(self->fd));
}

TEST_F(eventfd, batch_signals_the_eventfd_at_most_once_per_cqe)
{
	unsigned long long value;

	ASSERT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
	ASSERT_EQ(8, post(&self->ring, 8));
	value = count(self->fd);
	EXPECT_LE(1, value);
	EXPECT_GE(8, value);
}

TEST_F(eventfd, eventfd_is_silent_for_skipped_completions)
{
	ASSERT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
	EXPECT_EQ(0, uring_enter(&self->ring, 0, 0, IORING_ENTER_GETEVENTS));
	EXPECT_EQ(0, uring_enter(&self->ring, 1, 0, 0));
	EXPECT_EQ(-ETIME, enter_timeout(&self->ring, 1, 1));
	uring_nop(&self->ring, 1)->flags = IOSQE_CQE_SKIP_SUCCESS;
	EXPECT_EQ(1, uring_submit(&self->ring));
	EXPECT_EQ(0, uring_ready(&self->ring));
	EXPECT_EQ(0, count(self->fd));
}

TEST_F(eventfd, eventfd_counts_errors_like_success)
{
	ASSERT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
	uring_nop(&self->ring, 1)->opcode = 255;
	EXPECT_EQ(1, uring_submit(&self->ring));
	EXPECT_EQ(1, count(self->fd));
}

TEST_F(eventfd, eventfd_is_silent_after_unregister)
{
	ASSERT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
	ASSERT_EQ(0, uring_unregister_eventfd(&self->ring));
	ASSERT_EQ(4, post(&self->ring, 4));
	EXPECT_EQ(0, count(self->fd));
}

/* A worker has published the CQE, but may not have come to its signal. */
TEST_F_TIMEOUT(eventfd, eventfd_is_silent_for_a_cqe_seen_before_register, 600)
{
	for (int i = 0; i < 1000; i++) {
		uring_nop(&self->ring, i)->flags = IOSQE_ASYNC;
		ASSERT_EQ(1, uring_submit(&self->ring));
		while (!uring_ready(&self->ring))
			;
		ASSERT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
		uring_advance(&self->ring, 1);
		ASSERT_EQ(0, uring_unregister_eventfd(&self->ring));
	}
	/* Waits for a late signal. */
	sleep_ms(10);
	EXPECT_EQ(0, count(self->fd));
}

TEST_F(eventfd, eventfd_counts_overflowed_cqes_when_flushed)
{
	struct uring *ring = &self->ring;

	ASSERT_EQ(8, post(ring, 8));
	ASSERT_EQ(8, post(ring, 8));
	ASSERT_EQ(0, uring_register_eventfd(ring, self->fd));
	ASSERT_EQ(2, post(ring, 2));
	EXPECT_EQ(0, count(self->fd)) {
		TH_LOG("kept completions are not in the CQ yet");
	}
	EXPECT_EQ(16, uring_reap(ring));
	EXPECT_EQ(0, count(self->fd));
	EXPECT_EQ(0, uring_enter(ring, 0, 0, IORING_ENTER_GETEVENTS));
	EXPECT_EQ(2, uring_ready(ring));
	EXPECT_LE(1, count(self->fd));
}

TEST_F(eventfd, cq_flag_of_the_user_disables_the_eventfd)
{
	ASSERT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
	uring_store(self->ring.cq.flags, IORING_CQ_EVENTFD_DISABLED);
	ASSERT_EQ(3, post(&self->ring, 3));
	EXPECT_EQ(0, count(self->fd));
	uring_store(self->ring.cq.flags, 0);
	EXPECT_EQ(0, uring_enter(&self->ring, 0, 0, IORING_ENTER_GETEVENTS));
	EXPECT_EQ(0, count(self->fd)) {
		TH_LOG("enabling does not make up for what was missed");
	}
	ASSERT_EQ(1, post(&self->ring, 1));
	EXPECT_EQ(1, count(self->fd));
	uring_store(self->ring.cq.flags, ~IORING_CQ_EVENTFD_DISABLED);
	ASSERT_EQ(1, post(&self->ring, 1));
	EXPECT_EQ(1, count(self->fd)) {
		TH_LOG("other bits mean nothing");
	}
}

TEST_F(eventfd, async_eventfd_is_silent_for_inline_completions)
{
	ASSERT_EQ(0, register_async(&self->ring, self->fd));
	ASSERT_EQ(4, post(&self->ring, 4));
	EXPECT_EQ(4, uring_ready(&self->ring));
	EXPECT_EQ(0, count(self->fd));
	EXPECT_EQ(0, uring_unregister_eventfd(&self->ring));
	ASSERT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
	ASSERT_EQ(1, post(&self->ring, 1));
	EXPECT_EQ(1, count(self->fd));
}

TEST_F(eventfd, async_eventfd_counts_completions_of_workers)
{
	struct pollfd fd = { .fd = self->fd, .events = POLLIN };
	struct io_uring_cqe *cqe;

	ASSERT_EQ(0, register_async(&self->ring, self->fd));
	uring_nop(&self->ring, 1)->flags = IOSQE_ASYNC;
	ASSERT_EQ(1, uring_submit(&self->ring));
	ASSERT_EQ(0, enter_timeout(&self->ring, 1, HANG_MS));
	cqe = uring_peek(&self->ring);
	ASSERT_NE(NULL, cqe);
	EXPECT_EQ(0, cqe->res);
	EXPECT_EQ(1, poll(&fd, 1, HANG_MS));
	EXPECT_EQ(1, count(self->fd));
}

/* A read that waits completes after its submission, by a worker or not. */
TEST_F(eventfd, async_eventfd_is_signalled_for_a_read_that_waited)
{
	struct pollfd fd = { .fd = self->fd, .events = POLLIN };
	const __u64 one = 1;
	int fds[3][2];

	ASSERT_EQ(0, pipe(fds[0]));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, fds[1]));
	fds[2][0] = eventfd(0, 0);
	fds[2][1] = fds[2][0];
	ASSERT_EQ(0, register_async(&self->ring, self->fd));
	for (int i = 0; i < 6; i++) {
		const bool async = i < 3;
		struct io_uring_sqe *sqe;
		__u64 buf;

		/* io_uring signals only for requests that io-wq has completed. */
		if (on_io_uring() && !async)
			continue;
		sqe = prep_rw(&self->ring, IORING_OP_READ, fds[i % 3][0], &buf, 8, 0, i);
		sqe->flags = async ? IOSQE_ASYNC : 0;
		ASSERT_EQ(1, uring_submit(&self->ring));
		usleep(20000);
		ASSERT_EQ(0, uring_ready(&self->ring));
		ASSERT_EQ(8, write(fds[i % 3][1], &one, 8));
		EXPECT_EQ(1, poll(&fd, 1, HANG_MS)) {
			TH_LOG("read %d", i);
		}
		EXPECT_EQ(1, count(self->fd));
		EXPECT_EQ(1, uring_reap(&self->ring));
	}
	for (int i = 0; i < 3; i++) {
		close(fds[i][0]);
		close(fds[i][1]);
	}
}

/* The message is in the CQ when the call returns, so the completion is inline. */
TEST_F(eventfd, async_eventfd_is_silent_for_a_message_to_the_own_ring)
{
	struct io_uring_sqe *sqe = uring_get_sqe(&self->ring);

	ASSERT_EQ(0, register_async(&self->ring, self->fd));
	sqe->opcode = IORING_OP_MSG_RING;
	sqe->fd = self->ring.fd;
	sqe->off = 5;
	ASSERT_EQ(1, uring_submit(&self->ring));
	EXPECT_EQ(2, uring_ready(&self->ring));
	EXPECT_EQ(0, count(self->fd));
}

static void *post_later(void *arg)
{
	sleep_ms(100);
	post(arg, 1);
	return NULL;
}

TEST_F(eventfd, eventfd_wakes_epoll)
{
	int epoll = epoll_create1(0);
	struct epoll_event ev = { .events = EPOLLIN };

	ASSERT_EQ(0, epoll_ctl(epoll, EPOLL_CTL_ADD, self->fd, &ev));
	ASSERT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
	for (int i = 0; i < 3; i++) {
		pthread_t thread;

		pthread_create(&thread, NULL, post_later, &self->ring);
		EXPECT_EQ(1, epoll_wait(epoll, &ev, 1, HANG_MS));
		EXPECT_EQ(EPOLLIN, ev.events);
		EXPECT_EQ(1, uring_reap(&self->ring)) {
			TH_LOG("the completion is there before its signal");
		}
		pthread_join(thread, NULL);
		EXPECT_EQ(1, count(self->fd));
	}
	EXPECT_EQ(0, epoll_wait(epoll, &ev, 1, 0));
}

static int watch(int epoll, int fd, unsigned int events)
{
	struct epoll_event ev = { .events = events, .data.fd = fd };

	return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev);
}

/* Returns the number of ready files of @epoll, and the file in @fd if there is one. */
static int ready(int epoll, int *fd)
{
	struct epoll_event ev[4];
	int nr = epoll_wait(epoll, ev, 4, 0);

	if (nr == 1)
		*fd = ev[0].data.fd;
	return nr;
}

/* Each epoll wakes the next epoll from inside the eventfd's wake-up. */
TEST_F(eventfd, eventfd_wakes_a_chain_of_epolls_once)
{
	int epolls[4], fd;

	for (int i = 0; i < 4; i++) {
		epolls[i] = epoll_create1(0);
		ASSERT_EQ(0, watch(epolls[i], i ? epolls[i - 1] : self->fd,
				   EPOLLIN | EPOLLET));
	}
	ASSERT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
	for (int round = 0; round < 100; round++) {
		ASSERT_EQ(1, post(&self->ring, 1));
		for (int i = 3; i >= 0; i--) {
			ASSERT_EQ(1, ready(epolls[i], &fd));
			ASSERT_EQ(i ? epolls[i - 1] : self->fd, fd);
		}
		for (int i = 3; i >= 0; i--)
			ASSERT_EQ(0, ready(epolls[i], &fd));
		ASSERT_EQ(1, count(self->fd));
		ASSERT_EQ(1, uring_reap(&self->ring));
	}
}

/* A completion wakes the epoll twice: by the ring, then by the ring's eventfd. */
TEST_F(eventfd, eventfd_may_be_in_an_epoll_with_its_ring)
{
	int inner = epoll_create1(0), outer = epoll_create1(0), fd;
	struct pollfd poll_outer = { .fd = outer, .events = POLLIN };

	ASSERT_EQ(0, watch(inner, self->fd, EPOLLIN));
	ASSERT_EQ(0, watch(inner, self->ring.fd, EPOLLIN));
	ASSERT_EQ(0, watch(outer, inner, EPOLLIN));
	ASSERT_EQ(0, watch(outer, self->ring.fd, EPOLLIN | EPOLLET));
	ASSERT_EQ(0, watch(outer, self->fd, EPOLLIN | EPOLLET));
	ASSERT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
	for (int round = 0; round < 100; round++) {
		pthread_t thread;

		ASSERT_EQ(0, poll(&poll_outer, 1, 0));
		if (round < 3) {
			pthread_create(&thread, NULL, post_later, &self->ring);
			ASSERT_EQ(1, poll(&poll_outer, 1, HANG_MS));
			pthread_join(thread, NULL);
		} else {
			ASSERT_EQ(1, post(&self->ring, 1));
		}
		ASSERT_EQ(3, ready(outer, &fd));
		ASSERT_EQ(2, ready(inner, &fd));
		ASSERT_EQ(1, count(self->fd));
		ASSERT_EQ(1, ready(inner, &fd));
		ASSERT_EQ(self->ring.fd, fd);
		ASSERT_EQ(1, uring_reap(&self->ring));
		ASSERT_EQ(0, ready(inner, &fd));
		ASSERT_EQ(0, ready(outer, &fd));
	}
}

/*
 * The ring polls its own eventfd, directly or through an epoll. The completion
 * is posted from inside the eventfd's wake-up, or by code that the wake-up
 * started.
 */
TEST_F(eventfd, eventfd_polled_by_its_ring_is_signalled_for_that_poll)
{
	int epoll = epoll_create1(0);
	int targets[] = { self->fd, epoll };

	ASSERT_EQ(0, watch(epoll, self->fd, EPOLLIN));
	ASSERT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
	for (int round = 0; round < 20; round++) {
		struct io_uring_sqe *sqe = uring_get_sqe(&self->ring);
		unsigned long long total = 0;
		long long end;

		sqe->opcode = IORING_OP_POLL_ADD;
		sqe->fd = targets[round % 2];
		sqe->poll32_events = POLLIN;
		ASSERT_EQ(1, uring_submit(&self->ring));
		ASSERT_STREQ("none", next_cqe(&self->ring));
		ASSERT_EQ(0, eventfd_write(self->fd, 1));
		end = now_ms() + HANG_MS;
		while (total < 2 && now_ms() < end) {
			ASSERT_EQ(0, enter_timeout(&self->ring, 1, HANG_MS));
			total += count(self->fd);
		}
		EXPECT_EQ(2, total) {
			TH_LOG("one written, one for the completion");
		}
		EXPECT_EQ(1, uring_reap(&self->ring));
		sleep_ms(20);
		EXPECT_EQ(0, count(self->fd));
	}
}

TEST_F(eventfd, blocked_reader_of_the_eventfd_wakes)
{
	int fd = eventfd(0, 0);
	pthread_t thread;

	ASSERT_EQ(0, uring_register_eventfd(&self->ring, fd));
	pthread_create(&thread, NULL, post_later, &self->ring);
	EXPECT_EQ(1, count(fd));
	pthread_join(thread, NULL);
}

TEST_F(eventfd, eventfd_can_be_closed_while_registered)
{
	struct pollfd fd;
	int copy = dup(self->fd);

	ASSERT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
	close(self->fd);
	ASSERT_EQ(1, post(&self->ring, 1));
	EXPECT_EQ(1, count(copy));
	/* Close the last descriptor: only the ring holds the eventfd now. */
	close(copy);
	ASSERT_EQ(1, post(&self->ring, 1));
	EXPECT_EQ(0, uring_unregister_eventfd(&self->ring));

	self->fd = eventfd(0, EFD_NONBLOCK);
	ASSERT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
	ASSERT_EQ(1, post(&self->ring, 1));
	fd = (struct pollfd){ .fd = self->fd, .events = POLLIN };
	EXPECT_EQ(1, poll(&fd, 1, 0));
}

TEST_F(eventfd, eventfd_outlives_its_ring)
{
	struct uring ring = { .model = variant->model };

	for (int i = 0; i < 20; i++) {
		ring.p = (struct io_uring_params){};
		ring.sq.filled = 0;
		ASSERT_EQ(0, uring_open(&ring, 4));
		ASSERT_EQ(0, uring_register_eventfd(&ring, self->fd));
		ASSERT_EQ(1, post(&ring, 1));
		uring_close(&ring);
		EXPECT_EQ(1, count(self->fd));
		EXPECT_EQ(0, eventfd_write(self->fd, 5));
		EXPECT_EQ(5, count(self->fd));
	}
	close(self->fd);
}

TEST_F(eventfd, one_eventfd_serves_several_rings)
{
	struct uring rings[4] = {};

	for (int i = 0; i < 4; i++) {
		rings[i].model = variant->model;
		ASSERT_EQ(0, uring_open(&rings[i], 4));
		ASSERT_EQ(0, uring_register_eventfd(&rings[i], self->fd));
	}
	for (int i = 0; i < 4; i++)
		ASSERT_EQ(1, post(&rings[i], 1));
	EXPECT_EQ(4, count(self->fd));
	EXPECT_EQ(0, uring_unregister_eventfd(&rings[0]));
	uring_close(&rings[1]);
	for (int i = 0; i < 4; i++) {
		if (i != 1)
			ASSERT_EQ(1, post(&rings[i], 1));
	}
	EXPECT_EQ(2, count(self->fd));
}

TEST_F(eventfd, full_eventfd_counter_does_not_block_the_ring)
{
	const unsigned long long full = -2ULL;

	ASSERT_EQ(sizeof(full), write(self->fd, &full, sizeof(full)));
	ASSERT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
	for (int i = 0; i < 4; i++)
		ASSERT_EQ(1, post(&self->ring, 1));
	EXPECT_LE(full, count(self->fd));
	EXPECT_EQ(4, uring_reap(&self->ring));
}

TEST_F(eventfd, eventfd_can_be_registered_on_a_disabled_ring)
{
	struct uring ring = {
		.p.flags = IORING_SETUP_R_DISABLED,
		.model = variant->model,
	};

	ASSERT_EQ(0, uring_open(&ring, 4));
	ASSERT_EQ(0, uring_register_eventfd(&ring, self->fd));
	ASSERT_EQ(0, uring_register(&ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0));
	ASSERT_EQ(1, post(&ring, 1));
	EXPECT_EQ(1, count(self->fd));
}

static pid_t register_in_a_child(struct uring *ring, int fd)
{
	pid_t pid = fork();

	if (!pid)
		_exit(uring_register_eventfd(ring, fd) ? 1 : 0);
	return pid;
}

/* Returns whether a killed child ends in time. */
static bool ends(pid_t pid)
{
	kill(pid, SIGKILL);
	for (int i = 0; i < 500; i++) {
		if (waitpid(pid, NULL, WNOHANG) == pid)
			return true;
		sleep_ms(10);
	}
	return false;
}

/*
 * In this model registration waits for requests in flight, and the next registration waits for the
 * first.
 */
TEST(task_that_waits_to_register_can_be_killed)
{
	struct uring ring = { .model = MINIRING_NOTIFY_QUIESCE };
	int fd = eventfd(0, EFD_CLOEXEC), fds[2];
	pid_t first, second;

	if (on_io_uring())
		SKIP(return, "io_uring has one notify model");
	ASSERT_EQ(0, pipe(fds));
	ASSERT_EQ(0, uring_open(&ring, 4));
	poll_in(&ring, fds[0], 1);
	ASSERT_EQ(1, uring_submit(&ring));
	first = register_in_a_child(&ring, fd);
	sleep_ms(50);
	second = register_in_a_child(&ring, fd);
	sleep_ms(50);
	EXPECT_EQ(0, waitpid(first, NULL, WNOHANG));
	EXPECT_EQ(0, waitpid(second, NULL, WNOHANG));
	EXPECT_TRUE(ends(second));
	EXPECT_TRUE(ends(first));
	uring_close(&ring);
}

TEST_HARNESS_MAIN
