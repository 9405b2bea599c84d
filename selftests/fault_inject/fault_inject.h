/* SPDX-License-Identifier: GPL-2.0 */
/* The fixture and the main function of the tests with faults. */
#ifndef MINIRING_SELFTEST_FAULT_INJECT_H
#define MINIRING_SELFTEST_FAULT_INJECT_H

#include <sys/eventfd.h>
#include "faults.h"
#include "modules.h"
#include "ring_test.h"

#define ENTRIES 64
#define LIST_MAX 1048576

/* Runs all tests. */
static inline int fault_main(int argc, char **argv)
{
	return totals_init() ? test_harness_run(argc, argv) : KSFT_FAIL;
}

FIXTURE(fault)
{
	struct state state;
	int users;
};

FIXTURE_SETUP(fault)
{
	if (on_io_uring())
		SKIP(return, "faults are for miniring");
	if (access(FAIL_NTH, W_OK))
		SKIP(return, "the kernel has no CONFIG_FAULT_INJECTION");
	if (access(DEBUGFS "failslab", F_OK) && access(DEBUGFS "fail_usercopy", F_OK))
		SKIP(return, "the kernel has neither failslab nor fail_usercopy");
	faults_configure();
	self->users = module_users();
	self->state = (struct state){ .ring.fd = -1, .fd = -1, .epoll = -1 };
	self->state.eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	ASSERT_LE(0, self->state.eventfd);
}

FIXTURE_TEARDOWN(fault)
{
	struct state *s = &self->state;

	state_release(s);
	EXPECT_EQ(self->users, module_users());
	totals_add(&s->count);
	TH_LOG("%u points failed: %u ENOMEM, %u EFAULT, %u fallback, %u tolerated",
	       s->count.points, s->count.nomem, s->count.fault, s->count.fallback,
	       s->count.tolerated);
}

/* For tests: fails every point of @call. */
#define FAIL_EACH(state, call) do {					\
	const char *what_ = fail_each(call, state);			\
	ASSERT_EQ(NULL, what_) TH_LOG("%s", what_);			\
} while (0)

#endif /* MINIRING_SELFTEST_FAULT_INJECT_H */
