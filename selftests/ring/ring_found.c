// SPDX-License-Identifier: GPL-2.0
/* Bugs that the fuzzer and reviewers found, each in a few lines. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include "ring_ops.h"
#include "ring_test.h"

#define RUN_MS 3000

static void on_alarm(int signal)
{
	(void)signal;
}

/*
 * In the quiesce model a change of registration waits for an RCU callback. The ring could be
 * freed before the end of the callback. The change was interrupted, or saw the count drop to zero
 * too early.
 */
TEST(quiesced_ring_can_go_right_after_an_interrupted_change)
{
	struct sigaction action = { .sa_handler = on_alarm };
	long long end = now_ms() + RUN_MS;
	int fd = eventfd(0, EFD_CLOEXEC), interrupted = 0, done = 0;

	if (on_io_uring())
		SKIP(return, "models are miniring's");
	ASSERT_LE(0, fd);
	sigaction(SIGALRM, &action, NULL);
	for (unsigned int us = 100, most = 20000; now_ms() < end || !interrupted || !done;
	     us = us % most + 370) {
		struct itimerval timer = { .it_value.tv_usec = us };
		struct uring ring = { .model = MINIRING_NOTIFY_QUIESCE };
		int ret;

		/* A grace period may take longer on a busy host. */
		if (now_ms() >= end && most < 400000)
			most *= 2;
		ASSERT_EQ(0, uring_open(&ring, 4));
		setitimer(ITIMER_REAL, &timer, NULL);
		ret = uring_register_eventfd(&ring, fd);
		uring_close(&ring);
		ASSERT_TRUE(!ret || ret == -EINTR) {
			TH_LOG("register returned %s", result_name(ret));
		}
		interrupted += ret == -EINTR;
		done += !ret;
	}
	EXPECT_LT(0, interrupted);
	EXPECT_LT(0, done);
}

struct registration {
	struct uring *ring;
	int eventfd, ret;
	bool done;
};

static void *register_it(void *arg)
{
	struct registration *registration = arg;

	registration->ret = uring_register_eventfd(registration->ring, registration->eventfd);
	__atomic_store_n(&registration->done, true, __ATOMIC_RELEASE);
	return NULL;
}

/*
 * A message that was refused because of a change of registration ended the wait
 * of that change too early.
 */
TEST(refused_message_does_not_end_the_wait_of_a_quiesced_ring)
{
	struct uring ring = { .model = MINIRING_NOTIFY_QUIESCE }, other = {};
	struct registration registration = { .ring = &ring, .eventfd = eventfd(0, EFD_CLOEXEC) };
	struct io_uring_sqe *sqe;
	pthread_t thread;
	int fds[2], refused = 0;

	if (on_io_uring())
		SKIP(return, "models are miniring's");
	ASSERT_EQ(0, pipe2(fds, O_CLOEXEC));
	ASSERT_EQ(0, uring_open(&ring, 4));
	ASSERT_EQ(0, uring_open(&other, 4));
	sqe = uring_get_sqe(&ring);
	sqe->opcode = IORING_OP_POLL_ADD;
	sqe->fd = fds[0];
	sqe->poll32_events = POLLIN;
	sqe->user_data = 1;
	ASSERT_EQ(1, uring_submit(&ring));
	ASSERT_EQ(0, pthread_create(&thread, NULL, register_it, &registration));
	for (long long end = now_ms() + HANG_MS; !refused && now_ms() < end;) {
		sqe = uring_get_sqe(&other);
		sqe->opcode = IORING_OP_MSG_RING;
		sqe->fd = ring.fd;
		ASSERT_EQ(1, uring_submit(&other));
		refused = !strcmp("0 -EAGAIN", next_cqe(&other));
	}
	EXPECT_TRUE(refused);
	for (int i = 0; i < 10; i++) {
		sqe = uring_get_sqe(&other);
		sqe->opcode = IORING_OP_MSG_RING;
		sqe->fd = ring.fd;
		ASSERT_EQ(1, uring_submit(&other));
		EXPECT_STREQ("0 -EAGAIN", next_cqe(&other));
	}
	sleep_ms(100);
	EXPECT_FALSE(__atomic_load_n(&registration.done, __ATOMIC_ACQUIRE)) {
		TH_LOG("registered although a request is in flight");
	}
	ASSERT_EQ(1, write(fds[1], "", 1));
	ASSERT_EQ(0, pthread_join(thread, NULL));
	EXPECT_EQ(0, registration.ret);
	uring_close(&other);
	uring_close(&ring);
}

/*
 * An update of a timeout that had just expired started the timer, and the handling of the expiry
 * started it once more. The kernel log has a report, or the kernel hangs.
 */
TEST(timeout_survives_updates_while_it_expires)
{
	struct __kernel_timespec often = { .tv_nsec = 50000 };
	long long end = now_ms() + RUN_MS;
	unsigned int updates = 0, expired = 0;
	struct io_uring_sqe *sqe;
	struct uring ring = {};

	ASSERT_EQ(0, uring_open(&ring, 64));
	while (now_ms() < end || !updates || !expired) {
		sqe = uring_get_sqe(&ring);
		sqe->opcode = IORING_OP_TIMEOUT;
		sqe->addr = (unsigned long)&often;
		sqe->len = 1;
		sqe->timeout_flags = IORING_TIMEOUT_MULTISHOT;
		sqe->user_data = 1;
		for (int i = 0; i < 20; i++) {
			const char *result;

			sqe = uring_get_sqe(&ring);
			sqe->opcode = i < 19 ? IORING_OP_TIMEOUT_REMOVE : IORING_OP_ASYNC_CANCEL;
			sqe->addr = 1;
			sqe->addr2 = i < 19 ? (unsigned long)&often : 0;
			sqe->timeout_flags = i < 19 ? IORING_TIMEOUT_UPDATE :
						      IORING_ASYNC_CANCEL_ANY;
			sqe->user_data = 2;
			ASSERT_LE(1, uring_submit(&ring));
			uring_enter(&ring, 0, 1, IORING_ENTER_GETEVENTS);
			while (uring_ready(&ring)) {
				result = next_cqe(&ring);
				updates += !strcmp("2 0", result);
				expired += !strcmp("1 -ETIME", result);
			}
		}
	}
	EXPECT_LT(0, updates);
	EXPECT_LT(0, expired);
	uring_close(&ring);
}

/* Posting the CQE of a poll of its own ring woke that poll again, until the CQ was full. */
TEST(poll_report_about_its_own_ring_causes_no_further_report)
{
	struct uring ring = {};
	unsigned int reports = 0, more = 1;
	long long end = now_ms() + HANG_MS;

	ASSERT_EQ(0, uring_open(&ring, 64));
	ASSERT_NE(NULL, uring_nop(&ring, 1));
	ASSERT_EQ(1, uring_submit(&ring));
	prep_poll(&ring, ring.fd, POLLIN, IORING_POLL_ADD_MULTI, 2);
	ASSERT_EQ(1, uring_submit(&ring));
	/* Reads until the last report, and checks that no further report comes. */
	for (bool last = false; !last;) {
		last = !more || now_ms() > end;
		enter_timeout(&ring, 1, 100);
		for (struct io_uring_cqe *cqe; (cqe = uring_peek(&ring)); uring_advance(&ring, 1)) {
			if (cqe->user_data != 2)
				continue;
			reports++;
			more = cqe->flags & IORING_CQE_F_MORE;
		}
	}
	EXPECT_GE(3, reports);
	EXPECT_FALSE(more);
	uring_close(&ring);
}

/*
 * A read that lost every race for data blocked in the file, where it could not be cancelled, or
 * polled the file without end.
 */
#define READS 150
#define WRITES 140

static void faster_readers(struct __test_metadata *_metadata, int flags)
{
	struct uring ring = { .p.flags = IORING_SETUP_CQSIZE, .p.cq_entries = 1024 };
	unsigned int cancelled = 0;
	long long end;
	int fds[2];

	ASSERT_EQ(0, pipe2(fds, O_CLOEXEC | flags));
	ASSERT_EQ(0, uring_open(&ring, 256));
	for (int i = 0; i < READS; i++)
		read_byte(&ring, fds[0], 1);
	ASSERT_EQ(READS, uring_submit(&ring));
	for (int i = 0; i < WRITES; i++) {
		ASSERT_EQ(1, write(fds[1], "", 1));
		ASSERT_EQ(0, enter_timeout(&ring, 1, HANG_MS));
		ASSERT_STREQ("1 1", next_cqe(&ring));
	}
	/* Wait until each reader has lost its last race. */
	sleep_ms(100);
	prep_undo(&ring, IORING_OP_ASYNC_CANCEL, 1, 2)->cancel_flags = IORING_ASYNC_CANCEL_ALL;
	ASSERT_EQ(1, uring_submit(&ring));
	for (end = now_ms() + HANG_MS; cancelled < READS - WRITES && now_ms() < end;) {
		enter_timeout(&ring, 1, 1000);
		while (uring_ready(&ring)) {
			const char *result = next_cqe(&ring);

			/* Workers of io_uring block in the file, and can be interrupted. */
			cancelled += !strcmp("1 -ECANCELED", result) ||
				     (on_io_uring() && !strcmp("1 -EINTR", result));
		}
	}
	EXPECT_EQ(READS - WRITES, cancelled);
	uring_close(&ring);
	close(fds[0]);
	close(fds[1]);
}

TEST(read_that_lost_the_race_for_data_can_be_cancelled)
{
	faster_readers(_metadata, 0);
}

TEST(read_of_a_nonblocking_pipe_can_be_cancelled)
{
	/* In io_uring such a read returns -EAGAIN. */
	if (on_io_uring())
		SKIP(return, "such a read does not wait");
	faster_readers(_metadata, O_NONBLOCK);
}

TEST_HARNESS_MAIN
