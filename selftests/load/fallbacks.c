// SPDX-License-Identifier: GPL-2.0
/*
 * Fallbacks for symbols that the kernel does not export. The parameter "without" of miniring
 * makes each symbol missing. The log must name the fallback, and the module must behave as in
 * Documentation/interface.rst. Leaves the module loaded without that parameter. Needs debugfs;
 * loads modules/keys_test.c itself.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include "harness.h"
#include "key_state.h"
#include "log.h"
#include "ring_ops.h"
#include "ring_test.h"

/* The users of a symbol. */
enum {
	LOOKUP = 1,
	/* Jump entries: for both backends that patch. */
	ENTRIES = 2,
	BATCHED = 4,
	STOPPED = 8,
	KERNEL_SITES = 16,
	TASK_WORK = 32,
};

FIXTURE(without) {
	int log;
};

FIXTURE_VARIANT(without) {
	const char *symbol;
	int use;
};

#define WITHOUT(name, what) \
	FIXTURE_VARIANT_ADD(without, name) { .symbol = #name, .use = what }

WITHOUT(kallsyms_lookup_name, LOOKUP);
WITHOUT(jump_label_lock, ENTRIES);
WITHOUT(jump_label_unlock, ENTRIES);
WITHOUT(kernel_text_address, ENTRIES);
WITHOUT(__module_address, ENTRIES);
WITHOUT(__start___jump_table, ENTRIES);
WITHOUT(__stop___jump_table, ENTRIES);
WITHOUT(arch_jump_label_transform_queue, BATCHED);
WITHOUT(arch_jump_label_transform_apply, BATCHED);
WITHOUT(stop_machine_cpuslocked, STOPPED);
WITHOUT(text_mutex, STOPPED);
WITHOUT(init_mm, STOPPED);
WITHOUT(ddebug_lock, KERNEL_SITES);
WITHOUT(ddebug_tables, KERNEL_SITES);
WITHOUT(__start___dyndbg, KERNEL_SITES);
WITHOUT(__stop___dyndbg, KERNEL_SITES);
WITHOUT(task_work_run, TASK_WORK);

static int load_without(const char *symbol, const char *parameters)
{
	char all[256];

	snprintf(all, sizeof(all), "without=no_such_symbol,%s %s", symbol, parameters);
	return load("miniring", all);
}

FIXTURE_SETUP(without)
{
	if (access("/sys/kernel/debug", X_OK))
		SKIP(return, "there is no debugfs");
	if (!access(STATS, F_OK))
		ASSERT_EQ(0, unload("miniring"));
	self->log = open_log();
	ASSERT_LE(0, self->log);
	ASSERT_EQ(0, load_without(variant->symbol, ""));
}

FIXTURE_TEARDOWN(without)
{
	unload("miniring_keys_test");
	if (!access(STATS, F_OK))
		EXPECT_EQ(0, unload("miniring"));
	EXPECT_EQ(0, load("miniring", ""));
	close(self->log);
}

TEST_F(without, log_names_the_fallback_for_a_missing_symbol)
{
	static const struct {
		int use;
		const char *text;
	} messages[] = {
		{ LOOKUP | ENTRIES | BATCHED, "static keys: immediate" },
		{ LOOKUP | KERNEL_SITES, "kernel sites: out of reach" },
		{ LOOKUP | TASK_WORK, "waits do no task work" },
	};
	char *text = read_log(self->log);
	char why[128], line[256];
	int i;

	snprintf(why, sizeof(why), "the kernel has no %s", variant->symbol);
	if (variant->use == LOOKUP) {
		char *error = logged_error(text, ENOENT);

		snprintf(why, sizeof(why), "the kprobe on %s failed: %s", variant->symbol, error);
		free(error);
	}
	for (i = 0; i < ARRAY_SIZE(messages); i++) {
		snprintf(line, sizeof(line), "%s, since %s\n", messages[i].text, why);
		EXPECT_EQ(!!(variant->use & messages[i].use), !!strstr(text, line)) {
			TH_LOG("message: %s", line);
		}
	}
	free(text);
}

TEST_F(without, keys_change_by_the_remaining_backend)
{
	bool immediate = variant->use & (LOOKUP | ENTRIES | BATCHED);
	long changed, batches;

	EXPECT_TRUE(backend_is(immediate ? "immediate" : "batched"));
	ASSERT_EQ(0, load("miniring_keys_test", ""));
	changed = stat_of("immediate");
	batches = stat_of("batches");
	EXPECT_EQ(0, command("queue_on off\nqueue_off on\napply"));
	EXPECT_EQ(ON(2), state("off"));
	EXPECT_EQ(OFF, state("on"));
	EXPECT_EQ(changed + (immediate ? 2 : 0), stat_of("immediate"));
	EXPECT_EQ(batches + (immediate ? 0 : 1), stat_of("batches"));
}

TEST_F(without, backend_that_needs_a_missing_symbol_is_refused)
{
	static const struct {
		const char *name;
		int needs;
	} backends[] = {
		{ "batched", LOOKUP | ENTRIES | BATCHED },
		{ "unsorted", LOOKUP | ENTRIES | BATCHED },
		{ "stopped", LOOKUP | ENTRIES | STOPPED },
		{ "immediate", 0 },
	};
	int i;

	for (i = 0; i < ARRAY_SIZE(backends); i++) {
		bool refused = variant->use & backends[i].needs;
		char parameter[64], line[128];

		ASSERT_EQ(0, unload("miniring"));
		free(read_log(self->log));
		snprintf(parameter, sizeof(parameter), "backend=%s", backends[i].name);
		ASSERT_EQ(refused ? -EOPNOTSUPP : 0, load_without(variant->symbol, parameter)) {
			TH_LOG("backend: %s", backends[i].name);
		}
		if (refused) {
			snprintf(line, sizeof(line), "static keys: cannot be %s, since the k",
				 backends[i].name);
			EXPECT_TRUE(logged(self->log, line));
			ASSERT_EQ(0, load_without(variant->symbol, ""));
		} else {
			EXPECT_TRUE(backend_is(backends[i].name));
		}
	}
}

TEST_F(without, kernel_queries_are_refused_only_without_access_to_the_sites)
{
	bool refused = variant->use & (LOOKUP | KERNEL_SITES);

	EXPECT_TRUE(file_is(REACH, refused ? "kernel: no" : "kernel: yes"));
	EXPECT_EQ(refused ? -EOPNOTSUPP : 0,
		  put(CONTROL, "+p; kernel module no_such_module +p"));
	EXPECT_EQ(refused ? 0 : 1, stat_of("applies"));
	EXPECT_EQ(0, put(CONTROL, "=_"));
	EXPECT_EQ(0, put(CONTROL, "func write +p"));
	free(read_log(self->log));
	EXPECT_EQ(0, put(CONTROL, "#"));
	EXPECT_TRUE(logged(self->log, ";miniring: 0 queries in 1 bytes"));
}

static void *send_signal(void *signal)
{
	/* By then the submitter waits, in most runs. */
	sleep_ms(50);
	kill(getpid(), (long)signal);
	return NULL;
}

/* The submitter reads a signalfd, in a wait or on the way to userspace. */
TEST_F(without, polls_end_their_submitters_wait_without_the_symbol)
{
	int fd = eventfd(0, EFD_CLOEXEC), signals;
	struct uring ring = {};
	pthread_t thread;
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &mask, NULL));
	signals = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
	ASSERT_LE(0, signals);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, uring_open(&ring, 8));

	poll_in(&ring, fd, 1);
	ASSERT_EQ(1, uring_submit(&ring));
	EXPECT_EQ(0, uring_ready(&ring));
	ASSERT_EQ(0, eventfd_write(fd, 1));
	EXPECT_EQ(0, uring_enter(&ring, 0, 1, IORING_ENTER_GETEVENTS));
	EXPECT_STREQ("1 1", next_cqe(&ring));

	poll_in(&ring, signals, 2);
	ASSERT_EQ(1, uring_submit(&ring));
	ASSERT_EQ(0, pthread_create(&thread, NULL, send_signal, (void *)SIGUSR1));
	EXPECT_EQ(0, uring_enter(&ring, 0, 1, IORING_ENTER_GETEVENTS));
	EXPECT_STREQ("2 1", next_cqe(&ring));
	pthread_join(thread, NULL);

	uring_close(&ring);
	close(signals);
	close(fd);
}

TEST_HARNESS_MAIN
