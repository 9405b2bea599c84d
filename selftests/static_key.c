// SPDX-License-Identifier: GPL-2.0
/*
 * Queued static keys, by the branches that code really takes: each test puts
 * requests to the keys of modules/keys_test.c and looks at the result.
 *
 * Needs miniring.ko; loads and unloads the two test modules itself, from the
 * directory above this program or the one that MINIRING_MODULES names.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "kselftest_harness.h"

#define DEBUGFS		"/sys/kernel/debug/"
#define STATS		DEBUGFS "miniring/stats"
#define COMMAND		DEBUGFS "miniring_keys_test/command"
#define STATE		DEBUGFS "miniring_keys_test/state"
#define USER_STATE	DEBUGFS "miniring_keys_user/state"
#define MANY		300

static int load(const char *module, const char *parameters)
{
	const char *dir = getenv("MINIRING_MODULES");
	char self[4096], path[4200];
	ssize_t len;
	int fd, err;

	if (!dir) {
		len = readlink("/proc/self/exe", self, sizeof(self) - 1);
		if (len < 0)
			return -errno;
		self[len] = '\0';
		dir = dirname(dirname(self));
	}
	snprintf(path, sizeof(path), "%s/%s.ko", dir, module);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = syscall(SYS_finit_module, fd, parameters, 0) ? -errno : 0;
	close(fd);
	return err;
}

static int unload(const char *module)
{
	return syscall(SYS_delete_module, module, O_NONBLOCK) ? -errno : 0;
}

/* Put commands to the test module; its errno, negative. */
static int command(const char *commands)
{
	int fd = open(COMMAND, O_WRONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, commands, strlen(commands)) < 0)
		err = -errno;
	close(fd);
	return err;
}

/* The count of a key and how many of its branches are taken, as 1000 * count
 * + taken: one number that a failing test can show.
 */
static int state_of(const char *file, const char *key)
{
	char name[64], line[256];
	int count, taken, state = -1;
	FILE *f = fopen(file, "re");

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%63s %d %d", name, &count, &taken) == 3 &&
		    !strcmp(name, key))
			state = 1000 * count + taken;
	fclose(f);
	return state;
}

#define OFF		0
#define ON(branches)	(1000 + (branches))

static int state(const char *key)
{
	return state_of(STATE, key);
}

static long stat(const char *name)
{
	char line[256];
	size_t len = strlen(name);
	long value = -1;
	FILE *f = fopen(STATS, "re");

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, name, len) && line[len] == ':')
			value = atol(line + len + 1);
	fclose(f);
	return value;
}

static bool backend_is(const char *name)
{
	char line[256], found[64] = "";
	FILE *f = fopen(STATS, "re");

	if (!f)
		return false;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "backend: %63s", found) == 1)
			break;
	fclose(f);
	return !strcmp(found, name);
}

FIXTURE(keys) {
	bool loaded;
};

FIXTURE_SETUP(keys)
{
	if (access(STATS, R_OK))
		SKIP(return, "miniring.ko is not loaded, or there is no debugfs");
	ASSERT_EQ(0, load("miniring_keys_test", ""));
	self->loaded = true;
}

FIXTURE_TEARDOWN(keys)
{
	if (!self->loaded)
		return;
	unload("miniring_keys_user");
	EXPECT_EQ(0, unload("miniring_keys_test"));
}

TEST_F(keys, start_as_they_were_defined)
{
	EXPECT_EQ(ON(2), state("on"));
	EXPECT_EQ(OFF, state("off"));
	EXPECT_EQ(OFF, state("many"));
}

TEST_F(keys, enable_takes_effect_at_the_apply)
{
	EXPECT_EQ(0, command("queue_on off"));
	EXPECT_EQ(OFF, state("off"));
	EXPECT_EQ(0, command("apply"));
	EXPECT_EQ(ON(2), state("off"));
}

TEST_F(keys, disable_takes_effect_at_the_apply)
{
	EXPECT_EQ(0, command("queue_off on"));
	EXPECT_EQ(ON(2), state("on"));
	EXPECT_EQ(0, command("apply"));
	EXPECT_EQ(OFF, state("on"));
}

TEST_F(keys, go_back_and_forth)
{
	int i;

	for (i = 0; i < 20; i++) {
		ASSERT_EQ(0, command("queue_on off\nqueue_off on\napply"));
		ASSERT_EQ(ON(2), state("off"));
		ASSERT_EQ(OFF, state("on"));
		ASSERT_EQ(0, command("queue_off off\nqueue_on on\napply"));
		ASSERT_EQ(OFF, state("off"));
		ASSERT_EQ(ON(2), state("on"));
	}
}

TEST_F(keys, last_request_wins_enable_then_disable)
{
	long entries = stat("entries"), coalesced = stat("coalesced");

	EXPECT_EQ(0, command("queue_on off\nqueue_off off\napply"));
	EXPECT_EQ(OFF, state("off"));
	EXPECT_EQ(entries, stat("entries"));
	EXPECT_EQ(coalesced + 1, stat("coalesced"));
}

TEST_F(keys, last_request_wins_disable_then_enable)
{
	EXPECT_EQ(0, command("queue_off off\nqueue_on off\napply"));
	EXPECT_EQ(ON(2), state("off"));
}

TEST_F(keys, a_thousand_requests_for_one_key_are_one)
{
	long coalesced = stat("coalesced");
	int i;

	for (i = 0; i < 500; i++)
		ASSERT_EQ(0, command("queue_on off\nqueue_off off"));
	EXPECT_EQ(0, command("queue_on off\napply"));
	EXPECT_EQ(ON(2), state("off"));
	EXPECT_EQ(coalesced + 1000, stat("coalesced"));
}

TEST_F(keys, a_request_for_what_is_so_patches_nothing)
{
	long entries = stat("entries"), keys = stat("keys");

	EXPECT_EQ(0, command("queue_on on\nqueue_off off\napply"));
	EXPECT_EQ(ON(2), state("on"));
	EXPECT_EQ(OFF, state("off"));
	EXPECT_EQ(entries, stat("entries"));
	EXPECT_EQ(keys, stat("keys"));
}

TEST_F(keys, apply_with_nothing_queued_does_nothing)
{
	long applies = stat("applies");

	EXPECT_EQ(0, command("apply\napply"));
	EXPECT_EQ(applies, stat("applies"));
}

TEST_F(keys, all_branches_of_a_key_change_together)
{
	long entries = stat("entries"), batches = stat("batches");

	EXPECT_EQ(0, command("queue_on many\napply"));
	EXPECT_EQ(ON(MANY), state("many"));
	if (backend_is("batched")) {
		EXPECT_EQ(entries + MANY, stat("entries"));
		EXPECT_EQ(batches + 2, stat("batches"));
	}
	EXPECT_EQ(0, command("queue_off many\napply"));
	EXPECT_EQ(OFF, state("many"));
}

TEST_F(keys, a_key_without_branches_changes)
{
	EXPECT_EQ(0, command("queue_on unused\napply"));
	EXPECT_EQ(1000, state("unused"));
}

TEST_F(keys, an_immediate_enable_in_between_is_kept)
{
	EXPECT_EQ(0, command("queue_on off\non off"));
	EXPECT_EQ(ON(2), state("off"));
	EXPECT_EQ(0, command("apply"));
	EXPECT_EQ(ON(2), state("off"));
}

TEST_F(keys, an_immediate_disable_in_between_is_overridden)
{
	EXPECT_EQ(0, command("queue_on on\noff on"));
	EXPECT_EQ(OFF, state("on"));
	EXPECT_EQ(0, command("apply"));
	EXPECT_EQ(ON(2), state("on"));
}

TEST_F(keys, an_immediate_change_after_the_apply_works)
{
	EXPECT_EQ(0, command("queue_on off\napply\noff off"));
	EXPECT_EQ(OFF, state("off"));
	EXPECT_EQ(0, command("inc off\ninc off\ndec off\ndec off"));
	EXPECT_EQ(OFF, state("off"));
}

TEST_F(keys, a_reference_counted_key_is_refused_and_the_others_are_not)
{
	EXPECT_EQ(0, command("inc counted\ninc counted\nqueue_on off"));
	EXPECT_EQ(-EBUSY, command("queue_off counted"));
	EXPECT_EQ(-EBUSY, command("queue_on counted"));
	EXPECT_EQ(0, command("apply"));
	EXPECT_EQ(2002, state("counted"));
	EXPECT_EQ(ON(2), state("off"));
	EXPECT_EQ(0, command("dec counted\ndec counted"));
	EXPECT_EQ(OFF, state("counted"));
}

TEST_F(keys, a_key_that_becomes_reference_counted_is_left_alone)
{
	long refused = stat("refused");

	EXPECT_EQ(0, command("inc counted\nqueue_off counted\nqueue_on off\ninc counted\napply"));
	EXPECT_EQ(2002, state("counted"));
	EXPECT_EQ(ON(2), state("off"));
	EXPECT_EQ(refused + 1, stat("refused"));
	EXPECT_EQ(0, command("dec counted\ndec counted"));
	EXPECT_EQ(OFF, state("counted"));
}

TEST_F(keys, a_key_sealed_at_boot_is_refused)
{
	if (state("sealed") < 0)
		SKIP(return, "no such key without CONFIG_HARDENED_USERCOPY");
	EXPECT_EQ(-EROFS, command("queue_on sealed"));
	EXPECT_EQ(-EROFS, command("queue_off sealed"));
}

TEST_F(keys, a_linked_key_changes_in_all_modules)
{
	long immediate = stat("immediate");

	ASSERT_EQ(0, load("miniring_keys_user", ""));
	EXPECT_EQ(0, command("queue_on shared\nqueue_on off\napply"));
	EXPECT_EQ(ON(1), state("shared"));
	EXPECT_EQ(ON(1), state_of(USER_STATE, "shared"));
	EXPECT_EQ(ON(2), state("off"));
	EXPECT_EQ(0, command("queue_off shared\napply"));
	EXPECT_EQ(OFF, state("shared"));
	EXPECT_EQ(OFF, state_of(USER_STATE, "shared"));
	if (backend_is("batched"))
		EXPECT_EQ(immediate, stat("immediate"));
}

TEST_F(keys, a_linked_key_changes_after_one_of_its_modules_went)
{
	ASSERT_EQ(0, load("miniring_keys_user", ""));
	EXPECT_EQ(0, command("queue_on shared"));
	ASSERT_EQ(0, unload("miniring_keys_user"));
	EXPECT_EQ(0, command("apply"));
	EXPECT_EQ(ON(1), state("shared"));
}

TEST_F(keys, a_module_that_loads_gets_the_state_of_a_linked_key)
{
	EXPECT_EQ(0, command("queue_on shared\napply"));
	ASSERT_EQ(0, load("miniring_keys_user", ""));
	EXPECT_EQ(ON(1), state_of(USER_STATE, "shared"));
}

TEST_F(keys, a_module_may_apply_while_it_loads)
{
	ASSERT_EQ(0, load("miniring_keys_user", "queue=1 apply=1"));
	EXPECT_EQ(ON(1), state_of(USER_STATE, "own"));
	EXPECT_EQ(ON(1), state_of(USER_STATE, "init"));
}

TEST_F(keys, a_request_from_a_module_that_fails_to_load_is_dropped)
{
	long dropped = stat("dropped");

	ASSERT_EQ(-ECANCELED, load("miniring_keys_user", "queue=1 fail=1"));
	EXPECT_EQ(dropped + 1, stat("dropped"));
	EXPECT_EQ(0, command("apply"));
}

TEST_F(keys, requests_for_a_module_that_unloads_are_dropped)
{
	long dropped = stat("dropped"), applies = stat("applies");

	EXPECT_EQ(0, command("queue_on off\nqueue_off on\nqueue_on many"));
	ASSERT_EQ(0, unload("miniring_keys_test"));
	self->loaded = false;
	EXPECT_EQ(dropped + 3, stat("dropped"));

	ASSERT_EQ(0, load("miniring_keys_test", ""));
	self->loaded = true;
	EXPECT_EQ(0, command("apply"));
	EXPECT_EQ(applies, stat("applies"));
	EXPECT_EQ(OFF, state("off"));
}

TEST_F(keys, a_module_unloads_with_its_keys_on)
{
	EXPECT_EQ(0, command("queue_on many\nqueue_on off\napply"));
	ASSERT_EQ(0, unload("miniring_keys_test"));
	ASSERT_EQ(0, load("miniring_keys_test", ""));
	EXPECT_EQ(OFF, state("many"));
}

TEST_F(keys, a_hundred_thousand_change_in_one_apply)
{
	long keys = stat("keys"), applies = stat("applies");

	EXPECT_EQ(0, command("flood 100000"));
	EXPECT_EQ(keys + 100000, stat("keys"));
	EXPECT_EQ(applies + 1, stat("applies"));
}

#define FAIL_NTH	"/proc/thread-self/fail-nth"

/* What the file takes and says is subject to the very faults it is about. */
static int arm(int nth)
{
	char text[16];
	int len = snprintf(text, sizeof(text), "%d", nth);
	int fd, put;

	do {
		fd = open(FAIL_NTH, O_WRONLY | O_CLOEXEC);
		put = fd < 0 ? -1 : write(fd, text, len);
		if (fd >= 0)
			close(fd);
	} while (put < 0 && (errno == EFAULT || errno == ENOMEM));
	return put == len ? 0 : -1;
}

/* Whether the fault is still to come; whatever fails in here was it. */
static bool armed(void)
{
	char text[16] = "";
	int fd = open(FAIL_NTH, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	return len < 0 || atoi(text) > 0;
}

/* With CONFIG_FAULT_INJECTION: every allocation and user copy on the way fails
 * once, until there is none left to fail.
 */
TEST_F(keys, without_memory_nothing_is_lost)
{
	static const char * const orders[] = {
		"queue_on many\nqueue_off on\napply",
		"queue_off many\nqueue_on on\napply",
	};
	int points[2] = { 0 }, i;

	if (access(FAIL_NTH, W_OK))
		SKIP(return, "no fault injection");
	for (i = 0; i < 2; i++) {
		bool more = true;

		while (more) {
			int err;

			ASSERT_GT(1000, ++points[i]);
			ASSERT_EQ(0, command(orders[!i]));
			ASSERT_EQ(i ? ON(MANY) : OFF, state("many"));
			ASSERT_EQ(0, arm(points[i]));
			err = command(orders[i]);
			more = !armed();
			ASSERT_EQ(0, arm(0));
			if (err && err != -ENOMEM)
				EXPECT_EQ(-EFAULT, err);
			if (!more)
				EXPECT_EQ(0, err);
			if (err)
				EXPECT_EQ(0, command(orders[i]));
			EXPECT_EQ(i ? OFF : ON(MANY), state("many"));
			EXPECT_EQ(i ? ON(2) : OFF, state("on"));
		}
	}
	TH_LOG("%d and %d points failed", points[0] - 1, points[1] - 1);
}

/* So many rounds, or as many as there is time for: on a debug kernel one takes
 * a hundred milliseconds, and the harness gives a test thirty seconds.
 */
#define SECONDS	6

static time_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec;
}

static bool time_is_up(time_t start)
{
	return seconds() - start > SECONDS;
}

struct caller {
	const char *key;
	int failures;
};

/* Whatever the other callers do, what I requested is so after my apply. */
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

/* An immediate toggle of one key beside queued ones of another. */
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

/* Two callers who both change one key must agree on a state that is whole. */
static void *fight(void *arg)
{
	const char *commands = arg;
	time_t start = seconds();
	long i;

	for (i = 0; i < 200 && !time_is_up(start); i++)
		command(commands);
	return (void *)i;
}

TEST_F(keys, callers_who_disagree_leave_all_branches_alike)
{
	void *rounds[2];
	pthread_t threads[2];
	int seen;

	ASSERT_EQ(0, pthread_create(&threads[0], NULL, fight,
				    "queue_on many\nqueue_on left\napply"));
	ASSERT_EQ(0, pthread_create(&threads[1], NULL, fight,
				    "queue_off many\nqueue_off left\napply"));
	pthread_join(threads[0], &rounds[0]);
	pthread_join(threads[1], &rounds[1]);
	/* Slow is fine, but each of them gets somewhere. */
	EXPECT_LT(5, (long)rounds[0]);
	EXPECT_LT(5, (long)rounds[1]);
	seen = state("many");
	if (seen != OFF)
		EXPECT_EQ(ON(MANY), seen);
	seen = state("left");
	if (seen != OFF)
		EXPECT_EQ(ON(2), seen);
}

static bool enabling_ends;

static void *keep_enabling(void *arg)
{
	while (!__atomic_load_n(&enabling_ends, __ATOMIC_RELAXED))
		command("on many");
	return arg;
}

/* The kernel warns when a key is disabled that someone is still enabling. */
TEST_F(keys, a_request_meets_an_immediate_enable_half_way)
{
	pthread_t thread;
	int i, seen;

	enabling_ends = false;
	ASSERT_EQ(0, pthread_create(&thread, NULL, keep_enabling, NULL));
	for (i = 0; i < 200; i++)
		EXPECT_EQ(0, command("queue_off many\napply"));
	__atomic_store_n(&enabling_ends, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	seen = state("many");
	if (seen != OFF)
		EXPECT_EQ(ON(MANY), seen);
}

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		err = -errno;
	close(fd);
	return err;
}

static bool hotplug_ends;

static void *hotplug(void *arg)
{
	const char *online = "/sys/devices/system/cpu/cpu1/online";

	while (!__atomic_load_n(&hotplug_ends, __ATOMIC_RELAXED)) {
		put(online, "0");
		put(online, "1");
	}
	return arg;
}

TEST_F(keys, change_while_a_cpu_comes_and_goes)
{
	time_t start = seconds();
	pthread_t thread;
	int i;

	if (access("/sys/devices/system/cpu/cpu1/online", W_OK))
		SKIP(return, "no second CPU to take away");
	ASSERT_EQ(0, pthread_create(&thread, NULL, hotplug, NULL));
	for (i = 0; i < 30 && !time_is_up(start); i++) {
		EXPECT_EQ(0, command("queue_on many\napply"));
		EXPECT_EQ(ON(MANY), state("many"));
		EXPECT_EQ(0, command("queue_off many\napply"));
		EXPECT_EQ(OFF, state("many"));
	}
	__atomic_store_n(&hotplug_ends, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
}

TEST_HARNESS_MAIN
