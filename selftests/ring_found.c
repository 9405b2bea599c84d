// SPDX-License-Identifier: GPL-2.0
/*
 * What the fuzzer found, each in a few lines of its own.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/time.h>
#include "ring_test.h"

#define RUN_MS 3000

static void on_alarm(int signal)
{
	(void)signal;
}

/*
 * A change of registration waits for an RCU callback in the quiesce model. One
 * that was interrupted, or saw the count drop to zero before the callback was
 * through, could have the ring freed under it.
 */
TEST(a_quiesced_ring_goes_right_after_a_change_that_was_interrupted)
{
	struct sigaction action = { .sa_handler = on_alarm };
	long long end = now_ms() + RUN_MS;
	int fd = eventfd(0, EFD_CLOEXEC), interrupted = 0, done = 0;

	if (on_io_uring())
		SKIP(return, "models are miniring's");
	ASSERT_LE(0, fd);
	sigaction(SIGALRM, &action, NULL);
	for (unsigned int us = 100; now_ms() < end; us = us % 20000 + 370) {
		struct itimerval timer = { .it_value.tv_usec = us };
		struct uring ring = { .model = MINIRING_NOTIFY_QUIESCE };
		int ret;

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

/* A message that was refused, because the registration changes, let the change go on. */
TEST(a_refused_message_does_not_end_the_wait_of_a_quiesced_ring)
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
	for (long long end = now_ms() + RUN_MS; !refused && now_ms() < end;) {
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
 * An update that came when a timeout had just expired started it, and what the
 * expiry had asked for started it once more. The kernel log tells, or the
 * kernel hangs.
 */
TEST(updates_of_a_timeout_that_expires_again_and_again)
{
	struct __kernel_timespec often = { .tv_nsec = 50000 };
	long long end = now_ms() + RUN_MS;
	unsigned int updates = 0, expired = 0;
	struct io_uring_sqe *sqe;
	struct uring ring = {};

	ASSERT_EQ(0, uring_open(&ring, 64));
	while (now_ms() < end) {
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

TEST_HARNESS_MAIN
