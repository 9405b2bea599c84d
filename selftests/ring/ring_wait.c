// SPDX-License-Identifier: GPL-2.0
/* The sleep of a waiter: its accounting, and the number of its wake-ups. */
#include <pthread.h>
#include <stdbool.h>
#include "ring_ops.h"
#include "ring_test.h"

#define WAIT	IORING_ENTER_GETEVENTS

/* Returns the number behind @name and one more character in the file @path, or -1. */
static long long number_in(const char *path, const char *name)
{
	const size_t len = strlen(name);
	FILE *file = fopen(path, "r");
	long long number = -1;
	char line[512];

	if (!file)
		return -1;
	while (number < 0 && fgets(line, sizeof(line), file)) {
		if (!strncmp(line, name, len))
			number = atoll(line + len + 1);
	}
	fclose(file);
	return number;
}

/* Returns the number of voluntary context switches of thread @tid of this process. */
static long long sleeps(pid_t tid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", tid);
	return number_in(path, "voluntary_ctxt_switches");
}

/* Returns the lowest number of tasks in iowait during some time. */
static long long fewest_in_iowait(void)
{
	long long fewest = number_in("/proc/stat", "procs_blocked");

	for (int i = 0; i < 20; i++) {
		long long now = number_in("/proc/stat", "procs_blocked");

		if (now < fewest)
			fewest = now;
		usleep(1000);
	}
	return fewest;
}

/* A thread that acts when its creator, the test's thread, sleeps in ENTER. */
struct actor {
	pthread_t thread;
	pid_t sleeper;
	long long before;
	bool seen_asleep;
	long long in_iowait;
	struct uring *ring;
	int fd;
};

static bool until_asleep(struct actor *actor)
{
	for (int tries = 0; tries < 60000; tries++) {
		if (sleeps(actor->sleeper) > actor->before)
			return true;
		usleep(1000);
	}
	return false;
}

static void *write_byte(void *arg)
{
	struct actor *actor = arg;

	actor->seen_asleep = until_asleep(actor);
	actor->in_iowait = fewest_in_iowait();
	if (write(actor->fd, "x", 1) != 1)
		actor->seen_asleep = false;
	return NULL;
}

/* Publishes NOPs one by one, each after the ring's thread has taken the NOP before. */
static void *publish_nops(void *arg)
{
	struct actor *actor = arg;
	struct uring *ring = actor->ring;

	actor->seen_asleep = until_asleep(actor);
	for (int i = 0; i < 64; i++) {
		uring_nop(ring, i);
		while (uring_publish(ring)) {
			uring_enter(ring, 0, 0, IORING_ENTER_SQ_WAKEUP);
			usleep(100);
		}
	}
	return NULL;
}

static void act_when_asleep(struct actor *actor, void *(*act)(void *))
{
	actor->sleeper = gettid();
	pthread_create(&actor->thread, NULL, act, actor);
	actor->before = sleeps(actor->sleeper);
}

FIXTURE(wait)
{
	struct uring ring;
	int fds[2];
};

FIXTURE_SETUP(wait)
{
	ASSERT_EQ(0, uring_open(&self->ring, 8));
	ASSERT_EQ(0, pipe(self->fds));
}

FIXTURE_TEARDOWN(wait)
{
	close(self->fds[0]);
	close(self->fds[1]);
	uring_close(&self->ring);
}

/*
 * Waits for a read that another thread ends. Returns the number of tasks in iowait meanwhile,
 * including other tasks of the machine, or -1.
 */
static long long iowaits_of_a_read(struct uring *ring, const int fds[2], unsigned int flags)
{
	struct actor actor = { .fd = fds[1] };
	struct io_uring_getevents_arg arg = {};
	int ret;

	read_byte(ring, fds[0], 1);
	if (uring_submit(ring) != 1)
		return -1;
	act_when_asleep(&actor, write_byte);
	ret = uring_enter_arg(ring, 0, 1, WAIT | IORING_ENTER_EXT_ARG | flags, &arg, sizeof(arg));
	pthread_join(actor.thread, NULL);
	if (ret || !actor.seen_asleep || strcmp("1 1", next_cqe(ring)))
		return -1;
	return actor.in_iowait;
}

TEST_F(wait, wait_for_a_request_is_iowait)
{
	EXPECT_LE(1, iowaits_of_a_read(&self->ring, self->fds, 0));
}

TEST_F(wait, wait_with_no_iowait_is_not_iowait)
{
	EXPECT_EQ(0, iowaits_of_a_read(&self->ring, self->fds, IORING_ENTER_NO_IOWAIT));
}

TEST_F(wait, waiter_is_woken_once_when_all_have_completed)
{
	struct uring ring = { .p.flags = IORING_SETUP_SQPOLL, .p.sq_thread_idle = 1000 };
	struct actor actor = { .ring = &ring };

	ASSERT_EQ(0, uring_open(&ring, 8));
	act_when_asleep(&actor, publish_nops);
	/* The CQ has 16 entries; a wait for more ends when it is full. */
	EXPECT_EQ(0, uring_enter(&ring, 0, 16, WAIT));
	EXPECT_LE(16, uring_ready(&ring));
	/* One sleep, and at most another for a lock. */
	EXPECT_GE(2, sleeps(gettid()) - actor.before);
	pthread_join(actor.thread, NULL);
	EXPECT_TRUE(actor.seen_asleep);
	uring_close(&ring);
}

/* Takes each CQE as soon as it is visible, while workers post later CQEs. */
TEST_F_TIMEOUT(wait, waiter_finds_a_cqe_when_it_returns, 600)
{
	struct uring ring = {};

	ASSERT_EQ(0, uring_open(&ring, 64));
	for (int round = 0; round < 300; round++) {
		for (int i = 0; i < 64; i++)
			uring_nop(&ring, i)->flags = IOSQE_ASYNC;
		ASSERT_EQ(64, uring_submit(&ring));
		for (int i = 0; i < 64; i++) {
			if (!uring_ready(&ring)) {
				ASSERT_EQ(0, uring_enter(&ring, 0, 1, WAIT));
				ASSERT_LT(0, uring_ready(&ring));
			}
			uring_advance(&ring, 1);
		}
	}
	uring_close(&ring);
}

TEST_HARNESS_MAIN
