// SPDX-License-Identifier: GPL-2.0
/*
 * The other paths into a SINGLE_ISSUER ring that the mailing list thread raises. Calls after
 * exec or by a passed descriptor, and completions and issues by other contexts during a
 * submission. No path touches issuer state, and every request completes once.
 */
#include <pthread.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "ring_test.h"
#include "rings.h"

#define RACE_MS 1000

/* Flag in the user_data of a drained request, beside its number. */
#define DRAINED 0x8000000000000000ULL

FIXTURE(paths)
{
	struct uring ring;
	unsigned long long submitted, completed, cancelled, strange;
	/* The number of the last completed request, and the number of early completions. */
	unsigned long long last, drained, disordered;
};

FIXTURE_SETUP(paths)
{
	self->ring.p.flags = IORING_SETUP_SINGLE_ISSUER;
	ASSERT_EQ(0, uring_open(&self->ring, 64));
}

FIXTURE_TEARDOWN(paths)
{
	uring_close(&self->ring);
}

/* Requests are numbered from 1. */
static struct io_uring_sqe *get(struct _test_data_paths *self, unsigned int opcode)
{
	struct io_uring_sqe *sqe = uring_get_sqe(&self->ring);

	if (sqe) {
		sqe->opcode = opcode;
		sqe->user_data = ++self->submitted;
	}
	return sqe;
}

/*
 * Checks that all requests before a drained request have completed, and no
 * later request.
 */
static void in_order(struct _test_data_paths *self, unsigned long long user_data)
{
	unsigned long long number = user_data & ~DRAINED;

	if (user_data & DRAINED) {
		self->drained++;
		self->disordered += self->completed + self->cancelled != number - 1 ||
				    self->last >= number;
	}
	if (self->last < number)
		self->last = number;
}

/* Reaps all completions, and flushes kept completions. */
static void take(struct _test_data_paths *self)
{
	struct io_uring_cqe *cqe;

	if (*self->ring.sq.flags & IORING_SQ_CQ_OVERFLOW)
		uring_enter(&self->ring, 0, 0, IORING_ENTER_GETEVENTS);
	while ((cqe = uring_peek(&self->ring))) {
		in_order(self, cqe->user_data);
		if (cqe->res == -ECANCELED)
			self->cancelled++;
		else
			self->completed++;
		self->strange += cqe->res < 0 && cqe->res != -ECANCELED && cqe->res != -ETIME;
		uring_advance(&self->ring, 1);
	}
}

/* Waits until all requests have completed. Returns false after a time. */
static bool settle(struct _test_data_paths *self)
{
	long long start = now_ms();

	while (self->completed + self->cancelled < self->submitted) {
		if (now_ms() - start > HANG_MS)
			return false;
		enter_timeout(&self->ring, 1, 10);
		take(self);
	}
	/* No request completes twice. */
	sleep_ms(20);
	take(self);
	return self->completed + self->cancelled == self->submitted;
}

/* The inherited ring, in the program that the test executes. */
static int after_exec(int fd)
{
	struct uring ring = { .fd = fd, .backend = uring_backend() };
	int ret = uring_enter(&ring, 1, 0, 0);

	if (ret != -EEXIST)
		return 1;
	return uring_unregister_eventfd(&ring) == -EEXIST ? 0 : 2;
}

TEST_F(paths, other_program_cannot_submit_to_an_inherited_ring)
{
	char fd[16];
	int status;
	pid_t pid;

	ASSERT_EQ(0, fcntl(self->ring.fd, F_SETFD, 0));
	snprintf(fd, sizeof(fd), "%d", self->ring.fd);
	pid = fork();
	if (!pid) {
		execl("/proc/self/exe", "ring_issuer_paths", "--after-exec", fd, NULL);
		_exit(99);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

/* A task that made the ring, and stays the same task after exec. */
TEST_F(paths, submitter_may_submit_after_exec)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		struct uring mine = { .p.flags = IORING_SETUP_SINGLE_ISSUER };
		char fd[16];

		if (uring_open(&mine, 8) || fcntl(mine.fd, F_SETFD, 0))
			_exit(98);
		snprintf(fd, sizeof(fd), "%d", mine.fd);
		execl("/proc/self/exe", "ring_issuer_paths", "--same-task", fd, NULL);
		_exit(99);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_F(paths, passed_fd_does_not_make_a_submitter)
{
	char control[CMSG_SPACE(sizeof(int))] = "", byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	int socks[2], status;
	pid_t pid;

	if (on_io_uring())
		SKIP(return, "io_uring does not let its rings be sent");
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_DGRAM, 0, socks));
	pid = fork();
	if (!pid) {
		struct uring ring = { .backend = URING_MINIRING };

		close(self->ring.fd);
		if (recvmsg(socks[0], &msg, 0) != 1)
			_exit(98);
		memcpy(&ring.fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
		_exit(after_exec(ring.fd));
	}
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &self->ring.fd, sizeof(int));
	ASSERT_EQ(1, sendmsg(socks[1], &msg, 0));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

/* Timers complete in interrupt context while the submitter submits. */
TEST_F(paths, timers_and_workers_complete_during_submission)
{
	struct __kernel_timespec ts = { .tv_nsec = 50000 };
	long long start = now_ms();

	for (int i = 0; now_ms() - start < RACE_MS; i++) {
		struct io_uring_sqe *sqe = get(self, i % 2 ? IORING_OP_TIMEOUT : IORING_OP_NOP);

		if (!sqe) {
			uring_submit(&self->ring);
			take(self);
			continue;
		}
		if (sqe->opcode == IORING_OP_TIMEOUT) {
			sqe->addr = (unsigned long)&ts;
			sqe->len = 1;
		} else {
			/* A worker runs the request. */
			sqe->flags = IOSQE_ASYNC;
		}
		if (i % 8 == 7)
			ASSERT_LE(0, uring_submit(&self->ring));
		take(self);
	}
	uring_submit(&self->ring);
	EXPECT_TRUE(settle(self));
	EXPECT_EQ(0, self->strange);
	EXPECT_EQ(0, self->cancelled);
}

/* A worker issues the request behind a timer, while the submitter submits. */
TEST_F(paths, links_are_issued_by_workers_during_submission)
{
	struct __kernel_timespec ts = { .tv_nsec = 20000 };
	long long start = now_ms();

	while (now_ms() - start < RACE_MS) {
		for (int i = 0; i < 8; i++) {
			struct io_uring_sqe *sqe = get(self, i % 4 ? IORING_OP_NOP :
						       IORING_OP_TIMEOUT);

			ASSERT_NE(NULL, sqe);
			if (!(i % 4)) {
				sqe->addr = (unsigned long)&ts;
				sqe->len = 1;
				/* The end of a timeout is an error, which a hard link ignores. */
				sqe->flags = IOSQE_IO_HARDLINK;
			} else if (i % 4 < 3) {
				sqe->flags = IOSQE_IO_LINK;
			}
		}
		ASSERT_EQ(8, uring_submit(&self->ring));
		take(self);
	}
	EXPECT_TRUE(settle(self));
	EXPECT_EQ(0, self->strange);
	EXPECT_EQ(0, self->cancelled);
}

TEST_F(paths, drained_requests_complete_in_order_during_submission)
{
	struct __kernel_timespec ts = { .tv_nsec = 20000 };
	long long start = now_ms();

	while (now_ms() - start < RACE_MS) {
		struct io_uring_sqe *sqe = get(self, IORING_OP_TIMEOUT);

		sqe->addr = (unsigned long)&ts;
		sqe->len = 1;
		sqe = get(self, IORING_OP_NOP);
		sqe->flags = IOSQE_IO_DRAIN;
		sqe->user_data |= DRAINED;
		get(self, IORING_OP_NOP);
		ASSERT_EQ(3, uring_submit(&self->ring));
		if (self->submitted % 48 == 0)
			ASSERT_TRUE(settle(self));
		take(self);
	}
	EXPECT_TRUE(settle(self));
	EXPECT_EQ(0, self->strange);
	EXPECT_EQ(0, self->cancelled);
	EXPECT_EQ(self->submitted / 3, self->drained);
	EXPECT_EQ(0, self->disordered);
}

/* MSG_RING from another ring. */

struct sender {
	struct uring ring;
	int target;
	bool stop;
	unsigned long long sent, failed;
};

static void *send_messages(void *arg)
{
	struct sender *s = arg;

	do {
		struct io_uring_sqe *sqe = uring_get_sqe(&s->ring);
		struct io_uring_cqe *cqe;

		sqe->opcode = IORING_OP_MSG_RING;
		sqe->fd = s->target;
		sqe->off = 5;
		uring_submit_and_wait(&s->ring, 1);
		cqe = uring_peek(&s->ring);
		s->failed += !cqe || cqe->res;
		s->sent += cqe && !cqe->res;
		uring_reap(&s->ring);
		/*
		 * Sends no faster than the other thread reaps: completions
		 * without room are kept.
		 */
		if (s->sent % 64 == 0)
			sched_yield();
	} while (!__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE));
	return NULL;
}

TEST_F(paths, messages_of_another_ring_complete_during_submission)
{
	struct sender sender = { .target = self->ring.fd };
	long long start = now_ms();
	unsigned long long mine = 0;
	pthread_t thread;

	ASSERT_EQ(0, uring_open(&sender.ring, 4));
	ASSERT_EQ(0, pthread_create(&thread, NULL, send_messages, &sender));
	while (now_ms() - start < RACE_MS) {
		if (get(self, IORING_OP_NOP))
			mine++;
		ASSERT_LE(0, uring_submit(&self->ring));
		take(self);
	}
	__atomic_store_n(&sender.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	self->submitted = mine + sender.sent;
	EXPECT_TRUE(settle(self));
	EXPECT_EQ(0, self->strange);
	EXPECT_EQ(0, sender.failed);
	EXPECT_LT(0, sender.sent);
	uring_close(&sender.ring);
}

/* The submitter ends with requests in flight, and another process has the ring. */
static void *leave_requests(void *arg)
{
	struct _test_data_paths *self = arg;
	struct __kernel_timespec ts = { .tv_sec = 1000 };
	struct io_uring_sqe *sqe;

	uring_register(&self->ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
	for (int i = 0; i < 8; i++) {
		sqe = get(self, IORING_OP_TIMEOUT);
		sqe->addr = (unsigned long)&ts;
		sqe->len = 1;
	}
	uring_submit(&self->ring);
	return NULL;
}

TEST_F(paths, ring_is_freed_with_requests_of_an_ended_submitter)
{
	pthread_t thread;

	for (int i = 0; i < 20; i++) {
		uring_close(&self->ring);
		if (!on_io_uring())
			ASSERT_TRUE(rings_become(0));
		self->ring = (struct uring){
			.p.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_R_DISABLED,
		};
		ASSERT_EQ(0, uring_open(&self->ring, 64));
		ASSERT_EQ(0, pthread_create(&thread, NULL, leave_requests, self));
		pthread_join(thread, NULL);
		EXPECT_EQ(-EEXIST, uring_enter(&self->ring, 1, 0, 0));
	}
}

static int same_task(int fd)
{
	struct uring ring = { .fd = fd, .backend = uring_backend() };

	/* The SQ is empty: only the permission is checked. */
	if (uring_enter(&ring, 1, 0, 0) != 0)
		return 1;
	return uring_unregister_eventfd(&ring) == -ENXIO ? 0 : 2;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--after-exec"))
		return after_exec(atoi(argv[2]));
	if (argc == 3 && !strcmp(argv[1], "--same-task"))
		return same_task(atoi(argv[2]));
	return test_harness_run(argc, argv);
}
