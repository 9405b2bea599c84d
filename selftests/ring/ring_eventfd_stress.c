// SPDX-License-Identifier: GPL-2.0
/*
 * Completions from several threads, from timers and from workers, on a ring whose
 * eventfd comes and goes, under each notify model.
 *
 * While an eventfd stays registered, each completion that is posted alone, as here,
 * signals the eventfd once. A consumer that sleeps until the signal finds every
 * completion. An asynchronous registration is signalled for each completion of a
 * worker, and never for an inline completion. Without a registration no eventfd is
 * signalled. There are never more signals than completions.
 *
 * io_uring posts completions in batches, and so signals less often. io_uring posts
 * before it signals, and unregistering does not wait for a poster in between. So a
 * signal may come long after its phase, and each phase has its own eventfd.
 */
#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include "ring_ops.h"
#include "ring_test.h"

#define STRESS_MS 2500
#define THREADS 3
#define ENTRIES 16
#define CQ_ENTRIES 4096
/* Limit of the requests in flight, so that no CQ overflows. */
#define IN_FLIGHT 256

enum kind {
	INLINE,		/* completed by the submitter */
	TIMER,
	WORKER,		/* that may block */
	READER,		/* of a pipe that gets data later */
	KINDS,
};

FIXTURE(eventfd)
{
	struct uring ring;
	int fd, pipe[2];
	pthread_t threads[THREADS];
	unsigned int running;
	bool stop;
	/* Protects the SQ and the numbers of requests to submit and submitted. */
	pthread_mutex_t lock;
	unsigned int kinds;
	unsigned long long quota, submitted, submitted_of[KINDS];
	/* Numbers of completions and of signals. */
	unsigned long long reaped, reaped_of[KINDS], signals, errors;
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

#define LOAD(word) __atomic_load_n(&(word), __ATOMIC_ACQUIRE)

static bool prepare(struct _test_data_eventfd *self, enum kind kind)
{
	static const struct __kernel_timespec soon = { .tv_nsec = 100000 };
	struct uring *ring = &self->ring;

	switch (kind) {
	case INLINE:
		return uring_nop(ring, kind);
	case TIMER:
		return prep_timeout(ring, &soon, 0, 0, kind);
	case WORKER:
		uring_nop(ring, kind)->flags = IOSQE_ASYNC;
		return true;
	default:
		return read_byte(ring, self->pipe[0], kind);
	}
}

/* Submits the next request, if one is left. */
static bool submit_one(struct _test_data_eventfd *self, unsigned int seed)
{
	enum kind kind;
	bool due;

	pthread_mutex_lock(&self->lock);
	kind = seed % self->kinds;
	due = self->quota && self->submitted - LOAD(self->reaped) < IN_FLIGHT;
	if (due) {
		if (!prepare(self, kind) || uring_submit(&self->ring) != 1)
			self->errors++;
		self->submitted++;
		self->submitted_of[kind]++;
		self->quota--;
	}
	pthread_mutex_unlock(&self->lock);
	if (due && kind == READER && write(self->pipe[1], "x", 1) != 1)
		__atomic_fetch_add(&self->errors, 1, __ATOMIC_RELAXED);
	return due;
}

static void *submitter(void *arg)
{
	struct _test_data_eventfd *self = arg;
	unsigned int seed = (unsigned long)pthread_self() >> 12;

	while (!LOAD(self->stop))
		if (!submit_one(self, rand_r(&seed)))
			usleep(100);
	return NULL;
}

FIXTURE_SETUP(eventfd)
{
	if (on_io_uring() && variant->model)
		SKIP(return, "io_uring has one notify model");
	self->ring.model = variant->model;
	self->ring.p.flags = IORING_SETUP_CQSIZE;
	self->ring.p.cq_entries = CQ_ENTRIES;
	ASSERT_EQ(0, uring_open(&self->ring, ENTRIES));
	self->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, pipe(self->pipe));
	ASSERT_EQ(0, pthread_mutex_init(&self->lock, NULL));
	self->kinds = KINDS;
	while (self->running < THREADS)
		ASSERT_EQ(0, pthread_create(&self->threads[self->running++], NULL, submitter,
					    self));
}

FIXTURE_TEARDOWN(eventfd)
{
	__atomic_store_n(&self->stop, true, __ATOMIC_RELEASE);
	while (self->running)
		pthread_join(self->threads[--self->running], NULL);
	uring_close(&self->ring);
	close(self->fd);
	close(self->pipe[0]);
	close(self->pipe[1]);
}

/* Reaps all completions. */
static void reap(struct _test_data_eventfd *self)
{
	struct io_uring_cqe *cqe;

	while ((cqe = uring_peek(&self->ring))) {
		const int expected[KINDS] = { [TIMER] = -ETIME, [READER] = 1 };

		if (cqe->user_data >= KINDS || cqe->res != expected[cqe->user_data])
			self->errors++;
		else
			self->reaped_of[cqe->user_data]++;
		uring_advance(&self->ring, 1);
		__atomic_fetch_add(&self->reaped, 1, __ATOMIC_RELEASE);
	}
}

/* Reads the signals and then reaps the completions. Returns false if there were more signals. */
static bool take(struct _test_data_eventfd *self)
{
	unsigned long long signals;

	if (read(self->fd, &signals, sizeof(signals)) == sizeof(signals))
		self->signals += signals;
	reap(self);
	return self->signals <= self->reaped;
}

/* Sleeps until the eventfd is signalled. Returns false after @ms. */
static bool is_signalled(struct _test_data_eventfd *self, unsigned int ms)
{
	struct pollfd fd = { .fd = self->fd, .events = POLLIN };

	return poll(&fd, 1, ms) == 1;
}

/* A late signal of an earlier phase goes to the eventfd of that phase. */
static bool renew_eventfd(struct _test_data_eventfd *self)
{
	close(self->fd);
	self->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return self->fd >= 0;
}

/*
 * Waits until all posters that saw the old registration have signalled. A poster signals
 * in the same RCU read-side critical section. With one CPU, membarrier(2) does not wait.
 */
static void wait_for_late_signals(void)
{
	syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
	sleep_ms(20);
}

static void start(struct _test_data_eventfd *self, unsigned int nr)
{
	pthread_mutex_lock(&self->lock);
	self->quota = nr;
	pthread_mutex_unlock(&self->lock);
}

static bool is_drained(struct _test_data_eventfd *self)
{
	bool drained;

	pthread_mutex_lock(&self->lock);
	drained = !self->quota && self->submitted == self->reaped;
	pthread_mutex_unlock(&self->lock);
	return drained;
}

/*
 * Waits until all requests have completed. Returns false at the limit, or after a surplus signal.
 */
static bool drain(struct _test_data_eventfd *self)
{
	long long end = now_ms() + HANG_MS;
	bool fine = true;

	while (fine && !is_drained(self)) {
		if (now_ms() > end)
			return false;
		enter_timeout(&self->ring, 1, 10);
		fine = take(self);
	}
	return fine;
}

/* Number of requests in a phase. */
#define PHASE 200

/* Waits for late signals. Returns false if the final count is not from @least to @most. */
static bool wait_for_signals(struct _test_data_eventfd *self, unsigned long long least,
			     unsigned long long most)
{
	long long end = now_ms() + HANG_MS;

	while (self->signals < least && now_ms() < end) {
		usleep(100);
		take(self);
	}
	return self->signals >= least && self->signals <= most;
}

TEST_F_TIMEOUT(eventfd, eventfd_that_stays_is_signalled_for_each_completion, 600)
{
	long long end = now_ms() + STRESS_MS;
	unsigned long long before, target;
	unsigned int rounds = 0;

	for (; now_ms() < end; rounds++) {
		/* Only the eventfd announces completions. */
		ASSERT_TRUE(renew_eventfd(self));
		ASSERT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
		before = self->signals;
		target = self->reaped + PHASE;
		start(self, PHASE);
		while (self->reaped < target) {
			ASSERT_TRUE(is_signalled(self, HANG_MS)) {
				TH_LOG("no wake with %u completions in the CQ",
				       uring_ready(&self->ring));
			}
			ASSERT_TRUE(take(self));
		}
		if (!on_io_uring())
			ASSERT_TRUE(wait_for_signals(self, before + PHASE, before + PHASE)) {
				TH_LOG("%llu signals for %u completions",
				       self->signals - before, PHASE);
			}
		ASSERT_EQ(0, uring_unregister_eventfd(&self->ring));
		take(self);
		if (!on_io_uring())
			ASSERT_EQ(before + PHASE, self->signals);
		start(self, PHASE);
		ASSERT_TRUE(drain(self));
		usleep(rounds % 4 ? 0 : 20000);
		take(self);
		ASSERT_GE(before + PHASE, self->signals) {
			TH_LOG("signals without a registration");
		}
	}
	TH_LOG("%u rounds, %llu completions, %llu signals", rounds, self->reaped, self->signals);
	EXPECT_EQ(0, self->errors);
}

/* Returns whether all requests were submitted, and those of workers have completed. */
static bool are_workers_done(struct _test_data_eventfd *self)
{
	bool done;

	pthread_mutex_lock(&self->lock);
	done = !self->quota && self->submitted_of[WORKER] == self->reaped_of[WORKER];
	pthread_mutex_unlock(&self->lock);
	return done;
}

/*
 * Sleeps on the eventfd for the completions of workers. Returns false if the
 * thread misses a completion.
 */
static bool sleep_for_workers(struct _test_data_eventfd *self)
{
	long long last = now_ms();

	while (!are_workers_done(self)) {
		/* After the last worker has completed, no further signal comes. */
		if (is_signalled(self, 20)) {
			if (!take(self))
				return false;
			last = now_ms();
		} else if (now_ms() - last > HANG_MS) {
			return false;
		}
	}
	return true;
}

TEST_F_TIMEOUT(eventfd, async_eventfd_is_signalled_for_each_worker_completion, 600)
{
	long long end = now_ms() + STRESS_MS / 2;
	unsigned int rounds = 0;

	/* Task work completes a reader, or a worker if it loses every race. */
	self->kinds = READER;
	for (; now_ms() < end || !self->reaped_of[WORKER]; rounds++) {
		unsigned long long signals = self->signals, workers = self->reaped_of[WORKER];
		unsigned long long timers = self->reaped_of[TIMER];

		ASSERT_TRUE(renew_eventfd(self));
		ASSERT_EQ(0, uring_register(&self->ring, IORING_REGISTER_EVENTFD_ASYNC, &self->fd,
					    1));
		start(self, PHASE);
		ASSERT_TRUE(sleep_for_workers(self)) {
			TH_LOG("no wake, or one too many, with %u completions in the CQ",
			       uring_ready(&self->ring));
		}
		ASSERT_TRUE(drain(self));
		workers = self->reaped_of[WORKER] - workers;
		timers = self->reaped_of[TIMER] - timers;
		/*
		 * Completions of timers are not inline; io_uring signals for
		 * workers only.
		 */
		if (!on_io_uring())
			ASSERT_TRUE(wait_for_signals(self, signals + workers,
						     signals + workers + timers)) {
				TH_LOG("%llu signals; %llu completions of workers, %llu of timers",
				       self->signals - signals, workers, timers);
			}
		ASSERT_EQ(0, uring_unregister_eventfd(&self->ring));
	}
	TH_LOG("%u rounds, %llu completions, %llu signals", rounds, self->reaped, self->signals);
	EXPECT_EQ(0, self->errors);
}

TEST_F_TIMEOUT(eventfd, async_eventfd_stays_silent_for_inline_completions, 600)
{
	long long end = now_ms() + STRESS_MS / 4;
	unsigned int rounds = 0;

	self->kinds = INLINE + 1;
	for (; now_ms() < end || !rounds; rounds++) {
		ASSERT_EQ(0, uring_register(&self->ring, IORING_REGISTER_EVENTFD_ASYNC, &self->fd,
					    1));
		start(self, PHASE);
		ASSERT_TRUE(drain(self));
		ASSERT_EQ(0, uring_unregister_eventfd(&self->ring));
	}
	wait_for_late_signals();
	take(self);
	EXPECT_EQ(0, self->signals);
	EXPECT_EQ(PHASE * rounds, self->reaped);
	EXPECT_EQ(0, self->errors);
}

/* Keeps submitting for that time, and reaps the completions. */
static bool go_on(struct _test_data_eventfd *self, unsigned int us)
{
	long long end = now_ns() + us * 1000LL;

	do {
		start(self, 1000);
		if (!take(self))
			return false;
	} while (now_ns() < end);
	return true;
}

TEST_F_TIMEOUT(eventfd, eventfd_that_changes_gets_no_extra_signal, 600)
{
	long long end = now_ms() + STRESS_MS;
	unsigned int seed = variant->model, changes = 0;
	unsigned long long before;

	while (now_ms() < end || !changes) {
		for (int i = 0; i < 10; i++, changes++) {
			ASSERT_TRUE(go_on(self, rand_r(&seed) % 1000));
			ASSERT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
			ASSERT_TRUE(go_on(self, rand_r(&seed) % 2000));
			ASSERT_EQ(0, uring_unregister_eventfd(&self->ring));
		}
		start(self, 0);
		ASSERT_TRUE(drain(self));
		wait_for_late_signals();
		take(self);
		before = self->signals;
		ASSERT_TRUE(go_on(self, 5000));
		start(self, 0);
		ASSERT_TRUE(drain(self));
		ASSERT_EQ(before, self->signals);
		ASSERT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
		start(self, 100);
		ASSERT_TRUE(is_signalled(self, HANG_MS));
		ASSERT_TRUE(drain(self));
		ASSERT_EQ(0, uring_unregister_eventfd(&self->ring));
	}
	start(self, 0);
	ASSERT_TRUE(drain(self));
	TH_LOG("%u changes, %llu completions, %llu signals", changes, self->reaped, self->signals);
	EXPECT_LT(0, self->signals);
	EXPECT_EQ(0, self->errors);
}

TEST_HARNESS_MAIN
