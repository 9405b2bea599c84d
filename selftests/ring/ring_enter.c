// SPDX-License-Identifier: GPL-2.0
/* Waits for completions: when a wait ends, and its result. */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include "ring_ops.h"
#include "ring_test.h"

#define WAIT	IORING_ENTER_GETEVENTS
#define WAIT_EXT (IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG)

/* Longer than any wait that ends by itself, on a busy host. */
#define FOREVER_MS (2 * HANG_MS)

FIXTURE(enter)
{
	struct uring ring;
};

FIXTURE_SETUP(enter)
{
	ASSERT_EQ(0, uring_open(&self->ring, 8));
}

FIXTURE_TEARDOWN(enter)
{
	uring_close(&self->ring);
}

static int submit_nops(struct uring *ring, int nr)
{
	for (int i = 0; i < nr; i++)
		uring_nop(ring, i);
	return uring_submit(ring);
}

/* A thread that waits, and its result. */
struct waiter {
	pthread_t thread;
	struct uring *ring;
	unsigned int min_complete;
	int result, ended;
};

static void *waiter_main(void *arg)
{
	struct waiter *w = arg;

	w->result = enter_timeout(w->ring, w->min_complete, FOREVER_MS);
	__atomic_store_n(&w->ended, 1, __ATOMIC_RELEASE);
	return NULL;
}

static void waiter_start(struct waiter *w, struct uring *ring, unsigned int nr)
{
	*w = (struct waiter){ .ring = ring, .min_complete = nr };
	pthread_create(&w->thread, NULL, waiter_main, w);
	sleep_ms(100);
}

static int waiter_ended(struct waiter *w)
{
	sleep_ms(100);
	return __atomic_load_n(&w->ended, __ATOMIC_ACQUIRE);
}

static int waiter_join(struct waiter *w)
{
	pthread_join(w->thread, NULL);
	return w->result;
}

static void on_signal(int sig)
{
	(void)sig;
}

static void handle_usr1(int flags)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = flags };

	sigaction(SIGUSR1, &sa, NULL);
}

/* Another thread interrupts this one until it is stopped. */
struct pest {
	pthread_t thread, target;
	int stop;
};

static void *pest_main(void *arg)
{
	struct pest *p = arg;

	while (!__atomic_load_n(&p->stop, __ATOMIC_ACQUIRE)) {
		sleep_ms(50);
		pthread_kill(p->target, SIGUSR1);
	}
	return NULL;
}

static void pest_start(struct pest *p)
{
	*p = (struct pest){ .target = pthread_self() };
	pthread_create(&p->thread, NULL, pest_main, p);
}

static void pest_stop(struct pest *p)
{
	__atomic_store_n(&p->stop, 1, __ATOMIC_RELEASE);
	pthread_join(p->thread, NULL);
}

TEST_F(enter, enter_with_nothing_to_do_returns_zero)
{
	EXPECT_EQ(0, uring_enter(&self->ring, 0, 0, 0));
	EXPECT_EQ(0, uring_enter(&self->ring, 0, 0, WAIT));
	EXPECT_EQ(0, uring_enter(&self->ring, 0, 8, 0)) {
		TH_LOG("min_complete means nothing without GETEVENTS");
	}
}

TEST_F(enter, enter_refuses_unknown_flags)
{
	ASSERT_NE(NULL, uring_nop(&self->ring, 1));
	uring_publish(&self->ring);
	EXPECT_EQ(-EINVAL, uring_enter(&self->ring, 1, 0, 1U << 31));
	EXPECT_EQ(-EINVAL, uring_enter(&self->ring, 1, 0, 1U << 16 | WAIT));
	EXPECT_EQ(0, uring_load(self->ring.sq.head));
}

TEST(enter_checks_flags_before_the_ring_is_enabled)
{
	struct uring ring = { .p.flags = IORING_SETUP_R_DISABLED };

	ASSERT_EQ(0, uring_open(&ring, 4));
	EXPECT_EQ(-EINVAL, uring_enter(&ring, 0, 0, 1U << 31));
	EXPECT_EQ(-EBADFD, uring_enter(&ring, 0, 0, 0));
}

TEST_F(enter, enter_returns_at_once_when_enough_has_completed)
{
	ASSERT_EQ(3, submit_nops(&self->ring, 3));
	EXPECT_EQ(0, uring_enter(&self->ring, 0, 3, WAIT));
	EXPECT_EQ(0, uring_enter(&self->ring, 0, 1, WAIT));
}

TEST_F(enter, enter_submits_and_waits_in_one_call)
{
	for (int i = 0; i < 4; i++)
		ASSERT_NE(NULL, uring_nop(&self->ring, i));
	EXPECT_EQ(4, uring_submit_and_wait(&self->ring, 4));
	EXPECT_EQ(4, uring_ready(&self->ring));
}

TEST_F(enter, min_complete_is_limited_to_the_size_of_the_cq)
{
	ASSERT_EQ(8, submit_nops(&self->ring, 8));
	ASSERT_EQ(8, submit_nops(&self->ring, 8));
	EXPECT_EQ(0, uring_enter(&self->ring, 0, 1000, WAIT));
	EXPECT_EQ(0, enter_timeout(&self->ring, 0x7fffffff, FOREVER_MS));
}

/* An int cannot hold the number, so the wait is for less than one completion. */
TEST_F(enter, min_complete_beyond_an_int_does_not_wait)
{
	/* At 2^31 the subtraction of io_uring overflows, and io_uring waits. */
	EXPECT_EQ(0, enter_timeout(&self->ring, (1U << 31) + 1, FOREVER_MS));
	EXPECT_EQ(0, enter_timeout(&self->ring, ~0U, FOREVER_MS));
	EXPECT_EQ(0, uring_enter(&self->ring, 0, ~0U, WAIT));
}

TEST_F(enter, enter_times_out)
{
	long long start = now_ms();

	EXPECT_EQ(-ETIME, enter_timeout(&self->ring, 1, 200));
	EXPECT_LE(200, now_ms() - start);
	EXPECT_GT(FOREVER_MS / 2, now_ms() - start);
}

TEST_F(enter, timeout_of_zero_does_not_sleep)
{
	long long start = now_ms();

	EXPECT_EQ(-ETIME, enter_timeout(&self->ring, 1, 0));
	EXPECT_GT(1000, now_ms() - start);
}

TEST_F(enter, absolute_timeout_is_on_the_monotonic_clock)
{
	long long start = now_ns(), end = start + 200000000;
	struct __kernel_timespec ts = {
		.tv_sec = end / 1000000000,
		.tv_nsec = end % 1000000000,
	};
	struct io_uring_getevents_arg arg = { .ts = (unsigned long)&ts };

	EXPECT_EQ(-ETIME, uring_enter_arg(&self->ring, 0, 1,
					  WAIT_EXT | IORING_ENTER_ABS_TIMER,
					  &arg, sizeof(arg)));
	EXPECT_LE(end, now_ns());
	/* A time in the past. */
	EXPECT_EQ(-ETIME, uring_enter_arg(&self->ring, 0, 1,
					  WAIT_EXT | IORING_ENTER_ABS_TIMER,
					  &arg, sizeof(arg)));
	EXPECT_GT(end + FOREVER_MS / 2 * 1000000LL, now_ns());
}

TEST_F(enter, timeout_with_some_completions_is_no_error)
{
	ASSERT_EQ(2, submit_nops(&self->ring, 2));
	EXPECT_EQ(0, enter_timeout(&self->ring, 3, 100));
}

TEST_F(enter, timeout_after_submission_returns_the_submitted_count)
{
	struct __kernel_timespec ts = { .tv_nsec = 100000000 };
	struct io_uring_getevents_arg arg = { .ts = (unsigned long)&ts };

	uring_nop(&self->ring, 1)->flags = IOSQE_CQE_SKIP_SUCCESS;
	EXPECT_EQ(1, uring_enter_arg(&self->ring, uring_publish(&self->ring), 1,
				     WAIT_EXT, &arg, sizeof(arg)));
	EXPECT_STREQ("none", next_cqe(&self->ring));
}

TEST_F(enter, extended_argument_of_wrong_size_is_refused)
{
	struct io_uring_getevents_arg arg = {};

	EXPECT_EQ(-EINVAL, uring_enter_arg(&self->ring, 0, 0, WAIT_EXT,
					   &arg, sizeof(arg) - 1));
	EXPECT_EQ(-EINVAL, uring_enter_arg(&self->ring, 0, 0, WAIT_EXT,
					   &arg, sizeof(arg) + 8));
	EXPECT_EQ(-EINVAL, uring_enter_arg(&self->ring, 0, 0, WAIT_EXT, &arg, 0));
	EXPECT_EQ(0, uring_enter_arg(&self->ring, 0, 0, WAIT_EXT, &arg, sizeof(arg)));
}

TEST_F(enter, unreadable_extended_argument_faults)
{
	struct io_uring_getevents_arg arg = { .ts = (unsigned long)bad_pointer() };

	EXPECT_EQ(-EFAULT, uring_enter_arg(&self->ring, 0, 0, WAIT_EXT,
					   NULL, sizeof(arg)));
	EXPECT_EQ(-EFAULT, uring_enter_arg(&self->ring, 0, 0, WAIT_EXT,
					   bad_pointer(), sizeof(arg)));
	EXPECT_EQ(-EFAULT, uring_enter_arg(&self->ring, 0, 0, WAIT_EXT,
					   &arg, sizeof(arg)));
	arg.ts = 1;
	EXPECT_EQ(-EFAULT, uring_enter_arg(&self->ring, 0, 0, WAIT_EXT,
					   &arg, sizeof(arg)));
}

TEST_F(enter, bad_argument_after_submission_returns_the_submitted_count)
{
	ASSERT_NE(NULL, uring_nop(&self->ring, 1));
	EXPECT_EQ(1, uring_enter_arg(&self->ring, uring_publish(&self->ring), 1,
				     WAIT_EXT, bad_pointer(), 8));
	EXPECT_STREQ("1 0", next_cqe(&self->ring));
}

TEST_F(enter, signal_ends_the_wait)
{
	const int flags[] = { 0, SA_RESTART };
	struct pest pest;

	for (int i = 0; i < 2; i++) {
		handle_usr1(flags[i]);
		pest_start(&pest);
		EXPECT_EQ(-EINTR, enter_timeout(&self->ring, 1, FOREVER_MS));
		EXPECT_EQ(-EINTR, uring_enter(&self->ring, 0, 1, WAIT)) {
			TH_LOG("never restarted, SA_RESTART or not");
		}
		pest_stop(&pest);
	}
}

TEST_F(enter, signal_with_some_completions_is_no_error)
{
	struct pest pest;

	handle_usr1(0);
	ASSERT_EQ(1, submit_nops(&self->ring, 1));
	pest_start(&pest);
	EXPECT_EQ(0, enter_timeout(&self->ring, 2, FOREVER_MS));
	pest_stop(&pest);
}

/* Queues task work for the waiter, and later posts the completion that it waits for. */
struct errand {
	struct uring *ring;
	int pipe;
};

static void *errand_main(void *arg)
{
	struct errand *errand = arg;

	sleep_ms(100);
	if (write(errand->pipe, "", 1) != 1)
		return NULL;
	sleep_ms(200);
	submit_nops(errand->ring, 1);
	return NULL;
}

TEST_F(enter, task_work_does_not_end_the_wait)
{
	struct uring other = {};
	struct errand errand = { .ring = &self->ring };
	struct io_uring_sqe *sqe;
	pthread_t thread;
	int pipes[2];

	if (uring_open_on(URING_IO_URING, &other, 4))
		SKIP(return, "it takes an io_uring to make work for the task");
	ASSERT_EQ(0, pipe(pipes));
	sqe = uring_get_sqe(&other);
	sqe->opcode = IORING_OP_POLL_ADD;
	sqe->fd = pipes[0];
	sqe->poll32_events = POLLIN;
	ASSERT_EQ(1, uring_submit(&other));

	errand.pipe = pipes[1];
	pthread_create(&thread, NULL, errand_main, &errand);
	EXPECT_EQ(0, uring_enter(&self->ring, 0, 1, WAIT));
	EXPECT_STREQ("0 0", next_cqe(&self->ring));
	pthread_join(thread, NULL);
	EXPECT_EQ(1, uring_ready(&other)) {
		TH_LOG("the work was done meanwhile");
	}
	uring_close(&other);
}

TEST_F(enter, signal_mask_holds_while_waiting)
{
	struct __kernel_timespec ts = { .tv_nsec = 400000000 };
	struct io_uring_getevents_arg arg = {
		.ts = (unsigned long)&ts,
		.sigmask_sz = 8,
	};
	struct pest pest;
	sigset_t blocked, before, after;

	handle_usr1(0);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	arg.sigmask = (unsigned long)&blocked;
	sigprocmask(SIG_SETMASK, NULL, &before);

	pest_start(&pest);
	EXPECT_EQ(-ETIME, uring_enter_arg(&self->ring, 0, 1, WAIT_EXT,
					  &arg, sizeof(arg)));
	pest_stop(&pest);
	sigprocmask(SIG_SETMASK, NULL, &after);
	EXPECT_EQ(0, memcmp(&before, &after, 8)) {
		TH_LOG("the old mask is back afterwards");
	}

	/* The inverse: the signal is blocked except during the wait. */
	sigprocmask(SIG_SETMASK, &blocked, NULL);
	pest_start(&pest);
	EXPECT_EQ(-EINTR, uring_enter_arg(&self->ring, 0, 1, WAIT, &before, 8));
	pest_stop(&pest);
}

TEST_F(enter, bad_signal_mask_is_refused_only_if_enter_waits)
{
	sigset_t mask;

	sigemptyset(&mask);
	EXPECT_EQ(-EINVAL, uring_enter_arg(&self->ring, 0, 1, WAIT, &mask, 7));
	EXPECT_EQ(-EFAULT, uring_enter_arg(&self->ring, 0, 1, WAIT, bad_pointer(), 8));
	EXPECT_EQ(0, uring_enter_arg(&self->ring, 0, 0, WAIT, &mask, 7));
}

TEST_F(enter, waiter_wakes_when_enough_has_completed)
{
	struct waiter w;

	waiter_start(&w, &self->ring, 3);
	ASSERT_EQ(2, submit_nops(&self->ring, 2));
	EXPECT_EQ(0, waiter_ended(&w));
	ASSERT_EQ(1, submit_nops(&self->ring, 1));
	EXPECT_EQ(0, waiter_join(&w));
	EXPECT_EQ(3, uring_ready(&self->ring));
}

TEST_F(enter, each_waiter_with_enough_completions_wakes)
{
	struct waiter w[3];

	for (int i = 0; i < 3; i++)
		waiter_start(&w[i], &self->ring, 3 - i);
	ASSERT_EQ(2, submit_nops(&self->ring, 2));
	EXPECT_EQ(0, waiter_join(&w[1]));
	EXPECT_EQ(0, waiter_join(&w[2]));
	EXPECT_EQ(0, waiter_ended(&w[0]));
	ASSERT_EQ(1, submit_nops(&self->ring, 1));
	EXPECT_EQ(0, waiter_join(&w[0]));
}

TEST_F(enter, waiter_can_be_killed)
{
	long long start = now_ms();
	int status;
	pid_t pid = fork();

	if (!pid)
		_exit(uring_enter(&self->ring, 0, 1, WAIT));
	sleep_ms(100);
	kill(pid, SIGKILL);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_TRUE(WIFSIGNALED(status));
	EXPECT_GT(FOREVER_MS / 2, now_ms() - start);
}

/* Waits for @nr completions; after @min_ms one is enough. Waits at most @ms, if @ms is not 0. */
static int enter_min_wait(struct uring *ring, unsigned int nr, unsigned int min_ms,
			  unsigned int ms)
{
	struct __kernel_timespec ts = {
		.tv_sec = ms / 1000,
		.tv_nsec = ms % 1000 * 1000000LL,
	};
	struct io_uring_getevents_arg arg = {
		.min_wait_usec = min_ms * 1000,
		.ts = ms ? (unsigned long)&ts : 0,
	};

	return uring_enter_arg(ring, 0, nr, WAIT_EXT, &arg, sizeof(arg));
}

/* A thread that posts completions after a delay. */
struct poster {
	pthread_t thread;
	struct uring *ring;
	unsigned int nr, ms;
};

static void *poster_main(void *arg)
{
	struct poster *p = arg;

	sleep_ms(p->ms);
	submit_nops(p->ring, p->nr);
	return NULL;
}

static void post_later(struct poster *p, struct uring *ring, unsigned int nr,
		       unsigned int ms)
{
	*p = (struct poster){ .ring = ring, .nr = nr, .ms = ms };
	pthread_create(&p->thread, NULL, poster_main, p);
}

static void posted(struct poster *p)
{
	pthread_join(p->thread, NULL);
}

TEST_F(enter, min_wait_collects_completions_for_a_while)
{
	long long start = now_ms();

	ASSERT_EQ(1, submit_nops(&self->ring, 1));
	EXPECT_EQ(0, enter_min_wait(&self->ring, 2, 200, FOREVER_MS));
	EXPECT_LE(200, now_ms() - start);
	EXPECT_GT(FOREVER_MS / 2, now_ms() - start);
}

TEST_F(enter, min_wait_ends_when_enough_has_completed)
{
	struct poster poster;
	long long start = now_ms();

	post_later(&poster, &self->ring, 2, 100);
	EXPECT_EQ(0, enter_min_wait(&self->ring, 2, FOREVER_MS, 2 * FOREVER_MS));
	EXPECT_GT(FOREVER_MS / 2, now_ms() - start);
	posted(&poster);
	EXPECT_EQ(2, uring_ready(&self->ring));
}

TEST_F(enter, one_completion_is_enough_after_min_wait)
{
	struct poster poster;
	long long start = now_ms();

	post_later(&poster, &self->ring, 1, 200);
	EXPECT_EQ(0, enter_min_wait(&self->ring, 3, 50, FOREVER_MS));
	EXPECT_LE(200, now_ms() - start);
	EXPECT_GT(FOREVER_MS / 2, now_ms() - start);
	posted(&poster);
	EXPECT_EQ(1, uring_ready(&self->ring));
}

/* A TIMEOUT whose CQE is skipped ends a wait before and after min_wait. */
TEST_F(enter, silent_timeout_ends_a_wait_after_min_wait)
{
	struct __kernel_timespec ts = { .tv_nsec = 200000000 };
	struct io_uring_sqe *sqe;

	for (int i = 0; i < 2; i++) {
		sqe = prep_timeout(&self->ring, &ts, 0, IORING_TIMEOUT_ETIME_SUCCESS, 1);
		sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
		ASSERT_EQ(1, uring_submit(&self->ring));
		EXPECT_EQ(0, enter_min_wait(&self->ring, 3, i ? 50 : 0, FOREVER_MS));
		EXPECT_STREQ("none", next_cqe(&self->ring));
	}
}

TEST_F(enter, min_wait_without_a_timeout_is_the_timeout)
{
	long long start = now_ms();

	EXPECT_EQ(-ETIME, enter_min_wait(&self->ring, 1, 100, 0));
	EXPECT_LE(100, now_ms() - start);
}

TEST_F(enter, timeout_ends_the_wait_after_min_wait)
{
	long long start = now_ms();

	EXPECT_EQ(-ETIME, enter_min_wait(&self->ring, 1, 50, 200));
	EXPECT_LE(200, now_ms() - start);
	/* A timeout shorter than min_wait expires at its end. */
	start = now_ms();
	EXPECT_EQ(-ETIME, enter_min_wait(&self->ring, 1, 200, 50));
	EXPECT_LE(200, now_ms() - start);
}

TEST_F(enter, sq_polling_flags_are_ignored_without_sqpoll)
{
	ASSERT_NE(NULL, uring_nop(&self->ring, 1));
	EXPECT_EQ(1, uring_enter(&self->ring, uring_publish(&self->ring), 0,
				 IORING_ENTER_SQ_WAKEUP | IORING_ENTER_SQ_WAIT |
				 IORING_ENTER_NO_IOWAIT));
	EXPECT_STREQ("1 0", next_cqe(&self->ring));
}

TEST_F(enter, ext_arg_reg_faults_without_registered_memory)
{
	const unsigned int flags = WAIT_EXT | IORING_ENTER_EXT_ARG_REG;

	EXPECT_EQ(-EFAULT, uring_enter_arg(&self->ring, 0, 1, flags, NULL,
					   sizeof(struct io_uring_reg_wait)));
	EXPECT_EQ(-EFAULT, uring_enter_arg(&self->ring, 0, 1, flags, (void *)64,
					   sizeof(struct io_uring_reg_wait)));
	EXPECT_EQ(-EINVAL, uring_enter_arg(&self->ring, 0, 1, flags, NULL,
					   sizeof(struct io_uring_getevents_arg)));
	/* Without EXT_ARG the argument is not read. */
	EXPECT_EQ(0, uring_enter_arg(&self->ring, 0, 0, WAIT | IORING_ENTER_EXT_ARG_REG,
				     NULL, 0));
}

TEST_F(enter, registered_ring_flag_is_refused)
{
	/* io_uring searches for the ring and finds none. */
	EXPECT_EQ(on_io_uring() ? -EBADF : -EINVAL,
		  uring_enter(&self->ring, 0, 0, IORING_ENTER_REGISTERED_RING));
}

TEST_HARNESS_MAIN
