// SPDX-License-Identifier: GPL-2.0
/*
 * A ring with IORING_SETUP_SINGLE_ISSUER: the calls of its submitter, the calls of other tasks,
 * and the choice of the submitter.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include "ring_test.h"

FIXTURE(issuer)
{
	struct uring ring;
	int fd;
};

FIXTURE_VARIANT(issuer)
{
	unsigned int model;
};

FIXTURE_VARIANT_ADD(issuer, rcu)
{
	.model = MINIRING_NOTIFY_RCU,
};

FIXTURE_VARIANT_ADD(issuer, quiesce)
{
	.model = MINIRING_NOTIFY_QUIESCE,
};

FIXTURE_SETUP(issuer)
{
	if (on_io_uring() && variant->model)
		SKIP(return, "io_uring has one notify model");
	self->ring.model = variant->model;
	self->ring.p.flags = IORING_SETUP_SINGLE_ISSUER;
	ASSERT_EQ(0, uring_open(&self->ring, 8));
	self->fd = eventfd(0, EFD_NONBLOCK);
}

FIXTURE_TEARDOWN(issuer)
{
	uring_close(&self->ring);
	close(self->fd);
}

/* A call by another task. */
struct call {
	struct uring *ring;
	int (*call)(struct uring *ring, int fd);
	int fd, result;
};

static void *call_main(void *arg)
{
	struct call *c = arg;

	c->result = c->call(c->ring, c->fd);
	return NULL;
}

static int from_thread(struct uring *ring, int (*call)(struct uring *, int), int fd)
{
	struct call c = { .ring = ring, .call = call, .fd = fd };
	pthread_t thread;

	pthread_create(&thread, NULL, call_main, &c);
	pthread_join(thread, NULL);
	return c.result;
}

static int from_child(struct uring *ring, int (*call)(struct uring *, int), int fd)
{
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(-call(ring, fd));
	waitpid(pid, &status, 0);
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}

static int submit(struct uring *ring, int fd)
{
	uring_nop(ring, fd);
	return uring_submit(ring);
}

static int enter_nothing(struct uring *ring, int fd)
{
	return uring_enter(ring, 0, fd, IORING_ENTER_GETEVENTS);
}

static int submit_too_many(struct uring *ring, int fd)
{
	return uring_enter(ring, fd, 0, 0);
}

static int unregister(struct uring *ring, int fd)
{
	(void)fd;
	return uring_unregister_eventfd(ring);
}

static int enable(struct uring *ring, int fd)
{
	return uring_register(ring, IORING_REGISTER_ENABLE_RINGS, NULL, fd);
}

TEST_F(issuer, other_task_cannot_submit)
{
	ASSERT_EQ(1, submit(&self->ring, 1));
	EXPECT_EQ(-EEXIST, from_thread(&self->ring, submit, 2));
	EXPECT_EQ(-EEXIST, from_child(&self->ring, submit_too_many, 1));
	EXPECT_EQ(-EEXIST, from_thread(&self->ring, submit_too_many, -1));
	EXPECT_EQ(1, uring_reap(&self->ring));
	EXPECT_EQ(1, uring_submit(&self->ring)) {
		TH_LOG("what another task filled in can be submitted");
	}
	EXPECT_STREQ("2 0", next_cqe(&self->ring));
}

TEST_F(issuer, other_task_can_wait)
{
	EXPECT_EQ(0, from_thread(&self->ring, enter_nothing, 0));
	ASSERT_EQ(1, submit(&self->ring, 1));
	EXPECT_EQ(0, from_thread(&self->ring, enter_nothing, 1));
	EXPECT_EQ(0, from_child(&self->ring, enter_nothing, 1));
}

TEST_F(issuer, other_task_cannot_register)
{
	EXPECT_EQ(-EEXIST, from_thread(&self->ring, uring_register_eventfd, self->fd));
	EXPECT_EQ(-EEXIST, from_thread(&self->ring, unregister, 0));
	EXPECT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
	EXPECT_EQ(-EEXIST, from_thread(&self->ring, uring_register_eventfd, self->fd));
	EXPECT_EQ(-EEXIST, from_child(&self->ring, unregister, 0));
	EXPECT_EQ(0, uring_unregister_eventfd(&self->ring));
}

static int register_badly(struct uring *ring, int fd)
{
	return uring_register(ring, IORING_REGISTER_EVENTFD, &fd, 2);
}

static int register_from_nowhere(struct uring *ring, int fd)
{
	(void)fd;
	return uring_register(ring, IORING_REGISTER_EVENTFD, bad_pointer(), 1);
}

TEST_F(issuer, submitter_is_checked_before_the_arguments)
{
	EXPECT_EQ(-EEXIST, from_thread(&self->ring, register_badly, self->fd));
	EXPECT_EQ(-EEXIST, from_thread(&self->ring, register_from_nowhere, 0));
	EXPECT_EQ(-EEXIST, from_thread(&self->ring, uring_register_eventfd, -1));
	EXPECT_EQ(-EEXIST, from_thread(&self->ring, enable, 0));
	EXPECT_EQ(-EEXIST, from_thread(&self->ring, enable, 1));
	EXPECT_EQ(-EBADFD, enable(&self->ring, 0));
	EXPECT_EQ(-EINVAL, enable(&self->ring, 1));
}

TEST_F(issuer, task_that_enables_a_disabled_ring_is_its_submitter)
{
	struct uring ring = {
		.p.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_R_DISABLED,
		.model = variant->model,
	};

	ASSERT_EQ(0, uring_open(&ring, 8));
	EXPECT_EQ(0, from_thread(&ring, uring_register_eventfd, self->fd)) {
		TH_LOG("nobody is the submitter yet");
	}
	EXPECT_EQ(-EBADFD, from_thread(&ring, submit, 1));
	EXPECT_EQ(0, uring_register(&ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0));
	EXPECT_EQ(-EEXIST, from_thread(&ring, submit_too_many, 1));
	EXPECT_EQ(-EEXIST, from_thread(&ring, unregister, 0));
	EXPECT_EQ(1, uring_submit(&ring));
	EXPECT_EQ(0, uring_unregister_eventfd(&ring));
	uring_close(&ring);
}

TEST_F_TIMEOUT(issuer, ring_keeps_its_ended_submitter, 120)
{
	struct uring ring = {
		.p.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_R_DISABLED,
		.model = variant->model,
	};

	ASSERT_EQ(0, uring_open(&ring, 8));
	EXPECT_EQ(0, from_thread(&ring, enable, 0));
	/*
	 * Without a reference of the ring, a new task may reuse the address of the old task.
	 * KASAN keeps freed memory unused for long, so with KASAN the loop cannot detect the
	 * reuse.
	 */
	for (int i = 0; i < 100; i++) {
		ASSERT_EQ(-EEXIST, from_thread(&ring, submit_too_many, 1));
		ASSERT_EQ(-EEXIST, from_child(&ring, submit_too_many, 1));
	}
	EXPECT_EQ(-EEXIST, submit_too_many(&ring, 1));
	uring_close(&ring);
}

static struct uring *handler_ring;
static int handler_calls, handler_submitted, handler_reaped;

static void handler(int signal)
{
	(void)signal;
	uring_nop(handler_ring, handler_calls++);
	handler_submitted += uring_submit(handler_ring) == 1;
	handler_reaped += uring_reap(handler_ring) == 1;
}

static void *tease(void *arg)
{
	pthread_t *thread = arg;

	for (int i = 0; i < 2000; i++) {
		pthread_kill(*thread, SIGUSR1);
		sched_yield();
	}
	return NULL;
}

/* A signal handler runs on the return from ENTER, when the task has left the ring. */
TEST_F(issuer, submitter_may_submit_from_a_signal_handler)
{
	struct sigaction action = { .sa_handler = handler };
	pthread_t self_thread = pthread_self(), thread;

	handler_ring = &self->ring;
	handler_calls = 0;
	handler_submitted = 0;
	handler_reaped = 0;
	sigaction(SIGUSR1, &action, NULL);
	pthread_create(&thread, NULL, tease, &self_thread);
	while (pthread_tryjoin_np(thread, NULL) == EBUSY)
		ASSERT_EQ(0, uring_enter(&self->ring, 1, 0, 0));
	EXPECT_LT(0, handler_calls);
	EXPECT_EQ(handler_calls, handler_submitted);
	EXPECT_EQ(handler_calls, handler_reaped);
	EXPECT_EQ(1, submit(&self->ring, 5));
	EXPECT_STREQ("5 0", next_cqe(&self->ring));
}

TEST_HARNESS_MAIN
