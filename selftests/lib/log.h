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
static inline int open_log(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	return fd;
}

/* Returns the new messages, in memory that the caller frees. */
static inline char *read_log(int fd)
{
	size_t len = 0, room = 1 << 16;
	char *text = malloc(room);
	ssize_t got;

	while ((got = read(fd, text + len, room - len - 1)) > 0 || errno == EPIPE) {
		if (got <= 0)
			continue;
		len += got;
		if (room - len < 16384)
			text = realloc(text, room *= 2);
	}
	text[len] = '\0';
	return text;
}

/* Returns whether that text was logged since the last read of the log. */
static inline bool logged(int fd, const char *with)
{
	char *text = read_log(fd);
	bool found = strstr(text, with);

	free(text);
	return found;
}

/*
 * Returns the name of an error in the log; the caller frees it. Without CONFIG_SYMBOLIC_ERRNAME
 * the kernel prints numbers.
 */
static inline char *logged_error(const char *text, int error)
{
	char *name;

	if (asprintf(&name, "Error(%d)", error) < 0)
		return NULL;
	if (!strstr(text, name)) {
		free(name);
		name = strdup(strerrorname_np(error));
	}
	return name;
}

#endif /* MINIRING_SELFTEST_LOG_H */
