// SPDX-License-Identifier: GPL-2.0
/*
 * Queued static keys for a bounded time. The kernel's own functions change the same key,
 * modules come and go with keys queued, and other threads run the code. A caller that
 * requested a state finds that state when its apply is over.
 *
 * The kernel's functions warn if one caller disables a key that another enables. So
 * callers that share a key here request the same state. The kernel's functions also
 * read the count before they take the jump label mutex. The count 0 is stored
 * before the code is patched. So a second caller that disables the key returns
 * early, with branches still taken. The immediate backend can also return early,
 * because it uses these functions. An enable stores 1 after the patching, and the
 * other backends read the count under the mutex. So the test checks an early
 * caller's count at once, and the code when both callers have returned.
 *
 * Needs miniring.ko and debugfs.
 */
#include <pthread.h>
#include "keys.h"

#define STRESS_SECONDS	3

/* State shared by two callers. */
static struct {
	pthread_barrier_t turn;
	time_t end;
	bool over;
} both;

/* One caller: its requests for off and on, and their results. */
struct caller {
	const char *orders[2];
	bool decides, waits_for_off;
	int rounds, failures;
};

static void *agree(void *arg)
{
	struct caller *caller = arg;

	for (;;) {
		if (caller->decides)
			both.over = seconds() >= both.end;
		pthread_barrier_wait(&both.turn);
		if (both.over)
			return NULL;
		for (int on = 1; on >= 0; on--) {
			int wanted = on ? ON(MANY) : OFF;

			caller->failures += command(caller->orders[on]) != 0;
			if (on || caller->waits_for_off)
				caller->failures += state("many") != wanted;
			else
				caller->failures += state("many") >= ON(0);
			pthread_barrier_wait(&both.turn);
			caller->failures += state("many") != wanted;
			pthread_barrier_wait(&both.turn);
		}
		caller->rounds++;
	}
}

TEST_F(keys, queued_and_immediate_requests_for_one_key_agree)
{
	struct caller callers[2] = {
		{
			.orders = { "queue_off many\napply", "queue_on many\napply" },
			.decides = true,
			.waits_for_off = !ON_BACKEND("immediate"),
		},
		{ .orders = { "off many", "on many" } },
	};
	pthread_t threads[2];

	both.end = seconds() + STRESS_SECONDS;
	ASSERT_EQ(0, pthread_barrier_init(&both.turn, NULL, 2));
	for (int i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, agree, &callers[i]));
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		EXPECT_EQ(0, callers[i].failures);
		EXPECT_LT(0, callers[i].rounds);
	}
	pthread_barrier_destroy(&both.turn);
	EXPECT_EQ(OFF, state("many"));
}

/* Loads a module that queues one of its own keys, in each possible way. */
struct loader {
	time_t end;
	int loads, failures;
};

static bool load_once(int way)
{
	static const char * const parameters[] = { "queue=1 fail=1", "queue=1 apply=1", "queue=1" };
	bool right = true;
	int err = load("miniring_keys_user", parameters[way]);

	if (!way)
		return err == -ECANCELED;
	if (err)
		return false;
	/* Applied in the init of the module, or by the first apply after it. */
	if (way == 2 && command("apply"))
		right = false;
	if (state_of(USER_STATE, "own") != ON(1))
		right = false;
	return !unload("miniring_keys_user") && right;
}

static void *load_and_unload(void *arg)
{
	struct loader *loader = arg;

	while (seconds() < loader->end) {
		for (int way = 0; way < 3; way++)
			loader->failures += !load_once(way);
		/* Unloaded with its key still queued, unless another apply took it. */
		loader->failures += load("miniring_keys_user", "queue=1") != 0;
		loader->failures += unload("miniring_keys_user") != 0;
		loader->loads++;
	}
	return NULL;
}

TEST_F(keys, modules_can_unload_with_keys_queued)
{
	struct loader loader = { .end = seconds() + STRESS_SECONDS };
	pthread_t thread;
	int rounds = 0;
	long applies;

	ASSERT_EQ(0, pthread_create(&thread, NULL, load_and_unload, &loader));
	while (seconds() < loader.end) {
		EXPECT_EQ(0, command("queue_on many\nqueue_on shared\napply"));
		EXPECT_EQ(ON(MANY), state("many"));
		EXPECT_EQ(ON(1), state("shared"));
		EXPECT_EQ(0, command("queue_off shared\nqueue_off many\napply"));
		EXPECT_EQ(OFF, state("many"));
		EXPECT_EQ(OFF, state("shared"));
		rounds++;
	}
	pthread_join(thread, NULL);
	EXPECT_EQ(0, loader.failures);
	EXPECT_LT(0, loader.loads);
	EXPECT_LT(0, rounds);
	/* No request of the modules is left: every request was applied or dropped. */
	applies = stat_of("applies");
	EXPECT_EQ(0, command("apply"));
	EXPECT_EQ(applies, stat_of("applies"));
}

/* Runs the code that is being changed, and counts impossible results. */
struct runner {
	bool ends;
	long runs, failures;
};

static void *run(void *arg)
{
	struct runner *runner = arg;

	while (!__atomic_load_n(&runner->ends, __ATOMIC_RELAXED)) {
		int taken = state("many");

		/* The count is -1 on the way to 1. Any other negative count is an error. */
		if (taken < 0)
			runner->failures += taken < -ON(0) || taken > MANY - ON(0);
		else
			runner->failures += taken > ON(MANY);
		runner->runs++;
	}
	return NULL;
}

TEST_F(keys, code_runs_while_it_is_changed)
{
	time_t end = seconds() + STRESS_SECONDS;
	struct runner runner = {};
	pthread_t thread;
	int rounds = 0;

	ASSERT_EQ(0, pthread_create(&thread, NULL, run, &runner));
	while (seconds() < end) {
		EXPECT_EQ(0, command("queue_on many\nqueue_on left\napply"));
		EXPECT_EQ(ON(MANY), state("many"));
		EXPECT_EQ(ON(2), state("left"));
		EXPECT_EQ(0, command("queue_off left\nqueue_off many\napply"));
		EXPECT_EQ(OFF, state("many"));
		EXPECT_EQ(OFF, state("left"));
		/* Change keys by the kernel's own functions. */
		EXPECT_EQ(0, command("on many"));
		EXPECT_EQ(0, command("off many"));
		rounds++;
	}
	__atomic_store_n(&runner.ends, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT_EQ(0, runner.failures);
	EXPECT_LT(0, runner.runs);
	EXPECT_LT(0, rounds);
}

TEST_HARNESS_MAIN
