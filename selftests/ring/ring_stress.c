// SPDX-License-Identifier: GPL-2.0
/*
 * Many users of rings at once, for a bounded time. The counts must add up, and the kernel log
 * must stay clean.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include "ring_test.h"

#define STRESS_MS 1500
#define THREADS 4
#define ENTRIES 32

static int stop;

static bool stopped(void)
{
	return __atomic_load_n(&stop, __ATOMIC_ACQUIRE);
}

static void run_for(unsigned int ms)
{
	sleep_ms(ms);
	__atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
}

/* A ring that several threads use. */
struct shared {
	struct uring ring;
	pthread_mutex_t lock;
	unsigned long long sent, sum_sent, taken, errors;
	pthread_t threads[THREADS];
};

static void start(struct shared *s, void *(*run)(void *))
{
	for (int i = 0; i < THREADS; i++)
		pthread_create(&s->threads[i], NULL, run, s);
}

static void join(struct shared *s)
{
	for (int i = 0; i < THREADS; i++)
		pthread_join(s->threads[i], NULL);
}

static void *submit_locked(void *arg)
{
	struct shared *s = arg;
	unsigned int seed = (unsigned long)pthread_self() >> 12;

	do {
		int filled = 0, ret;

		pthread_mutex_lock(&s->lock);
		for (int nr = 1 + rand_r(&seed) % 8; nr; nr--) {
			if (!uring_nop(&s->ring, s->sent + 1))
				break;
			s->sum_sent += ++s->sent;
			filled++;
		}
		ret = uring_submit(&s->ring);
		if (ret != filled)
			s->errors++;
		pthread_mutex_unlock(&s->lock);
	} while (!stopped());
	return NULL;
}

/* Several callers race for the same entries; each entry goes to one. */
static void *submit_unlocked(void *arg)
{
	struct shared *s = arg;
	unsigned int seed = (unsigned long)pthread_self() >> 12;

	do {
		int ret = uring_enter(&s->ring, 1 + rand_r(&seed) % ENTRIES, 0, 0);

		if (ret < 0)
			__atomic_add_fetch(&s->errors, 1, __ATOMIC_RELAXED);
		else
			__atomic_add_fetch(&s->taken, ret, __ATOMIC_RELAXED);
	} while (!stopped());
	return NULL;
}

struct sum {
	unsigned long long nr, total;
};

static void reap(struct uring *ring, struct sum *sum)
{
	struct io_uring_cqe *cqe;

	while ((cqe = uring_peek(ring))) {
		sum->nr++;
		sum->total += cqe->user_data;
		uring_advance(ring, 1);
	}
}

/* Kept completions count too. */
static void reap_all(struct uring *ring, struct sum *sum)
{
	do {
		reap(ring, sum);
		uring_enter(ring, 0, 0, IORING_ENTER_GETEVENTS);
	} while (uring_ready(ring));
}

/* Ends the submitters. Each of their entries has one completion, seen before or left. */
static void finish(struct __test_metadata *_metadata, struct shared *s, struct sum *seen)
{
	run_for(0);
	join(s);
	reap_all(&s->ring, seen);
	EXPECT_EQ(0, s->errors);
	EXPECT_LT(0, s->sent);
	EXPECT_EQ(s->sent, seen->nr);
	EXPECT_EQ(s->sum_sent, seen->total);
}

TEST(submitters_that_take_turns_lose_nothing)
{
	static struct shared s = { .lock = PTHREAD_MUTEX_INITIALIZER };
	long long end = now_ms() + STRESS_MS;
	struct sum seen = {};

	ASSERT_EQ(0, uring_open(&s.ring, ENTRIES));
	start(&s, submit_locked);
	while (now_ms() < end) {
		int ret = enter_timeout(&s.ring, 8, 100);

		EXPECT_TRUE(!ret || ret == -ETIME) {
			TH_LOG("wait returned %s", result_name(ret));
		}
		reap(&s.ring, &seen);
	}
	finish(_metadata, &s, &seen);
}

TEST(submitters_that_race_for_entries_lose_nothing)
{
	static struct shared s;
	long long end = now_ms() + STRESS_MS;
	struct sum seen = {};

	ASSERT_EQ(0, uring_open(&s.ring, ENTRIES));
	start(&s, submit_unlocked);
	while (now_ms() < end) {
		while (uring_nop(&s.ring, s.sent + 1))
			s.sum_sent += ++s.sent;
		uring_publish(&s.ring);
		reap(&s.ring, &seen);
	}
	while (uring_load(s.ring.sq.head) != s.ring.sq.filled && now_ms() < end + HANG_MS)
		sleep_ms(1);
	finish(_metadata, &s, &seen);
	EXPECT_EQ(s.sent, s.taken);
	EXPECT_EQ(0, uring_load(s.ring.sq.dropped));
}

struct opener {
	pthread_t thread;
	unsigned long long rings, errors;
};

static void *open_and_close(void *arg)
{
	struct opener *o = arg;
	int event = eventfd(0, EFD_NONBLOCK);

	do {
		struct uring ring = {};
		unsigned int entries = 1 << o->rings % 8;

		if (uring_open(&ring, entries)) {
			o->errors++;
			continue;
		}
		uring_register_eventfd(&ring, event);
		for (int i = 0; i < 3; i++)
			if (uring_nop(&ring, i) && uring_submit(&ring) != 1)
				o->errors++;
		/* In either order, with and without an eventfd. */
		if (o->rings & 1)
			uring_unregister_eventfd(&ring);
		if (o->rings & 2)
			close(ring.fd);
		uring_munmap(&ring);
		if (!(o->rings & 2))
			close(ring.fd);
		o->rings++;
	} while (!stopped());
	close(event);
	return NULL;
}

TEST(rings_can_come_and_go)
{
	struct opener openers[THREADS] = {};

	for (int i = 0; i < THREADS; i++)
		pthread_create(&openers[i].thread, NULL, open_and_close, &openers[i]);
	run_for(STRESS_MS);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(openers[i].thread, NULL);
		EXPECT_LT(0, openers[i].rings);
		EXPECT_EQ(0, openers[i].errors);
	}
}

/* Every child inherits the ring and its mappings, uses them, and exits. */
TEST(children_can_use_an_inherited_ring)
{
	long long end = now_ms() + STRESS_MS;
	struct uring ring = {};
	int children = 0;

	ASSERT_EQ(0, uring_open(&ring, ENTRIES));
	while (now_ms() < end) {
		int status;
		pid_t pid = fork();

		if (!pid) {
			if (!uring_nop(&ring, children) || uring_submit(&ring) != 1)
				_exit(1);
			if (children & 1)
				uring_close(&ring);
			_exit(0);
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_EQ(0, status);
		ASSERT_NE(NULL, uring_peek(&ring));
		ASSERT_EQ(children, uring_peek(&ring)->user_data);
		uring_advance(&ring, 1);
		ring.sq.filled++;
		children++;
	}
	EXPECT_LT(0, children);
}

static void *wait_and_submit(void *arg)
{
	struct shared *s = arg;

	for (;;) {
		uring_enter(&s->ring, ENTRIES, 0, 0);
		enter_timeout(&s->ring, 2 * ENTRIES, 5);
	}
	return NULL;
}

static void *churn(void *arg)
{
	struct shared *s = arg;
	int event = eventfd(0, EFD_NONBLOCK);

	for (unsigned int i = 0;; i++) {
		uring_register_eventfd(&s->ring, event);
		uring_store(s->ring.sq.tail, uring_load(s->ring.sq.head) + i % ENTRIES);
		uring_store(s->ring.cq.head, uring_load(s->ring.cq.tail));
		uring_unregister_eventfd(&s->ring);
	}
	return NULL;
}

TEST(processes_can_be_killed_while_they_submit)
{
	long long end = now_ms() + STRESS_MS;
	unsigned int seed = 5;
	int killed = 0;

	while (now_ms() < end) {
		int status;
		pid_t pid = fork();

		if (!pid) {
			static struct shared s;
			pthread_t thread;

			if (uring_open(&s.ring, ENTRIES))
				_exit(1);
			for (int i = 0; i < 2; i++)
				pthread_create(&thread, NULL, wait_and_submit, &s);
			churn(&s);
		}
		sleep_ms(5 + rand_r(&seed) % 40);
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_TRUE(WIFSIGNALED(status)) {
			TH_LOG("the child ended with 0x%x before it was killed", status);
		}
		killed++;
	}
	EXPECT_LT(0, killed);
}

static void *use_until_closed(void *arg)
{
	struct shared *s = arg;
	int ret;

	do {
		uring_enter(&s->ring, 1, 0, 0);
		ret = enter_timeout(&s->ring, 1, 2);
	} while (!ret || ret == -ETIME);
	if (ret != -EBADF)
		__atomic_add_fetch(&s->errors, 1, __ATOMIC_RELAXED);
	return NULL;
}

TEST(ring_can_be_closed_under_its_users)
{
	long long end = now_ms() + STRESS_MS;

	while (now_ms() < end) {
		struct shared s = {};

		ASSERT_EQ(0, uring_open(&s.ring, ENTRIES));
		start(&s, use_until_closed);
		sleep_ms(5);
		close(s.ring.fd);
		join(&s);
		uring_munmap(&s.ring);
		EXPECT_EQ(0, s.errors);
	}
}

TEST_HARNESS_MAIN
