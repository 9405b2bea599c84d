// SPDX-License-Identifier: GPL-2.0
/*
 * The sites of modules other than miniring. The control file lists and changes the 4,096 sites of
 * samples/many_sites.rs from the module's load to its unload, in any state. Needs miniring.ko and
 * debugfs.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <time.h>

#include "harness.h"
#include "log.h"
#include "modules.h"

#define DEVICE		"/dev/miniring_many_sites"
#define MODULE		"miniring_many_sites"
#define SAY		"/sys/module/miniring_pr_debug/parameters/say"
#define SITES		4096
#define A_FUNCTION	64

/* Returns the number of lines of the control file with that text. */
static int lines_with(const char *text)
{
	char line[1024];
	int lines = 0;
	FILE *f = fopen(CONTROL, "re");

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f))
		lines += line[0] != '#' && strstr(line, text);
	fclose(f);
	return lines;
}

static int listed(void)
{
	return lines_with("[" MODULE "]");
}

static int on(void)
{
	return lines_with(" =p");
}

FIXTURE(sites) {
};

FIXTURE_SETUP(sites)
{
	if (access(CONTROL, R_OK))
		SKIP(return, "miniring.ko is not loaded, or there is no debugfs");
	ASSERT_EQ(0, put(CONTROL, "=_"));
	ASSERT_EQ(0, load(MODULE, ""));
}

FIXTURE_TEARDOWN(sites)
{
	unload(MODULE);
	put(CONTROL, "=_");
}

TEST_F(sites, sites_are_listed_while_their_module_is_loaded)
{
	EXPECT_EQ(SITES, listed());
	EXPECT_EQ(A_FUNCTION, lines_with("[" MODULE "]group_42 =_ \"octal {}{}\\n\""));
	ASSERT_EQ(0, unload(MODULE));
	EXPECT_EQ(0, listed());
	ASSERT_EQ(0, load(MODULE, ""));
	EXPECT_EQ(SITES, listed());
}

TEST_F(sites, sites_go_on_and_off_by_one_apply_each)
{
	long applies = stat_of("applies"), keys = stat_of("keys"), batches = stat_of("batches");

	EXPECT_EQ(0, put(CONTROL, "module " MODULE " +p"));
	EXPECT_EQ(SITES, on());
	EXPECT_EQ(applies + 1, stat_of("applies"));
	EXPECT_EQ(keys + SITES, stat_of("keys"));
	if (backend_is("batched"))
		EXPECT_EQ(batches + SITES / 256, stat_of("batches"));
	EXPECT_EQ(0, put(CONTROL, "module " MODULE " -p"));
	EXPECT_EQ(0, on());
	EXPECT_EQ(applies + 2, stat_of("applies"));
}

TEST_F(sites, sites_of_other_modules_are_selected_by_queries)
{
	EXPECT_EQ(0, put(CONTROL, "func group_1? +p"));
	EXPECT_EQ(8 * A_FUNCTION, on());
	EXPECT_EQ(0, put(CONTROL, "file samples/many_sites.rs -p; module miniring func write +p"));
	EXPECT_EQ(1, on());
	EXPECT_EQ(0, put(CONTROL, "file many_sites.rs +p; func group_?0 -p"));
	EXPECT_EQ(SITES - 8 * A_FUNCTION + 1, on());
}

TEST_F(sites, sites_print_with_the_name_of_their_module_while_on)
{
	char record[8192];
	int log, said = 0, decorated = 0;
	ssize_t len;

	log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ASSERT_LE(0, log);
	lseek(log, 0, SEEK_END);
	EXPECT_EQ(0, put(CONTROL, "func group_77 +p; func group_00 +pmf"));
	EXPECT_EQ(0, put(DEVICE, "\n"));
	EXPECT_EQ(0, put(CONTROL, "=_"));
	EXPECT_EQ(0, put(DEVICE, "\n"));
	while ((len = read(log, record, sizeof(record) - 1)) > 0) {
		record[len] = '\0';
		said += !!strstr(record, ";" MODULE ": octal ");
		decorated += !!strstr(record, ";" MODULE ":group_00: " MODULE ": octal ");
	}
	close(log);
	EXPECT_EQ(A_FUNCTION, said);
	EXPECT_EQ(A_FUNCTION, decorated);
}

TEST_F(sites, registered_sites_keep_miniring_loaded)
{
	EXPECT_EQ(-EWOULDBLOCK, unload("miniring"));
}

TEST_F(sites, sites_that_were_on_are_off_after_a_reload)
{
	EXPECT_EQ(0, put(CONTROL, "module " MODULE " +p"));
	ASSERT_EQ(0, unload(MODULE));
	EXPECT_EQ(0, listed());
	ASSERT_EQ(0, load(MODULE, ""));
	EXPECT_EQ(SITES, listed());
	EXPECT_EQ(0, on());
	EXPECT_EQ(0, put(CONTROL, "module " MODULE " +p"));
	EXPECT_EQ(SITES, on());
}

static bool toggling_ends;

static void *toggle(void *arg)
{
	long applies = stat_of("applies");

	while (!__atomic_load_n(&toggling_ends, __ATOMIC_RELAXED)) {
		put(CONTROL, "module " MODULE " +p");
		put(CONTROL, "module " MODULE " -p");
	}
	*(long *)arg = stat_of("applies") - applies;
	return NULL;
}

/* The unload comes while keys are queued, being applied, on, or off again. */
TEST_F(sites, sites_can_be_toggled_while_their_module_comes_and_goes)
{
	long before = stat_of("applies"), applies = 0;
	struct timespec start, now;
	pthread_t thread;
	int i;

	toggling_ends = false;
	ASSERT_EQ(0, pthread_create(&thread, NULL, toggle, &applies));
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (i = 0; i < 20; i++) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		/* Repeat for a limited time: the debug kernel is slow. */
		if (i >= 4 && now.tv_sec - start.tv_sec > 10)
			break;
		usleep(10000 * (i % 8));
		EXPECT_EQ(0, unload(MODULE));
		EXPECT_EQ(0, listed());
		EXPECT_EQ(0, load(MODULE, ""));
	}
	/* The thread may not have run yet. */
	while (stat_of("applies") - before <= 3)
		usleep(1000);
	__atomic_store_n(&toggling_ends, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	EXPECT_LT(2, applies);
	EXPECT_EQ(SITES, listed());
	EXPECT_EQ(0, on());
}

/* The parameter dyndbg. */

FIXTURE(dyndbg) {
	int log;
};

FIXTURE_SETUP(dyndbg)
{
	if (access(CONTROL, R_OK))
		SKIP(return, "miniring.ko is not loaded, or there is no debugfs");
	ASSERT_EQ(0, put(CONTROL, "=_"));
	self->log = open_log();
	ASSERT_LE(0, self->log);
}

FIXTURE_TEARDOWN(dyndbg)
{
	unload(MODULE);
	put(CONTROL, "=_");
	close(self->log);
}

TEST_F(dyndbg, dyndbg_parameter_turns_all_sites_of_the_module_on)
{
	long applies = stat_of("applies");

	ASSERT_EQ(0, load(MODULE, "dyndbg=+p"));
	EXPECT_EQ(SITES, on());
	EXPECT_EQ(SITES, lines_with("[" MODULE "]group_"));
	EXPECT_EQ(applies + 1, stat_of("applies"));
	EXPECT_EQ(0, put(DEVICE, "\n"));
	EXPECT_TRUE(logged(self->log, ";" MODULE ": octal 07"));
	EXPECT_EQ(0, put(CONTROL, "module " MODULE " -p"));
	EXPECT_EQ(0, on());
}

TEST_F(dyndbg, dyndbg_parameter_without_a_value_means_plus_p)
{
	ASSERT_EQ(0, load(MODULE, "dyndbg"));
	EXPECT_EQ(SITES, on());
}

TEST_F(dyndbg, dyndbg_parameter_runs_the_queries_of_all_values_in_order)
{
	static const char parameters[] =
		"dyndbg=\"func group_0? +pm; func group_00 -p\" dyndbg=\"func group_01 =_\"";

	ASSERT_EQ(0, load(MODULE, parameters));
	EXPECT_EQ(6 * A_FUNCTION, on());
	EXPECT_EQ(A_FUNCTION, lines_with("]group_00 =m "));
	EXPECT_EQ(A_FUNCTION, lines_with("]group_01 =_ "));
	EXPECT_EQ(6 * A_FUNCTION, lines_with(" =pm "));
}

TEST_F(dyndbg, dyndbg_parameter_changes_another_module_that_a_query_names)
{
	ASSERT_EQ(0, load(MODULE, "dyndbg=\"module miniring func write +pf\""));
	EXPECT_EQ(1, on());
	EXPECT_EQ(1, lines_with("[miniring]write =pf "));
}

TEST_F(dyndbg, dyndbg_parameter_with_a_bad_query_changes_nothing_and_loads)
{
	char *text, *error, line[128];

	ASSERT_EQ(0, load(MODULE, "dyndbg=\"+p; func +p\""));
	EXPECT_EQ(SITES, listed());
	EXPECT_EQ(0, on());
	text = read_log(self->log);
	EXPECT_NE(NULL, strstr(text, "dyndbg of " MODULE ": keyword without a value: \"func\""));
	error = logged_error(text, EINVAL);
	snprintf(line, sizeof(line), "dyndbg of %s: nothing changed: %s", MODULE, error);
	EXPECT_NE(NULL, strstr(text, line));
	free(error);
	free(text);
}

TEST_F(dyndbg, dyndbg_is_not_logged_as_unknown_parameter)
{
	ASSERT_EQ(0, load(MODULE, "dyndbg=+p nosuch=1"));
	EXPECT_TRUE(logged(self->log, "unknown parameter 'nosuch' ignored"));
	ASSERT_EQ(0, unload(MODULE));
	ASSERT_EQ(0, load(MODULE, "dyndbg=+p"));
	EXPECT_FALSE(logged(self->log, "unknown parameter"));
}

TEST_F(dyndbg, dyndbg_parameter_of_miniring_takes_kernel_queries)
{
	ASSERT_EQ(0, load("miniring_pr_debug", ""));
	ASSERT_EQ(0, unload("miniring"));
	ASSERT_EQ(0, load("miniring", "dyndbg=\"func write +p; kernel module miniring_pr_* +p\""));
	EXPECT_EQ(1, on());
	EXPECT_EQ(1, lines_with("[miniring]write =p "));
	EXPECT_EQ(0, put(SAY, "hello"));
	EXPECT_TRUE(logged(self->log, "plainly said hello"));
	ASSERT_EQ(0, unload("miniring"));
	ASSERT_EQ(0, load("miniring", ""));
	EXPECT_EQ(0, on());
	EXPECT_EQ(0, unload("miniring_pr_debug"));
}

TEST_HARNESS_MAIN
