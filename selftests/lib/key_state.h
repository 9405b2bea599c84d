/* SPDX-License-Identifier: GPL-2.0 */
/* Commands to modules/keys_test.c, and the state of its keys and branches. */
#ifndef MINIRING_SELFTEST_KEY_STATE_H
#define MINIRING_SELFTEST_KEY_STATE_H

#include "modules.h"

#define COMMAND		DEBUGFS "miniring_keys_test/command"
#define STATE		DEBUGFS "miniring_keys_test/state"

/* Writes commands to the test module. */
static inline int command(const char *commands)
{
	return put(COMMAND, commands);
}

/*
 * Returns the count of a key and the number of its taken branches, as 1000 * count + taken: one
 * number that a failing test can show.
 */
int state_of(const char *file, const char *key);

#define OFF		0
#define ON(branches)	(1000 + (branches))

static inline int state(const char *key)
{
	return state_of(STATE, key);
}

#endif /* MINIRING_SELFTEST_KEY_STATE_H */
