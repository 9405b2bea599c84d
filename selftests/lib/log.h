/* SPDX-License-Identifier: GPL-2.0 */
/* For tests that read the kernel log. */
#ifndef MINIRING_SELFTEST_LOG_H
#define MINIRING_SELFTEST_LOG_H

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Opens the kernel log at its end, for reads without waiting. */
int open_log(void);

/* Returns the new messages, in memory that the caller frees. */
char *read_log(int fd);

/* Returns whether that text was logged since the last read of the log. */
bool logged(int fd, const char *with);

/*
 * Returns the name of an error in the log; the caller frees it. Without CONFIG_SYMBOLIC_ERRNAME
 * the kernel prints numbers.
 */
char *logged_error(const char *text, int error);

#endif /* MINIRING_SELFTEST_LOG_H */
