// SPDX-License-Identifier: GPL-2.0
/* Cancellation: by request, by the end of the ring, and by the end of a process. */
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "ring_ops.h"
#include "ring_test.h"

static struct io_uring_sqe *cancel(struct uring *ring, unsigned long long target,
				   unsigned int flags, unsigned long long user_data)
{
	struct io_uring_sqe *sqe = prep_undo(ring, IORING_OP_ASYNC_CANCEL, target, user_data);

	sqe->cancel_flags = flags;
	return sqe;
}

/* Completions of each request. All but the last are cancelled. */
struct seen {
	int cancelled[100];
	int result;
	int others;
};

static struct seen collect(struct uring *ring, int nr, unsigned long long canceller)
{
	struct seen seen = { .result = -9999 };

	for (int i = 0; i < nr; i++) {
		struct io_uring_cqe *cqe;

		if (!uring_ready(ring))
			enter_timeout(ring, 1, HANG_MS);
		cqe = uring_peek(ring);
		if (!cqe)
			break;
		if (cqe->user_data == canceller)
			seen.result = cqe->res;
		else if (cqe->user_data < 100 && cqe->res == -ECANCELED)
			seen.cancelled[cqe->user_data]++;
		else
			seen.others++;
		uring_advance(ring, 1);
	}
	seen.others += uring_reap(ring);
	return seen;
}

FIXTURE(cancel)
{
	struct uring ring;
	int fds[2], more[2];
};

FIXTURE_SETUP(cancel)
{
	ASSERT_EQ(0, uring_open(&self->ring, 16));
	ASSERT_EQ(0, pipe(self->fds));
	ASSERT_EQ(0, pipe(self->more));
}

FIXTURE_TEARDOWN(cancel)
{
	close(self->fds[0]);
	close(self->fds[1]);
	close(self->more[0]);
	close(self->more[1]);
	uring_close(&self->ring);
}

/*
 * The times after which a worker is expected to wait for its request. A cancel that comes before is
 * answered with -EALREADY, and the request is cancelled all the same: the next time is tried.
 */
static const unsigned int until_it_waits_ms[] = { 20, 100, 500, 2500, 10000 };

/* Submits the request that is prepared, and cancels it by its user data 1 after @ms. */
static struct seen submit_and_cancel(struct uring *ring, unsigned int ms)
{
	struct seen none = { .result = -EIO };

	if (uring_submit(ring) != 1)
		return none;
	sleep_ms(ms);
	cancel(ring, 1, 0, 2);
	return uring_submit(ring) == 1 ? collect(ring, 2, 2) : none;
}

TEST_F_TIMEOUT(cancel, cancel_by_user_data_finds_each_kind_of_request, 120)
{
	struct uring *ring = &self->ring;
	struct seen seen;

	for (int kind = 0; kind < 4; kind++) {
		for (int i = 0; i < ARRAY_SIZE(until_it_waits_ms); i++) {
			if (kind == 0)
				poll_in(ring, self->fds[0], 1);
			else if (kind == 1)
				read_byte(ring, self->fds[0], 1);
			else if (kind == 2)
				never(ring, 1);
			else
				read_byte(ring, self->fds[0], 1)->flags = IOSQE_ASYNC;
			seen = submit_and_cancel(ring, until_it_waits_ms[i]);
			if (seen.result != -EALREADY)
				break;
		}
		EXPECT_EQ(0, seen.result);
		EXPECT_EQ(1, seen.cancelled[1]);
		EXPECT_EQ(0, seen.others);
		cancel(ring, 1, 0, 2);
		ASSERT_EQ(1, uring_submit(ring));
		EXPECT_EQ(-ENOENT, collect(ring, 1, 2).result);
	}
}

TEST_F(cancel, cancel_all_ends_each_request_with_the_user_data)
{
	struct uring *ring = &self->ring;
	struct seen seen;

	for (int i = 0; i < 3; i++)
		poll_in(ring, self->fds[0], 1);
	poll_in(ring, self->fds[0], 2);
	ASSERT_EQ(4, uring_submit(ring));
	cancel(ring, 1, IORING_ASYNC_CANCEL_ALL, 50);
	ASSERT_EQ(1, uring_submit(ring));
	seen = collect(ring, 4, 50);
	EXPECT_EQ(3, seen.result);
	EXPECT_EQ(3, seen.cancelled[1]);
	EXPECT_EQ(0, seen.others);
	cancel(ring, 1, IORING_ASYNC_CANCEL_ALL, 50);
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_EQ(0, collect(ring, 1, 50).result);
}

TEST_F(cancel, cancel_by_file_ends_requests_of_that_file_only)
{
	struct uring *ring = &self->ring;
	struct io_uring_sqe *sqe;
	struct seen seen;

	poll_in(ring, self->fds[0], 1);
	poll_in(ring, self->more[0], 2);
	read_byte(ring, self->fds[0], 3);
	never(ring, 4);
	ASSERT_EQ(4, uring_submit(ring));
	sqe = cancel(ring, 0, IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ALL, 50);
	sqe->fd = self->fds[0];
	ASSERT_EQ(1, uring_submit(ring));
	seen = collect(ring, 3, 50);
	EXPECT_EQ(2, seen.result);
	EXPECT_EQ(1, seen.cancelled[1]);
	EXPECT_EQ(1, seen.cancelled[3]);
	EXPECT_EQ(0, seen.others);
	sqe = cancel(ring, 9, IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_USERDATA, 50);
	sqe->fd = self->more[0];
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_EQ(-ENOENT, collect(ring, 1, 50).result);
	cancel(ring, 0, IORING_ASYNC_CANCEL_FD, 50);
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_EQ(-EBADF, collect(ring, 1, 50).result);
	cancel(ring, 0, IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_FD_FIXED, 50)->fd = 0;
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_EQ(-EBADF, collect(ring, 1, 50).result);
}

TEST_F(cancel, cancel_by_operation_and_any_end_matching_requests)
{
	struct uring *ring = &self->ring;
	struct seen seen;

	poll_in(ring, self->fds[0], 1);
	never(ring, 2);
	never(ring, 3);
	poll_in(ring, self->more[0], 4);
	ASSERT_EQ(4, uring_submit(ring));
	cancel(ring, 0, IORING_ASYNC_CANCEL_OP | IORING_ASYNC_CANCEL_ALL, 50)->len =
		IORING_OP_TIMEOUT;
	ASSERT_EQ(1, uring_submit(ring));
	seen = collect(ring, 3, 50);
	EXPECT_EQ(2, seen.result);
	EXPECT_EQ(1, seen.cancelled[2]);
	EXPECT_EQ(1, seen.cancelled[3]);
	cancel(ring, 0, IORING_ASYNC_CANCEL_ANY, 50);
	ASSERT_EQ(1, uring_submit(ring));
	seen = collect(ring, 3, 50);
	EXPECT_EQ(2, seen.result);
	EXPECT_EQ(1, seen.cancelled[1]);
	EXPECT_EQ(1, seen.cancelled[4]);
	EXPECT_EQ(0, seen.others);
}

/* Makes tasks that touch @page wait until the returned file is closed. Returns -1 on failure. */
static int hold_page(void *page)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range = { .start = (unsigned long)page, .len = 4096 },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	int fd = syscall(__NR_userfaultfd, O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (ioctl(fd, UFFDIO_API, &api) || ioctl(fd, UFFDIO_REGISTER, &reg)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Workers that wait for a page stay in the table, so searches find them again and again. */
TEST_F_TIMEOUT(cancel, two_searches_find_each_request_once, 900)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int file = memfd_create("cancel", MFD_CLOEXEC), holder = hold_page(page);
	struct uring *ring = &self->ring;

	if (on_io_uring())
		SKIP(return, "io_uring interrupts its workers");
	if (holder < 0)
		SKIP(return, "this kernel has no userfaultfd");
	ASSERT_EQ(0, ftruncate(file, 4096));
	for (int i = 0; i < 8; i++)
		prep_rw(ring, IORING_OP_READ, file, page, 4096, 0, 1)->flags = IOSQE_ASYNC;
	ASSERT_EQ(8, uring_submit(ring));
	sleep_ms(100);
	ASSERT_EQ(0, uring_ready(ring));
	for (int i = 0; i < 5000; i++) {
		for (int j = 0; j < 2; j++) {
			struct io_uring_sqe *sqe = cancel(ring, 0, IORING_ASYNC_CANCEL_OP |
							  IORING_ASYNC_CANCEL_ALL, 50);

			sqe->len = IORING_OP_READ;
			sqe->flags = IOSQE_ASYNC;
		}
		ASSERT_EQ(2, uring_submit(ring));
		ASSERT_STREQ("50 8", wait_next_cqe(ring));
		ASSERT_STREQ("50 8", wait_next_cqe(ring));
	}
	close(holder);
	EXPECT_EQ(0, enter_timeout(ring, 8, HANG_MS));
	EXPECT_EQ(8, uring_reap(ring));
	close(file);
}

TEST_F(cancel, cancel_refuses_bad_arguments)
{
	struct uring *ring = &self->ring;
	const unsigned int flags[] = {
		1 << 6, IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_FD,
		IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_OP,
	};

	for (int i = 0; i < ARRAY_SIZE(flags); i++) {
		cancel(ring, 0, flags[i], 50);
		ASSERT_EQ(1, uring_submit(ring));
		EXPECT_EQ(-EINVAL, collect(ring, 1, 50).result);
	}
	cancel(ring, 0, 0, 50)->off = 1;
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_EQ(-EINVAL, collect(ring, 1, 50).result);
}

TEST_F(cancel, cancelled_request_cancels_the_rest_of_its_chain)
{
	struct uring *ring = &self->ring;
	struct seen seen;

	poll_in(ring, self->fds[0], 1)->flags = IOSQE_IO_LINK;
	uring_nop(ring, 2)->flags = IOSQE_IO_LINK;
	never(ring, 3);
	ASSERT_EQ(3, uring_submit(ring));
	cancel(ring, 1, 0, 50);
	ASSERT_EQ(1, uring_submit(ring));
	seen = collect(ring, 4, 50);
	EXPECT_EQ(0, seen.result);
	EXPECT_EQ(3, seen.cancelled[1] + seen.cancelled[2] + seen.cancelled[3]);
	EXPECT_EQ(0, seen.others);
}

/*
 * The close frees every object of the ring. Only the child and its requests have the read end
 * of the pipe, so the write end here sees the hang-up.
 */
TEST_F(cancel, last_close_cancels_all_requests)
{
	struct uring ring = {};
	int fds[2];

	for (int round = 0; round < 20; round++) {
		memset(&ring, 0, sizeof(ring));
		ASSERT_EQ(0, pipe(fds));
		ASSERT_EQ(0, uring_open(&ring, 16));
		fill(&ring, fds[0]);
		ASSERT_EQ(FILL_REQUESTS, uring_submit(&ring));
		close(fds[0]);
		uring_close(&ring);
		ASSERT_TRUE(closes(fds[1]));
		close(fds[1]);
	}
}

TEST_F(cancel, requests_of_a_killed_process_are_cancelled)
{
	int status;

	for (int round = 0; round < 10; round++) {
		int fds[2];
		pid_t pid;

		ASSERT_EQ(0, pipe(fds));
		pid = fork();
		ASSERT_GE(pid, 0);
		if (!pid) {
			struct uring ring = {};

			close(fds[1]);
			if (uring_open(&ring, 16))
				_exit(1);
			fill(&ring, fds[0]);
			uring_submit_and_wait(&ring, 12);
			_exit(1);
		}
		close(fds[0]);
		sleep_ms(round * 5);
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_TRUE(WIFSIGNALED(status));
		ASSERT_TRUE(closes(fds[1]));
		close(fds[1]);
	}
}

TEST_F(cancel, rings_that_poll_each_other_are_freed_on_close)
{
	int status, fds[2];
	pid_t pid;

	ASSERT_EQ(0, pipe(fds));
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		struct uring a = {}, b = {};

		close(fds[1]);
		if (uring_open(&a, 8) || uring_open(&b, 8))
			_exit(1);
		poll_in(&a, a.fd, 1);
		poll_in(&a, b.fd, 2);
		poll_in(&b, a.fd, 3);
		poll_in(&a, fds[0], 4)->flags = IOSQE_IO_LINK;
		poll_in(&a, a.fd, 5);
		if (uring_submit(&a) != 4 || uring_submit(&b) != 1)
			_exit(1);
		uring_close(&a);
		uring_close(&b);
		close(fds[0]);
		_exit(0);
	}
	close(fds[0]);
	EXPECT_TRUE(closes(fds[1]));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	close(fds[1]);
}

TEST_F(cancel, close_by_a_forked_child_keeps_the_requests)
{
	struct uring *ring = &self->ring;
	int status;
	pid_t pid;

	poll_in(ring, self->fds[0], 1);
	ASSERT_EQ(1, uring_submit(ring));
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		close(ring->fd);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	/* The child's close was not the last, and the request belongs to this process. */
	sleep_ms(10);
	EXPECT_EQ(0, uring_ready(ring));
	ASSERT_EQ(1, write(self->fds[1], "x", 1));
	ASSERT_EQ(0, enter_timeout(ring, 1, HANG_MS));
	EXPECT_STREQ("1 1", next_cqe(ring));
}

/*
 * The process ends while others have the ring open. Its poll of a ring is cancelled, its timer
 * stays, and its poll of a file is cancelled at the event.
 */
TEST_F(cancel, timer_survives_its_process_but_a_poll_of_the_ring_does_not)
{
	bool updated = false, expired = false;
	struct __kernel_timespec now = {};
	struct uring *ring = &self->ring;
	struct io_uring_sqe *sqe;
	int status;
	pid_t pid = fork();

	ASSERT_GE(pid, 0);
	if (!pid) {
		poll_in(ring, ring->fd, 1)->flags = IOSQE_IO_LINK;
		never(ring, 2);
		never(ring, 3);
		poll_in(ring, self->fds[0], 4);
		_exit(uring_submit(ring) != 4);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	for (int i = 1; i <= 2; i++) {
		if (!uring_ready(ring))
			ASSERT_EQ(0, enter_timeout(ring, 1, HANG_MS));
		EXPECT_STREQ(i == 1 ? "1 -ECANCELED" : "2 -ECANCELED", next_cqe(ring));
	}
	EXPECT_EQ(0, uring_ready(ring));
	/* The timer is still armed. Make it expire. */
	ring->sq.filled = uring_load(ring->sq.tail);
	sqe = prep_undo(ring, IORING_OP_TIMEOUT_REMOVE, 3, 5);
	sqe->addr2 = (unsigned long)&now;
	sqe->timeout_flags = IORING_TIMEOUT_UPDATE;
	ASSERT_EQ(1, uring_submit(ring));
	for (int i = 0; i < 2; i++) {
		const char *text = wait_next_cqe(ring);

		updated |= !strcmp("5 0", text);
		expired |= !strcmp("3 -ETIME", text);
	}
	EXPECT_TRUE(updated && expired);
	sleep_ms(10);
	EXPECT_EQ(0, uring_ready(ring));
	ASSERT_EQ(1, write(self->fds[1], "x", 1));
	ASSERT_EQ(0, enter_timeout(ring, 1, HANG_MS));
	EXPECT_STREQ("4 -ECANCELED", next_cqe(ring));
}

/* A read whose process has ended writes into no memory. */
TEST_F(cancel, read_of_an_ended_process_is_cancelled)
{
	struct uring *ring = &self->ring;
	int status;
	pid_t pid = fork();

	ASSERT_GE(pid, 0);
	if (!pid) {
		read_byte(ring, self->fds[0], 1);
		_exit(uring_submit(ring) != 1);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	ASSERT_EQ(1, write(self->fds[1], "x", 1));
	ASSERT_EQ(0, enter_timeout(ring, 1, HANG_MS));
	EXPECT_STREQ("1 -ECANCELED", next_cqe(ring));
}

static void *reads_and_ends(void *arg)
{
	struct uring *ring = arg;

	return uring_submit(ring) == 1 ? NULL : "nothing was submitted";
}

TEST_F(cancel, read_of_an_ended_thread_is_cancelled)
{
	struct uring *ring = &self->ring;
	pthread_t thread;
	void *failed;
	char byte;

	read_byte(ring, self->fds[0], 1);
	ASSERT_EQ(0, pthread_create(&thread, NULL, reads_and_ends, ring));
	ASSERT_EQ(0, pthread_join(thread, &failed));
	ASSERT_EQ(NULL, failed);
	ASSERT_EQ(1, write(self->fds[1], "x", 1));
	ASSERT_EQ(0, enter_timeout(ring, 1, HANG_MS));
	EXPECT_STREQ("1 -ECANCELED", next_cqe(ring));
	EXPECT_EQ(1, read(self->fds[0], &byte, 1));
}

/* A read of this file blocks also with NOWAIT, but the file can be polled. */
TEST_F_TIMEOUT(cancel, read_of_a_pollable_file_is_polled_and_can_be_cancelled, 120)
{
	int fd = inotify_init1(IN_CLOEXEC);
	char events[512];
	struct seen seen;

	if (access("/proc/sys/fs/inotify", F_OK))
		SKIP(return, "the kernel has no inotify");
	ASSERT_LE(0, fd);
	for (int i = 0; i < ARRAY_SIZE(until_it_waits_ms); i++) {
		prep_rw(&self->ring, IORING_OP_READ, fd, events, sizeof(events), 0, 1)->flags =
			IOSQE_ASYNC;
		seen = submit_and_cancel(&self->ring, until_it_waits_ms[i]);
		if (seen.result != -EALREADY)
			break;
	}
	EXPECT_EQ(0, seen.result);
	EXPECT_EQ(1, seen.cancelled[1]);
	close(fd);
}

TEST_HARNESS_MAIN
