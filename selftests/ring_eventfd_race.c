// SPDX-License-Identifier: GPL-2.0
/*
 * A ring's eventfd changes while another thread posts completions: every change
 * succeeds, takes effect for the very next submission, and a signal always
 * means that a completion was posted.
 */
#include <pthread.h>
#include <sys/eventfd.h>
#include "ring_test.h"

#define RACE_MS 2000

/* Posts and reaps one completion at a time until told to stop. */
struct poster {
	pthread_t thread;
	struct uring *ring;
	bool running;
	int stop;
	unsigned long long calls, posted, errors;
};

static void *poster_main(void *arg)
{
	struct poster *p = arg;

	while (!__atomic_load_n(&p->stop, __ATOMIC_ACQUIRE)) {
		if (!uring_nop(p->ring, p->posted) || uring_submit(p->ring) != 1)
			p->errors++;
		p->posted += uring_reap(p->ring);
		__atomic_store_n(&p->calls, p->calls + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void poster_start(struct poster *p, struct uring *ring)
{
	*p = (struct poster){ .ring = ring };
	p->running = !pthread_create(&p->thread, NULL, poster_main, p);
}

static void poster_stop(struct poster *p)
{
	if (!p->running)
		return;
	__atomic_store_n(&p->stop, 1, __ATOMIC_RELEASE);
	pthread_join(p->thread, NULL);
	p->running = false;
}

/* Until a submission that began after this call has returned. */
static bool next_submission(struct poster *p)
{
	unsigned long long seen = __atomic_load_n(&p->calls, __ATOMIC_ACQUIRE);
	long long end = now_ms() + 10000;

	while (__atomic_load_n(&p->calls, __ATOMIC_ACQUIRE) < seen + 2)
		if (now_ms() > end)
			return false;
	return true;
}

static unsigned long long count(int fd)
{
	unsigned long long value;

	return read(fd, &value, sizeof(value)) == sizeof(value) ? value : 0;
}

FIXTURE(change)
{
	struct uring ring;
	struct poster poster;
	int fd;
};

FIXTURE_VARIANT(change)
{
	unsigned int model;
};

FIXTURE_VARIANT_ADD(change, rcu)
{
	.model = MINIRING_NOTIFY_RCU,
};

FIXTURE_VARIANT_ADD(change, spinlock)
{
	.model = MINIRING_NOTIFY_SPINLOCK,
};

FIXTURE_VARIANT_ADD(change, quiesce)
{
	.model = MINIRING_NOTIFY_QUIESCE,
};

FIXTURE_SETUP(change)
{
	if (on_io_uring() && variant->model)
		SKIP(return, "io_uring has one notify model");
	self->ring.model = variant->model;
	ASSERT_EQ(0, uring_open(&self->ring, 8));
	self->fd = eventfd(0, EFD_NONBLOCK);
	ASSERT_LE(0, self->fd);
	poster_start(&self->poster, &self->ring);
	ASSERT_TRUE(self->poster.running);
}

FIXTURE_TEARDOWN(change)
{
	poster_stop(&self->poster);
	uring_close(&self->ring);
	close(self->fd);
}

TEST_F(change, without_delay_never_fails)
{
	long long end = now_ms() + RACE_MS;
	unsigned long long cycles = 0;

	while (now_ms() < end) {
		ASSERT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
		ASSERT_EQ(-EBUSY, uring_register_eventfd(&self->ring, self->fd));
		ASSERT_EQ(0, uring_unregister_eventfd(&self->ring));
		ASSERT_EQ(-ENXIO, uring_unregister_eventfd(&self->ring));
		cycles++;
	}
	/* Changes without a pause may keep it from posting, but not for good. */
	EXPECT_TRUE(next_submission(&self->poster));
	poster_stop(&self->poster);
	TH_LOG("%llu cycles, %llu completions", cycles, self->poster.posted);
	EXPECT_LT(0, cycles);
	EXPECT_EQ(0, self->poster.errors);
	EXPECT_GE(self->poster.posted, count(self->fd)) {
		TH_LOG("more signals than completions");
	}

	/* And what is left behind is a ring without an eventfd. */
	uring_nop(&self->ring, 1);
	ASSERT_EQ(1, uring_submit(&self->ring));
	EXPECT_EQ(0, count(self->fd));
	EXPECT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
	uring_nop(&self->ring, 2);
	ASSERT_EQ(1, uring_submit(&self->ring));
	EXPECT_EQ(1, count(self->fd));
}

TEST_F(change, holds_for_the_next_submission)
{
	long long end = now_ms() + RACE_MS;
	unsigned long long cycles = 0;

	while (now_ms() < end) {
		ASSERT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
		ASSERT_TRUE(next_submission(&self->poster));
		ASSERT_LT(0, count(self->fd)) {
			TH_LOG("registered, yet a submission was not signalled");
		}
		ASSERT_EQ(0, uring_unregister_eventfd(&self->ring));
		/* Signals that were on their way may still arrive, so one more. */
		ASSERT_TRUE(next_submission(&self->poster));
		count(self->fd);
		ASSERT_TRUE(next_submission(&self->poster));
		ASSERT_EQ(0, count(self->fd)) {
			TH_LOG("unregistered, yet a submission was signalled");
		}
		cycles++;
	}
	poster_stop(&self->poster);
	TH_LOG("%llu cycles, %llu completions", cycles, self->poster.posted);
	EXPECT_LT(0, cycles);
	EXPECT_EQ(0, self->poster.errors);
}

TEST_F(change, to_another_eventfd_moves_the_signals)
{
	long long end = now_ms() + RACE_MS;
	int fds[2] = { self->fd, eventfd(0, EFD_NONBLOCK) };
	unsigned int now = 0;

	ASSERT_EQ(0, uring_register_eventfd(&self->ring, fds[now]));
	while (now_ms() < end) {
		ASSERT_EQ(0, uring_unregister_eventfd(&self->ring));
		now ^= 1;
		ASSERT_EQ(0, uring_register_eventfd(&self->ring, fds[now]));
		ASSERT_TRUE(next_submission(&self->poster));
		ASSERT_LT(0, count(fds[now]));
		count(fds[!now]);
		ASSERT_TRUE(next_submission(&self->poster));
		ASSERT_EQ(0, count(fds[!now])) {
			TH_LOG("the one before still got a signal");
		}
	}
	poster_stop(&self->poster);
	EXPECT_EQ(0, self->poster.errors);
}

/* Each eventfd is gone from this process as soon as it is registered. */
TEST_F(change, of_eventfds_that_only_the_ring_holds)
{
	long long end = now_ms() + RACE_MS / 2;

	while (now_ms() < end) {
		int fd = eventfd(0, 0);

		ASSERT_EQ(0, uring_register_eventfd(&self->ring, fd));
		close(fd);
		ASSERT_EQ(0, uring_unregister_eventfd(&self->ring));
	}
	poster_stop(&self->poster);
	EXPECT_EQ(0, self->poster.errors);
}

struct changer {
	pthread_t thread;
	struct uring *ring;
	int fd, stop;
	unsigned long long registered, unregistered, other;
};

static void *changer_main(void *arg)
{
	struct changer *c = arg;

	while (!__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE)) {
		int ret = uring_register_eventfd(c->ring, c->fd);

		c->registered += !ret;
		c->other += ret && ret != -EBUSY;
		ret = uring_unregister_eventfd(c->ring);
		c->unregistered += !ret;
		c->other += ret && ret != -ENXIO;
	}
	return NULL;
}

TEST_F(change, by_several_threads_adds_up)
{
	struct changer changers[3];
	unsigned long long registered = 0, unregistered = 0;
	int left;

	for (int i = 0; i < 3; i++) {
		changers[i] = (struct changer){ .ring = &self->ring, .fd = self->fd };
		pthread_create(&changers[i].thread, NULL, changer_main, &changers[i]);
	}
	sleep_ms(RACE_MS / 2);
	for (int i = 0; i < 3; i++) {
		__atomic_store_n(&changers[i].stop, 1, __ATOMIC_RELEASE);
		pthread_join(changers[i].thread, NULL);
		EXPECT_EQ(0, changers[i].other);
		registered += changers[i].registered;
		unregistered += changers[i].unregistered;
	}
	poster_stop(&self->poster);
	EXPECT_EQ(0, self->poster.errors);
	left = uring_unregister_eventfd(&self->ring);
	EXPECT_EQ(registered, unregistered + !left);
	EXPECT_TRUE(left == 0 || left == -ENXIO);
}

TEST_F(change, disabled_in_the_ring_is_seen_by_the_next_submission)
{
	long long end = now_ms() + RACE_MS / 2;

	ASSERT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
	while (now_ms() < end) {
		uring_store(self->ring.cq.flags, IORING_CQ_EVENTFD_DISABLED);
		ASSERT_TRUE(next_submission(&self->poster));
		count(self->fd);
		ASSERT_TRUE(next_submission(&self->poster));
		ASSERT_EQ(0, count(self->fd));
		uring_store(self->ring.cq.flags, 0);
		ASSERT_TRUE(next_submission(&self->poster));
		ASSERT_LT(0, count(self->fd));
	}
	poster_stop(&self->poster);
}

TEST_HARNESS_MAIN
