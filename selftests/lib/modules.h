/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For tests that load and unload modules, and access them through files. The modules are in the
 * directory above the program, or in MINIRING_MODULES. Functions that return int return a negative
 * errno.
 */
#ifndef MINIRING_SELFTEST_MODULES_H
#define MINIRING_SELFTEST_MODULES_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEBUGFS		"/sys/kernel/debug/"
#define CONTROL		DEBUGFS "miniring/control"
#define BACKEND		DEBUGFS "miniring/backend"
#define REACH		DEBUGFS "miniring/reach"
#define STATS		DEBUGFS "miniring/stats"
#define KERNEL_CONTROL	"/proc/dynamic_debug/control"

int load(const char *module, const char *parameters);

int unload(const char *module);

int put_bytes(const char *path, const char *text, size_t len);

static inline int put(const char *path, const char *text)
{
	return put_bytes(path, text, strlen(text));
}

/* Returns a number of miniring's statistics. */
long stat_of(const char *name);

/* Returns whether the file has exactly that line. */
bool file_is(const char *path, const char *line);

/* Returns whether that backend is in use. */
static inline bool backend_is(const char *name)
{
	return file_is(BACKEND, name);
}

#endif /* MINIRING_SELFTEST_MODULES_H */
