/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For tests of queued static keys: the keys of modules/keys_test.c, which have branches, on
 * each backend. variant->backend is the backend of a test; "-v stopped" runs the tests of one
 * backend. Loads miniring.ko again for another backend, and at last without the parameter.
 */
#ifndef MINIRING_SELFTEST_KEYS_H
#define MINIRING_SELFTEST_KEYS_H

#include "clock.h"
#include "harness.h"
#include "key_state.h"
#include "modules.h"

#define USER_STATE	DEBUGFS "miniring_keys_user/state"
#define OTHER_STATE	DEBUGFS "miniring_keys_other/state"
#define MANY		300

/*
 * Up to that many rounds, in a limited time. On a debug kernel a round takes a hundred
 * milliseconds, and the harness gives a test thirty seconds.
 */
#define SECONDS	6

static inline time_t seconds(void)
{
	return now_ms() / 1000;
}

static inline bool time_is_up(time_t start)
{
	return seconds() - start > SECONDS;
}

FIXTURE(keys) {
	bool loaded;
};

FIXTURE_VARIANT(keys) {
	const char *backend;
	const char *parameter;
};

FIXTURE_VARIANT_ADD(keys, stopped) {
	.backend = "stopped",
	.parameter = "backend=stopped",
};

FIXTURE_VARIANT_ADD(keys, immediate) {
	.backend = "immediate",
	.parameter = "backend=immediate",
};

/* The last test leaves the module as before. */
FIXTURE_VARIANT_ADD(keys, batched) {
	.backend = "batched",
	.parameter = "",
};

FIXTURE_SETUP(keys)
{
	if (access(STATS, R_OK))
		SKIP(return, "miniring.ko is not loaded, or there is no debugfs");
	if (!backend_is(variant->backend)) {
		ASSERT_EQ(0, unload("miniring"));
		if (load("miniring", variant->parameter) == -EOPNOTSUPP)
			ASSERT_EQ(0, load("miniring", ""));
		if (!backend_is(variant->backend))
			SKIP(return, "this kernel does not have what the backend needs");
	}
	ASSERT_EQ(0, load("miniring_keys_test", ""));
	self->loaded = true;
}

FIXTURE_TEARDOWN(keys)
{
	if (!self->loaded)
		return;
	unload("miniring_keys_other");
	unload("miniring_keys_user");
	unload("miniring_many_keys");
	EXPECT_EQ(0, unload("miniring_keys_test"));
}

/* Returns whether the test runs on that backend. */
#define ON_BACKEND(name)	(!strcmp(variant->backend, name))

#endif /* MINIRING_SELFTEST_KEYS_H */
