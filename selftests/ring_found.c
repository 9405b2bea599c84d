// SPDX-License-Identifier: GPL-2.0
/*
 * What the fuzzer found, each in a few lines of its own.
 */
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

TEST_HARNESS_MAIN
