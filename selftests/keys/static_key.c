// SPDX-License-Identifier: GPL-2.0
/*
 * Queued static keys, checked by the branches that code takes. Each test requests changes of the
 * keys of modules/keys_test.c. static_key_modules.c tests keys that come and go with modules,
 * static_key_races.c concurrent changes. Needs miniring.ko and debugfs.
 */
#define _GNU_SOURCE
#include "keys.h"

TEST_F(keys, keys_start_as_defined)
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

TEST_F(keys, keys_go_back_and_forth)
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
	long entries = stat_of("entries"), coalesced = stat_of("coalesced");

	EXPECT_EQ(0, command("queue_on off\nqueue_off off\napply"));
	EXPECT_EQ(OFF, state("off"));
	EXPECT_EQ(entries, stat_of("entries"));
	EXPECT_EQ(coalesced + 1, stat_of("coalesced"));
}

TEST_F(keys, last_request_wins_disable_then_enable)
{
	EXPECT_EQ(0, command("queue_off off\nqueue_on off\napply"));
	EXPECT_EQ(ON(2), state("off"));
}

TEST_F(keys, thousand_requests_for_one_key_are_merged)
{
	long coalesced = stat_of("coalesced");
	int i;

	for (i = 0; i < 500; i++)
		ASSERT_EQ(0, command("queue_on off\nqueue_off off"));
	EXPECT_EQ(0, command("queue_on off\napply"));
	EXPECT_EQ(ON(2), state("off"));
	EXPECT_EQ(coalesced + 1000, stat_of("coalesced"));
}

TEST_F(keys, request_for_the_current_state_patches_nothing)
{
	long entries = stat_of("entries"), keys = stat_of("keys");

	EXPECT_EQ(0, command("queue_on on\nqueue_off off\napply"));
	EXPECT_EQ(ON(2), state("on"));
	EXPECT_EQ(OFF, state("off"));
	EXPECT_EQ(entries, stat_of("entries"));
	EXPECT_EQ(keys, stat_of("keys"));
}

TEST_F(keys, apply_without_requests_is_not_counted)
{
	long applies = stat_of("applies");

	EXPECT_EQ(0, command("apply\napply"));
	EXPECT_EQ(applies, stat_of("applies"));
}

TEST_F(keys, all_branches_of_a_key_change_together)
{
	long entries = stat_of("entries"), batches = stat_of("batches");

	EXPECT_EQ(0, command("queue_on many\napply"));
	EXPECT_EQ(ON(MANY), state("many"));
	if (ON_BACKEND("batched")) {
		EXPECT_EQ(entries + MANY, stat_of("entries"));
		EXPECT_EQ(batches + 2, stat_of("batches"));
	}
	EXPECT_EQ(0, command("queue_off many\napply"));
	EXPECT_EQ(OFF, state("many"));
}

TEST_F(keys, key_without_branches_changes)
{
	EXPECT_EQ(0, command("queue_on unused\napply"));
	EXPECT_EQ(1000, state("unused"));
}

TEST_F(keys, immediate_enable_before_the_apply_is_kept)
{
	EXPECT_EQ(0, command("queue_on off\non off"));
	EXPECT_EQ(ON(2), state("off"));
	EXPECT_EQ(0, command("apply"));
	EXPECT_EQ(ON(2), state("off"));
}

TEST_F(keys, immediate_disable_before_the_apply_is_overridden)
{
	EXPECT_EQ(0, command("queue_on on\noff on"));
	EXPECT_EQ(OFF, state("on"));
	EXPECT_EQ(0, command("apply"));
	EXPECT_EQ(ON(2), state("on"));
}

TEST_F(keys, immediate_change_after_the_apply_works)
{
	EXPECT_EQ(0, command("queue_on off\napply\noff off"));
	EXPECT_EQ(OFF, state("off"));
	EXPECT_EQ(0, command("inc off\ninc off\ndec off\ndec off"));
	EXPECT_EQ(OFF, state("off"));
}

TEST_F(keys, reference_counted_key_alone_is_refused)
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

TEST_F(keys, key_that_becomes_reference_counted_is_not_changed)
{
	long refused = stat_of("refused");

	EXPECT_EQ(0, command("inc counted\nqueue_off counted\nqueue_on off\ninc counted\napply"));
	EXPECT_EQ(2002, state("counted"));
	EXPECT_EQ(ON(2), state("off"));
	EXPECT_EQ(refused + 1, stat_of("refused"));
	EXPECT_EQ(0, command("dec counted\ndec counted"));
	EXPECT_EQ(OFF, state("counted"));
}

TEST_F(keys, key_sealed_at_boot_is_refused)
{
	if (state("sealed") < 0)
		SKIP(return, "no such key without CONFIG_HARDENED_USERCOPY");
	EXPECT_EQ(-EROFS, command("queue_on sealed"));
	EXPECT_EQ(-EROFS, command("queue_off sealed"));
}

TEST_F(keys, hundred_thousand_keys_change_in_one_apply)
{
	long keys = stat_of("keys"), applies = stat_of("applies");

	EXPECT_EQ(0, command("flood 100000"));
	EXPECT_EQ(keys + 100000, stat_of("keys"));
	EXPECT_EQ(applies + 1, stat_of("applies"));
}

#define TRACEFS		"/sys/kernel/tracing/"
#define EVENTS		TRACEFS "events/miniring/"

static void clear_trace(void)
{
	int fd = open(TRACEFS "trace", O_WRONLY | O_TRUNC | O_CLOEXEC);

	if (fd >= 0)
		close(fd);
}

/*
 * Returns the number of lines of the trace with that event, the sum of their entries, and the
 * fields of the last line.
 */
static int events(const char *event, long *entries, char *fields, size_t room)
{
	char line[1024], *at;
	FILE *f = fopen(TRACEFS "trace", "re");
	int nr = 0;

	fields[0] = '\0';
	*entries = 0;
	while (f && fgets(line, sizeof(line), f)) {
		at = strstr(line, event);
		if (line[0] == '#' || !at)
			continue;
		nr++;
		snprintf(fields, room, "%s", at + strlen(event));
		at = strstr(at, "entries=");
		if (at)
			*entries += atol(at + strlen("entries="));
	}
	if (f)
		fclose(f);
	return nr;
}

TEST_F(keys, apply_and_its_batches_are_traced)
{
	char fields[256] = "", expected[256] = "";
	unsigned long long ns, all_ns;
	long entries;
	int batches = ON_BACKEND("stopped") ? 1 : ON_BACKEND("batched") ? 2 : 0;

	if (access(EVENTS "enable", W_OK))
		SKIP(return, "no tracefs");
	clear_trace();
	ASSERT_EQ(0, put(EVENTS "enable", "1"));
	EXPECT_EQ(0, command("queue_on many\nqueue_on off\nqueue_on on\nqueue_on unused\napply"));
	ASSERT_EQ(0, put(EVENTS "enable", "0"));

	EXPECT_EQ(1, events("static_key_apply: ", &entries, fields, sizeof(fields)));
	snprintf(expected, sizeof(expected), "requests=4 keys=3 entries=%d syncs=%d ns=",
		 ON_BACKEND("immediate") ? 0 : MANY + 2,
		 ON_BACKEND("immediate") ? 0 : ON_BACKEND("stopped") ? 1 : 6);
	EXPECT_EQ(0, strncmp(expected, fields, strlen(expected)))
		TH_LOG("expected %s, but it was %s", expected, fields);
	all_ns = strtoull(fields + strlen(expected), NULL, 10);
	EXPECT_LT(0, all_ns);

	/* Two keys have patch sites, in one batch or in two. */
	EXPECT_EQ(batches, events("static_key_batch: ", &entries, fields, sizeof(fields)));
	EXPECT_EQ(batches ? MANY + 2 : 0, entries);
	if (ON_BACKEND("stopped"))
		snprintf(expected, sizeof(expected), "keys=2 entries=%d syncs=1 ns=", MANY + 2);
	else if (ON_BACKEND("batched"))
		snprintf(expected, sizeof(expected), "keys=%c entries=%d syncs=3 ns=",
			 fields[strlen("keys=")], MANY + 2 - 256);
	else
		expected[0] = '\0';
	EXPECT_EQ(0, strncmp(expected, fields, strlen(expected)))
		TH_LOG("expected %s, but it was %s", expected, fields);
	ns = strtoull(fields + strlen(expected), NULL, 10);
	if (*expected) {
		EXPECT_LT(0, ns);
		EXPECT_LE(ns, all_ns);
	} else {
		EXPECT_STREQ("", fields);
	}
	EXPECT_EQ(0, command("queue_off many\nqueue_off off\nqueue_off unused\napply"));
}

/* stats and the tracepoints must agree on the same applies. */
TEST_F(keys, stats_agree_with_the_trace)
{
	long applies = stat_of("applies"), keys = stat_of("keys"), entries = stat_of("entries");
	long batches = stat_of("batches"), immediate = stat_of("immediate");
	long ns = stat_of("nanoseconds"), traced[4] = { 0 }, seen = 0;
	long r, k, e, s, n;
	char line[1024];
	FILE *f;

	if (access(EVENTS "enable", W_OK))
		SKIP(return, "no tracefs");
	clear_trace();
	ASSERT_EQ(0, put(EVENTS "static_key_apply/enable", "1"));
	EXPECT_EQ(0, command("queue_on many\nqueue_on left\napply\nqueue_off left\napply"));
	EXPECT_EQ(0, command("queue_off many\napply"));
	ASSERT_EQ(0, put(EVENTS "static_key_apply/enable", "0"));

	f = fopen(TRACEFS "trace", "re");
	ASSERT_NE(NULL, f);
	while (fgets(line, sizeof(line), f)) {
		char *at = strstr(line, "requests=");

		if (line[0] == '#' || !at)
			continue;
		if (sscanf(at, "requests=%ld keys=%ld entries=%ld syncs=%ld ns=%ld",
			   &r, &k, &e, &s, &n) != 5)
			break;
		seen++;
		traced[0] += k;
		traced[1] += e;
		traced[2] += s;
		traced[3] += n;
	}
	fclose(f);
	EXPECT_EQ(3, seen);
	EXPECT_EQ(applies + 3, stat_of("applies"));
	EXPECT_EQ(4, traced[0]);
	EXPECT_EQ(keys + traced[0], stat_of("keys"));
	EXPECT_EQ(entries + traced[1], stat_of("entries"));
	EXPECT_EQ(ns + traced[3], stat_of("nanoseconds"));
	EXPECT_EQ(traced[2], (stat_of("batches") - batches) * (ON_BACKEND("stopped") ? 1 : 3));
	EXPECT_EQ(ON_BACKEND("immediate") ? 4 : 0, stat_of("immediate") - immediate);
}

#define FAIL_NTH	"/proc/thread-self/fail-nth"

/* A read or write of the file can itself get the fault. */
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

/* Returns whether the fault is still due. A failure of this read was that fault. */
static bool armed(void)
{
	char text[16] = "";
	int fd = open(FAIL_NTH, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (fd >= 0)
		close(fd);
	return len < 0 || atoi(text) > 0;
}

/*
 * With CONFIG_FAULT_INJECTION, each allocation and user copy of the applies
 * fails once, one after the other. Two applies fail at each of some hundred points.
 */
TEST_F_TIMEOUT(keys, requests_without_memory_are_not_lost, 240)
{
	static const char * const orders[] = {
		"queue_on many\nqueue_off on\napply",
		"queue_off many\nqueue_on on\napply",
	};
	long immediate = stat_of("immediate");
	int points[2] = { 0 }, i;

	if (access(FAIL_NTH, W_OK))
		SKIP(return, "no fault injection");
	/* By default failslab spares allocations that may sleep, as in an apply. */
	ASSERT_EQ(0, put(DEBUGFS "failslab/ignore-gfp-wait", "N"));
	ASSERT_EQ(0, put(DEBUGFS "failslab/verbose", "0"));
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
	TH_LOG("%d and %d points failed, %ld keys changed at once for want of memory",
	       points[0] - 1, points[1] - 1, stat_of("immediate") - immediate);
	for (i = 0; i < 2; i++)
		EXPECT_LT(5, points[i] - 1);
	/*
	 * "stopped" without its mappings changes the keys one at a time. "batched" has all its
	 * memory: the kernel tries to allocate an array twice, and only one attempt fails here.
	 */
	if (ON_BACKEND("stopped"))
		EXPECT_LT(immediate, stat_of("immediate"));
}

TEST_HARNESS_MAIN
