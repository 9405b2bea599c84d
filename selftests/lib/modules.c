// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "modules.h"

int load(const char *module, const char *parameters)
{
	const char *dir = getenv("MINIRING_MODULES");
	char self[4096], path[4200];
	ssize_t len;
	int fd, err;

	if (!dir) {
		len = readlink("/proc/self/exe", self, sizeof(self) - 1);
		if (len < 0)
			return -errno;
		self[len] = '\0';
		dir = dirname(dirname(self));
	}
	snprintf(path, sizeof(path), "%s/%s.ko", dir, module);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	err = syscall(SYS_finit_module, fd, parameters, 0) ? -errno : 0;
	close(fd);
	return err;
}

int unload(const char *module)
{
	return syscall(SYS_delete_module, module, O_NONBLOCK) ? -errno : 0;
}

int put_bytes(const char *path, const char *text, size_t len)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t put;
	int err = 0;

	if (fd < 0)
		return -errno;
	put = write(fd, text, len);
	if (put < 0)
		err = -errno;
	else if (put != (ssize_t)len)
		err = -EIO;
	close(fd);
	return err;
}

long stat_of(const char *name)
{
	char line[256];
	size_t len = strlen(name);
	long value = -1;
	FILE *f = fopen(STATS, "re");

	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f))
		if (!strncmp(line, name, len) && line[len] == ':')
			value = atol(line + len + 1);
	fclose(f);
	return value;
}

bool file_is(const char *path, const char *line)
{
	size_t len = strlen(line);
	char found[256];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got;

	if (fd < 0)
		return false;
	got = read(fd, found, sizeof(found));
	close(fd);
	return got == (ssize_t)len + 1 && !memcmp(found, line, len) && found[len] == '\n';
}
