// SPDX-License-Identifier: GPL-2.0
/*
 * Queued static keys and the modules that define or use them: modules that load, unload, fail to
 * load, and share a key. Also the sample modules. Needs miniring.ko and debugfs.
 */
#define _GNU_SOURCE
#include "keys.h"
#include "log.h"

TEST_F(keys, linked_key_changes_in_all_modules)
{
	long immediate = stat_of("immediate");

	ASSERT_EQ(0, load("miniring_keys_user", ""));
	EXPECT_EQ(0, command("queue_on shared\nqueue_on off\napply"));
	EXPECT_EQ(ON(1), state("shared"));
	EXPECT_EQ(ON(1), state_of(USER_STATE, "shared"));
	EXPECT_EQ(ON(2), state("off"));
	EXPECT_EQ(0, command("queue_off shared\napply"));
	EXPECT_EQ(OFF, state("shared"));
	EXPECT_EQ(OFF, state_of(USER_STATE, "shared"));
	if (!ON_BACKEND("immediate"))
		EXPECT_EQ(immediate, stat_of("immediate"));
}

TEST_F(keys, key_of_three_modules_changes_in_all_and_after_one_unloads)
{
	long entries = stat_of("entries");

	ASSERT_EQ(0, load("miniring_keys_user", ""));
	ASSERT_EQ(0, load("miniring_keys_other", ""));
	EXPECT_EQ(0, command("queue_on shared\napply"));
	EXPECT_EQ(ON(1), state("shared"));
	EXPECT_EQ(ON(1), state_of(USER_STATE, "shared"));
	EXPECT_EQ(ON(1), state_of(OTHER_STATE, "shared"));
	if (!ON_BACKEND("immediate"))
		EXPECT_EQ(entries + 3, stat_of("entries"));
	EXPECT_EQ(0, command("queue_off shared"));
	ASSERT_EQ(0, unload("miniring_keys_user"));
	EXPECT_EQ(0, command("apply"));
	EXPECT_EQ(OFF, state("shared"));
	EXPECT_EQ(OFF, state_of(OTHER_STATE, "shared"));
	if (!ON_BACKEND("immediate"))
		EXPECT_EQ(entries + 5, stat_of("entries"));
}

TEST_F(keys, linked_key_changes_after_one_module_unloads)
{
	ASSERT_EQ(0, load("miniring_keys_user", ""));
	EXPECT_EQ(0, command("queue_on shared"));
	ASSERT_EQ(0, unload("miniring_keys_user"));
	EXPECT_EQ(0, command("apply"));
	EXPECT_EQ(ON(1), state("shared"));
}

TEST_F(keys, loading_module_gets_the_state_of_a_linked_key)
{
	EXPECT_EQ(0, command("queue_on shared\napply"));
	ASSERT_EQ(0, load("miniring_keys_user", ""));
	EXPECT_EQ(ON(1), state_of(USER_STATE, "shared"));
}

TEST_F(keys, module_may_apply_while_it_loads)
{
	ASSERT_EQ(0, load("miniring_keys_user", "queue=1 apply=1"));
	EXPECT_EQ(ON(1), state_of(USER_STATE, "own"));
	EXPECT_EQ(ON(1), state_of(USER_STATE, "init"));
}

TEST_F(keys, request_from_a_module_that_fails_to_load_is_dropped)
{
	long dropped = stat_of("dropped");

	ASSERT_EQ(-ECANCELED, load("miniring_keys_user", "queue=1 fail=1"));
	EXPECT_EQ(dropped + 1, stat_of("dropped"));
	EXPECT_EQ(0, command("apply"));
}

TEST_F(keys, requests_for_an_unloading_module_are_dropped)
{
	long dropped = stat_of("dropped"), applies = stat_of("applies");

	EXPECT_EQ(0, command("queue_on off\nqueue_off on\nqueue_on many"));
	ASSERT_EQ(0, unload("miniring_keys_test"));
	self->loaded = false;
	EXPECT_EQ(dropped + 3, stat_of("dropped"));

	ASSERT_EQ(0, load("miniring_keys_test", ""));
	self->loaded = true;
	EXPECT_EQ(0, command("apply"));
	EXPECT_EQ(applies, stat_of("applies"));
	EXPECT_EQ(OFF, state("off"));
}

TEST_F(keys, module_unloads_with_its_keys_on)
{
	EXPECT_EQ(0, command("queue_on many\nqueue_on off\napply"));
	ASSERT_EQ(0, unload("miniring_keys_test"));
	ASSERT_EQ(0, load("miniring_keys_test", ""));
	/*
	 * The keys of the new module are different keys: off, even at the same
	 * addresses.
	 */
	EXPECT_EQ(OFF, state("many"));
	EXPECT_EQ(0, command("queue_on many\nqueue_on off\napply"));
	EXPECT_EQ(ON(MANY), state("many"));
	EXPECT_EQ(ON(2), state("off"));
}

#define MANY_KEYS	DEBUGFS "miniring_many_keys"

static int branches_of_sample(void)
{
	FILE *f = fopen(MANY_KEYS, "re");
	int taken = -1;

	if (!f)
		return -errno;
	if (fscanf(f, "%d", &taken) != 1)
		taken = -EIO;
	fclose(f);
	return taken;
}

TEST_F_TIMEOUT(keys, sample_module_changes_thousands_of_branches, 120)
{
	long dropped;

	ASSERT_EQ(0, load("miniring_many_keys", ""));
	EXPECT_EQ(0, put(MANY_KEYS, "single on 3"));
	EXPECT_EQ(3, branches_of_sample());
	/* One apply for each key would take minutes. */
	if (!ON_BACKEND("immediate")) {
		EXPECT_EQ(0, put(MANY_KEYS, "queued on 8192"));
		EXPECT_EQ(8192, branches_of_sample());
		EXPECT_EQ(0, put(MANY_KEYS, "queued off 5000"));
		EXPECT_EQ(3192, branches_of_sample());
	} else {
		EXPECT_EQ(0, put(MANY_KEYS, "queued on 100"));
		EXPECT_EQ(100, branches_of_sample());
		EXPECT_EQ(0, put(MANY_KEYS, "queued off 50"));
		EXPECT_EQ(50, branches_of_sample());
	}
	EXPECT_EQ(-EINVAL, put(MANY_KEYS, "queued on 100001"));

	/* Some keys are on, and all are requested: nothing stays queued. */
	dropped = stat_of("dropped");
	EXPECT_EQ(0, put(MANY_KEYS, "requested on 100000"));
	EXPECT_EQ(0, unload("miniring_many_keys"));
	EXPECT_EQ(dropped + 100000, stat_of("dropped"));
	EXPECT_EQ(0, command("queue_on off\napply"));
	EXPECT_EQ(ON(2), state("off"));
}

#define SEALED_STATE	DEBUGFS "miniring_keys_sealed/state"
#define SEALED_COMMAND	DEBUGFS "miniring_keys_sealed/command"

TEST_F(keys, key_that_init_requested_changes_before_it_becomes_read_only)
{
	ASSERT_EQ(0, load("miniring_keys_sealed", "in_init=1"));
	EXPECT_EQ(ON(1), state_of(SEALED_STATE, "sealed"));
	EXPECT_EQ(-EROFS, put(SEALED_COMMAND, "on"));
	/* No request is left for an apply, which would write to read-only memory. */
	EXPECT_EQ(0, command("queue_on off\napply"));
	EXPECT_EQ(ON(2), state("off"));
	EXPECT_EQ(0, unload("miniring_keys_sealed"));
}

TEST_F(keys, request_for_a_read_only_key_is_refused)
{
	ASSERT_EQ(0, load("miniring_keys_sealed", ""));
	EXPECT_EQ(-EROFS, put(SEALED_COMMAND, "on"));
	EXPECT_EQ(0, command("apply"));
	EXPECT_EQ(OFF, state_of(SEALED_STATE, "sealed"));
	EXPECT_EQ(0, unload("miniring_keys_sealed"));
}

TEST_F(keys, request_of_a_failing_init_is_dropped)
{
	long dropped = stat_of("dropped");

	EXPECT_EQ(-ENXIO, load("miniring_keys_sealed", "in_init=1 fails=1"));
	EXPECT_EQ(dropped + 1, stat_of("dropped"));
	EXPECT_EQ(0, command("queue_on off\napply"));
	EXPECT_EQ(ON(2), state("off"));
}

/* Returns the result of miniring_keys_late, whose notifier has the priority @parameter. */
static long request_of_a_key_that_goes(const char *parameter)
{
	long result = 1;
	FILE *file;

	if (load("miniring_keys_late", parameter))
		return 2;
	if (unload("miniring_keys_test"))
		return 3;
	file = fopen("/sys/module/miniring_keys_late/parameters/result", "re");
	if (!file || fscanf(file, "%ld", &result) != 1)
		result = 4;
	if (file)
		fclose(file);
	return result;
}

TEST_F(keys, request_for_a_key_of_an_unloading_module_is_refused)
{
	static const char *const priorities[] = {
		"priority=0", "priority=-1", "priority=-2147483647", "priority=2147483646",
	};

	for (int i = 0; i < ARRAY_SIZE(priorities); i++) {
		EXPECT_EQ(-ENODEV, request_of_a_key_that_goes(priorities[i])) {
			TH_LOG("%s", priorities[i]);
		}
		EXPECT_EQ(0, unload("miniring_keys_late"));
		ASSERT_EQ(0, load("miniring_keys_test", ""));
		/* An apply would touch freed memory. */
		EXPECT_EQ(0, command("queue_on off\napply"));
		EXPECT_EQ(ON(2), state("off"));
	}
}

TEST_F(keys, rust_sample_prints_the_state_of_its_keys)
{
	int log = open_log();
	char expected[128];

	ASSERT_LE(0, log);
	ASSERT_EQ(0, load("miniring_queued_keys", ""));
	snprintf(expected, sizeof(expected),
		 "applied: parts 5; 2 of 3 keys, %d places in %d synchronisations",
		 ON_BACKEND("immediate") ? 0 : 2,
		 ON_BACKEND("immediate") ? 0 : ON_BACKEND("stopped") ? 1 : 3);
	EXPECT_TRUE(logged(log, expected))
		TH_LOG("expected in the log: %s", expected);
	EXPECT_EQ(0, unload("miniring_queued_keys"));
	EXPECT_TRUE(logged(log, "off: parts 0"));
	ASSERT_EQ(0, load("miniring_queued_keys", ""));
	EXPECT_TRUE(logged(log, "requested: parts 0"));
	EXPECT_EQ(0, unload("miniring_queued_keys"));
	close(log);
}

TEST_HARNESS_MAIN
