// SPDX-License-Identifier: GPL-2.0
/*
 * Queued static keys with several callers at once, with immediate changes by the kernel, with
 * CPUs that come and go, and with another runnable task. Needs miniring.ko and debugfs.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include "keys.h"

struct caller {
	const char *key;
	int failures;
};

/* The requests of this caller are done after its apply, whatever other callers do. */
static void *call(void *arg)
{
	struct caller *caller = arg;
	char on[64], off[64];
	time_t start = seconds();
	int i;

	snprintf(on, sizeof(on), "queue_on %s\napply", caller->key);
	snprintf(off, sizeof(off), "queue_off %s\napply", caller->key);
	for (i = 0; i < 100 && !time_is_up(start); i++) {
		if (command(on) || state(caller->key) != ON(2))
			caller->failures++;
		if (command(off) || state(caller->key) != OFF)
			caller->failures++;
	}
	return NULL;
}

TEST_F(keys, two_callers_each_find_their_own_requests_applied)
{
	struct caller callers[2] = { { .key = "left" }, { .key = "right" } };
	pthread_t threads[2];
	int i;

	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, call, &callers[i]));
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	EXPECT_EQ(0, callers[0].failures);
	EXPECT_EQ(0, callers[1].failures);
}

/* Toggles one key immediately, beside queued changes of another. */
static void *toggle_immediately(void *arg)
{
	struct caller *caller = arg;
	time_t start = seconds();
	int i;

	for (i = 0; i < 100 && !time_is_up(start); i++) {
		if (command("on right") || state("right") != ON(2))
			caller->failures++;
		if (command("off right") || state("right") != OFF)
			caller->failures++;
	}
	return NULL;
}

TEST_F(keys, queued_and_immediate_callers_do_not_disturb_each_other)
{
	struct caller callers[2] = { { .key = "left" }, { .key = "right" } };
	pthread_t threads[2];

	ASSERT_EQ(0, pthread_create(&threads[0], NULL, call, &callers[0]));
	ASSERT_EQ(0, pthread_create(&threads[1], NULL, toggle_immediately, &callers[1]));
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	EXPECT_EQ(0, callers[0].failures);
	EXPECT_EQ(0, callers[1].failures);
}

/* Two callers that change one key must agree on a state, for all branches. */
struct fighter {
	const char *commands;
	int rounds, failures;
};

static void *fight(void *arg)
{
	struct fighter *fighter = arg;
	time_t start = seconds();

	for (; fighter->rounds < 200 && (fighter->rounds < 10 || !time_is_up(start));
	     fighter->rounds++)
		fighter->failures += command(fighter->commands) != 0;
	return NULL;
}

TEST_F_TIMEOUT(keys, disagreeing_callers_leave_all_branches_alike, 300)
{
	struct fighter fighters[2] = {
		{ .commands = "queue_on many\nqueue_on left\napply" },
		{ .commands = "queue_off many\nqueue_off left\napply" },
	};
	pthread_t threads[2];
	int i, seen;

	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, fight, &fighters[i]));
	for (i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		/* Each caller makes progress, at any speed. */
		EXPECT_LT(5, fighters[i].rounds);
		EXPECT_EQ(0, fighters[i].failures);
	}
	seen = state("many");
	if (seen != OFF)
		EXPECT_EQ(ON(MANY), seen);
	seen = state("left");
	if (seen != OFF)
		EXPECT_EQ(ON(2), seen);
}

#define HALF_WAYS	200

static pthread_barrier_t both_ready;
static bool half_way_ends;

static void *enable_when_off(void *arg)
{
	for (;;) {
		pthread_barrier_wait(&both_ready);
		if (half_way_ends)
			return arg;
		command("on many");
		pthread_barrier_wait(&both_ready);
	}
}

/*
 * The kernel warns if a key is disabled during an enable. The kernel also warns if the key is
 * disabled between two checks by a caller that enables an enabled key. So the key is off at
 * the start.
 */
TEST_F(keys, request_survives_an_immediate_enable_half_way)
{
	time_t start = seconds();
	pthread_t thread;
	int i, seen;

	half_way_ends = false;
	ASSERT_EQ(0, pthread_barrier_init(&both_ready, NULL, 2));
	ASSERT_EQ(0, pthread_create(&thread, NULL, enable_when_off, NULL));
	for (i = 0; i < HALF_WAYS && !time_is_up(start); i++) {
		pthread_barrier_wait(&both_ready);
		EXPECT_EQ(0, command("queue_off many\napply"));
		pthread_barrier_wait(&both_ready);
		seen = state("many");
		if (seen != OFF)
			EXPECT_EQ(ON(MANY), seen);
		EXPECT_EQ(0, command("queue_off many\napply"));
		EXPECT_EQ(OFF, state("many"));
	}
	half_way_ends = true;
	pthread_barrier_wait(&both_ready);
	pthread_join(thread, NULL);
	pthread_barrier_destroy(&both_ready);
}

#define ONLINE	"/sys/devices/system/cpu/cpu1/online"

static bool hotplug_ends;

/* Counts the offline and online cycles of the CPU. */
static void *hotplug(void *arg)
{
	int *cycles = arg;

	while (!__atomic_load_n(&hotplug_ends, __ATOMIC_RELAXED)) {
		bool went = !put(ONLINE, "0");

		*cycles += !put(ONLINE, "1") && went;
	}
	return NULL;
}

TEST_F(keys, keys_change_while_a_cpu_comes_and_goes)
{
	time_t start = seconds();
	int i, cycles = 0;
	pthread_t thread;

	if (access(ONLINE, W_OK))
		SKIP(return, "no second CPU to take away");
	hotplug_ends = false;
	ASSERT_EQ(0, pthread_create(&thread, NULL, hotplug, &cycles));
	for (i = 0; i < 30 && !time_is_up(start); i++) {
		EXPECT_EQ(0, command("queue_on many\napply"));
		EXPECT_EQ(ON(MANY), state("many"));
		EXPECT_EQ(0, command("queue_off many\napply"));
		EXPECT_EQ(OFF, state("many"));
	}
	__atomic_store_n(&hotplug_ends, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT_LT(0, cycles);
	TH_LOG("%d rounds, in which the CPU went %d times", i, cycles);
}

#define ATTEMPTS	10
#define MANY_KEYS	DEBUGFS "miniring_many_keys"

/* Reads the clock on the first CPU, which also applies. */
static bool watching, watch_ends;
static double longest_ms;
static unsigned long looks;

static void *watch(void *arg)
{
	double last = now_ns() / 1e6, now;

	while (!__atomic_load_n(&watch_ends, __ATOMIC_RELAXED)) {
		now = now_ns() / 1e6;
		if (__atomic_load_n(&watching, __ATOMIC_RELAXED) && now - last > longest_ms)
			longest_ms = now - last;
		last = now;
		__atomic_fetch_add(&looks, 1, __ATOMIC_RELEASE);
	}
	return arg;
}

/* Makes @change, and returns how long that took, in milliseconds; negative if it failed. */
static double watched(const char *change)
{
	double start = now_ns() / 1e6, ms;
	unsigned long seen;

	longest_ms = 0;
	__atomic_store_n(&watching, true, __ATOMIC_RELAXED);
	if (put(MANY_KEYS, change))
		return -1;
	ms = now_ns() / 1e6 - start;
	/* A gap is noticed at its end, by the next read of the clock. */
	seen = __atomic_load_n(&looks, __ATOMIC_ACQUIRE);
	while (__atomic_load_n(&looks, __ATOMIC_ACQUIRE) < seen + 2)
		sched_yield();
	__atomic_store_n(&watching, false, __ATOMIC_RELAXED);
	return ms;
}

/*
 * An apply of many batches does not keep its CPU: another runnable task runs in between.
 * "stopped" applies in one step, by design.
 *
 * A busy host may stop the CPU of the VM for longer than a batch takes. One attempt without that is
 * enough: an apply that keeps its CPU fails in each.
 */
TEST_F_TIMEOUT(keys, apply_lets_other_tasks_run_between_batches, 300)
{
	bool immediate = ON_BACKEND("immediate");
	const char * const changes[] = {
		immediate ? "queued on 500" : "queued on 20000",
		immediate ? "queued off 500" : "queued off 20000",
	};
	pthread_t thread;
	cpu_set_t first;
	double ms;

	if (ON_BACKEND("stopped"))
		SKIP(return, "there is nothing in between");
	ASSERT_EQ(0, load("miniring_many_keys", ""));
	CPU_ZERO(&first);
	CPU_SET(0, &first);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(first), &first));
	watching = false;
	watch_ends = false;
	ASSERT_EQ(0, pthread_create(&thread, NULL, watch, NULL));
	usleep(20000);
	for (int i = 0; i < ATTEMPTS; i++) {
		ms = watched(changes[i % 2]);
		if (ms < 0 || longest_ms < ms / 4)
			break;
	}
	__atomic_store_n(&watch_ends, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT_LT(0, ms);
	EXPECT_LT(0, longest_ms);
	EXPECT_LT(longest_ms, ms / 4)
		TH_LOG("the longest of %.0f ms without the CPU: %.1f ms", ms, longest_ms);
	EXPECT_EQ(0, unload("miniring_many_keys"));
}

TEST_HARNESS_MAIN
