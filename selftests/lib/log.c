// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "log.h"

int open_log(void)
{
	int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0)
		lseek(fd, 0, SEEK_END);
	return fd;
}

char *read_log(int fd)
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

bool logged(int fd, const char *with)
{
	char *text = read_log(fd);
	bool found = strstr(text, with);

	free(text);
	return found;
}

char *logged_error(const char *text, int error)
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
