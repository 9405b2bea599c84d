// SPDX-License-Identifier: GPL-2.0
/*
 * What differs from io_uring, and no other test shows: Documentation/interface.rst lists it. Each
 * test knows the result of both.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include "ring_ops.h"
#include "ring_test.h"

FIXTURE(differences)
{
	struct uring ring;
	struct __kernel_timespec soon, never;
	int pipe[2];
};

FIXTURE_SETUP(differences)
{
	ASSERT_EQ(0, uring_open(&self->ring, 16));
	ASSERT_EQ(0, pipe2(self->pipe, O_CLOEXEC));
	self->soon.tv_nsec = 1000000;
	self->never.tv_sec = 1000;
}

FIXTURE_TEARDOWN(differences)
{
	uring_close(&self->ring);
	close(self->pipe[0]);
	close(self->pipe[1]);
}

/* Reaps what is there: "user_data result, user_data result", valid until the next call. */
static const char *reap_text(struct uring *ring)
{
	static char text[256];
	size_t len = 0;

	text[0] = 0;
	while (uring_ready(ring) && len < sizeof(text))
		len += snprintf(text + len, sizeof(text) - len, "%s%s", len ? ", " : "",
				next_cqe(ring));
	return text;
}

/* Waits until @nr completions are there, and reaps all. */
static const char *wait_text(struct uring *ring, unsigned int nr)
{
	long long start = now_ms();

	while (uring_ready(ring) < nr && now_ms() - start < HANG_MS)
		enter_timeout(ring, nr, HANG_MS);
	return reap_text(ring);
}

static struct io_uring_sqe *cancel(struct uring *ring, unsigned long long target,
				   unsigned long long user_data)
{
	return prep_undo(ring, IORING_OP_ASYNC_CANCEL, target, user_data);
}

TEST_F(differences, request_of_a_chain_takes_its_file_when_submitted)
{
	int fds[2], other[2];
	char byte = 0;

	ASSERT_EQ(0, pipe2(fds, O_CLOEXEC));
	ASSERT_EQ(0, pipe2(other, O_CLOEXEC));
	ASSERT_EQ(1, write(fds[1], "o", 1));
	ASSERT_EQ(1, write(other[1], "n", 1));

	poll_in(&self->ring, self->pipe[0], 1)->flags = IOSQE_IO_LINK;
	prep_rw(&self->ring, IORING_OP_READ, fds[0], &byte, 1, -1, 2);
	ASSERT_EQ(2, uring_submit(&self->ring));
	ASSERT_EQ(fds[0], dup2(other[0], fds[0]));
	ASSERT_EQ(1, write(self->pipe[1], "x", 1));
	EXPECT_STREQ("1 1, 2 1", wait_text(&self->ring, 2));
	EXPECT_EQ(on_io_uring() ? 'n' : 'o', byte);
	for (int i = 0; i < 2; i++) {
		close(fds[i]);
		close(other[i]);
	}
}

TEST_F(differences, rest_of_a_chain_is_issued_at_once)
{
	uring_nop(&self->ring, 1)->flags = IOSQE_IO_LINK;
	uring_nop(&self->ring, 2);
	uring_nop(&self->ring, 3);
	ASSERT_EQ(3, uring_submit(&self->ring));
	EXPECT_STREQ(on_io_uring() ? "1 0, 3 0, 2 0" : "1 0, 2 0, 3 0",
		     wait_text(&self->ring, 3));
}

static void *submit_chain(void *arg)
{
	struct _test_data_differences *self = arg;
	struct io_uring_sqe *sqe;

	sqe = prep_timeout(&self->ring, &self->soon, 0, IORING_TIMEOUT_ETIME_SUCCESS, 1);
	sqe->flags = IOSQE_IO_LINK;
	uring_nop(&self->ring, 2);
	return uring_submit(&self->ring) == 2 ? NULL : arg;
}

TEST_F(differences, chain_of_an_ended_thread_continues)
{
	pthread_t thread;
	void *error;

	/* On io_uring the thread has to end before. */
	self->soon.tv_sec = 2;
	ASSERT_EQ(0, pthread_create(&thread, NULL, submit_chain, self));
	ASSERT_EQ(0, pthread_join(thread, &error));
	ASSERT_EQ(NULL, error);
	EXPECT_STREQ(on_io_uring() ? "1 -ETIME, 2 -EFAULT" : "1 -ETIME, 2 0",
		     wait_text(&self->ring, 2));
}

TEST_F(differences, eventfd_counts_each_of_several_polls)
{
	int fd = eventfd(0, EFD_CLOEXEC);
	eventfd_t count;

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, uring_register_eventfd(&self->ring, fd));
	for (int i = 0; i < 8; i++)
		poll_in(&self->ring, self->pipe[0], i);
	ASSERT_EQ(8, uring_submit(&self->ring));
	ASSERT_EQ(1, write(self->pipe[1], "x", 1));
	ASSERT_EQ(8, uring_ready(&self->ring));
	ASSERT_EQ(0, eventfd_read(fd, &count));
	EXPECT_EQ(on_io_uring() ? 1 : 8, count);
	close(fd);
}

TEST_F(differences, silent_timeout_does_not_delay_a_timeout_that_counts)
{
	struct io_uring_sqe *sqe;

	sqe = prep_timeout(&self->ring, &self->soon, 0, IORING_TIMEOUT_ETIME_SUCCESS, 1);
	sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
	prep_timeout(&self->ring, &self->never, 1, 0, 2);
	/* Expires later, and has a completion. */
	prep_timeout(&self->ring, &self->soon, 0, 0, 5);
	ASSERT_EQ(3, uring_submit(&self->ring));
	ASSERT_STREQ("5 -ETIME", wait_text(&self->ring, 1));
	uring_nop(&self->ring, 3);
	ASSERT_EQ(1, uring_submit(&self->ring));
	EXPECT_STREQ(on_io_uring() ? "3 0" : "3 0, 2 0", reap_text(&self->ring));
	uring_nop(&self->ring, 4);
	ASSERT_EQ(1, uring_submit(&self->ring));
	EXPECT_STREQ(on_io_uring() ? "4 0, 2 0" : "4 0", reap_text(&self->ring));
}

TEST_F(differences, drained_cancel_does_not_find_itself)
{
	poll_in(&self->ring, self->pipe[0], 1);
	cancel(&self->ring, 2, 2)->flags = IOSQE_IO_DRAIN;
	ASSERT_EQ(2, uring_submit(&self->ring));
	ASSERT_EQ(1, write(self->pipe[1], "x", 1));
	EXPECT_STREQ(on_io_uring() ? "1 1, 2 -EALREADY" : "1 1, 2 -ENOENT",
		     wait_text(&self->ring, 2));
}

TEST_F(differences, cancelled_request_is_not_found_again)
{
	poll_in(&self->ring, self->pipe[0], 1);
	ASSERT_EQ(1, uring_submit(&self->ring));
	cancel(&self->ring, 1, 2);
	cancel(&self->ring, 1, 3);
	ASSERT_EQ(2, uring_submit(&self->ring));
	EXPECT_STREQ(on_io_uring() ? "2 0, 3 0, 1 -ECANCELED" : "2 0, 1 -ECANCELED, 3 -ENOENT",
		     wait_text(&self->ring, 3));
}

TEST_F(differences, refused_drain_holds_up_nothing)
{
	struct io_uring_sqe *sqe;

	poll_in(&self->ring, self->pipe[0], 1);
	sqe = uring_nop(&self->ring, 2);
	sqe->flags = IOSQE_IO_DRAIN;
	sqe->nop_flags = 1u << 31;
	ASSERT_EQ(2, uring_submit(&self->ring));
	uring_nop(&self->ring, 3);
	ASSERT_EQ(1, uring_submit(&self->ring));
	EXPECT_STREQ(on_io_uring() ? "2 -EINVAL" : "2 -EINVAL, 3 0", reap_text(&self->ring));
	ASSERT_EQ(1, write(self->pipe[1], "x", 1));
	EXPECT_STREQ(on_io_uring() ? "1 1, 3 0" : "1 1",
		     wait_text(&self->ring, on_io_uring() ? 2 : 1));
}

static bool write_text(const char *dir, const char *name, const char *text)
{
	char path[64];
	bool ok = false;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd >= 0) {
		ok = write(fd, text, strlen(text)) == strlen(text);
		close(fd);
	}
	return ok;
}

/* Sets up a ring whose thread is on CPU 1, in a cpuset of CPU 0. */
static int open_outside_cpuset(const char *group)
{
	struct uring ring = {
		.p.flags = IORING_SETUP_SQPOLL | IORING_SETUP_SQ_AFF,
		.p.sq_thread_cpu = 1,
	};

	if (!write_text(group, "cpuset.cpus", "0") || !write_text(group, "cgroup.procs", "0"))
		return -ENOTRECOVERABLE;
	return uring_open(&ring, 8);
}

#define CPUSET_DIR	"/tmp/cpuset.XXXXXX"

FIXTURE(cpuset)
{
	char dir[sizeof(CPUSET_DIR)], group[sizeof(CPUSET_DIR) + 16];
};

FIXTURE_SETUP(cpuset)
{
	memcpy(self->dir, CPUSET_DIR, sizeof(CPUSET_DIR));
	ASSERT_NE(NULL, mkdtemp(self->dir));
	snprintf(self->group, sizeof(self->group), "%s/differences", self->dir);
	if (mount("none", self->dir, "cgroup2", 0, NULL)) {
		rmdir(self->dir);
		SKIP(return, "no cgroup2: %s", strerror(errno));
	}
	if (!write_text(self->dir, "cgroup.subtree_control", "+cpuset")) {
		umount(self->dir);
		rmdir(self->dir);
		SKIP(return, "no cpuset controller");
	}
	ASSERT_EQ(0, mkdir(self->group, 0755));
}

FIXTURE_TEARDOWN(cpuset)
{
	rmdir(self->group);
	umount(self->dir);
	rmdir(self->dir);
}

TEST_F(cpuset, thread_of_sqpoll_may_be_outside_the_cpuset)
{
	int status, child;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "one CPU");
	child = fork();
	ASSERT_LE(0, child);
	if (!child)
		_exit(-open_outside_cpuset(self->group));
	ASSERT_EQ(child, waitpid(child, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(on_io_uring() ? EINVAL : 0, WEXITSTATUS(status));
}

TEST_HARNESS_MAIN
