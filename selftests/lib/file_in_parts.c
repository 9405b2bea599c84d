// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include "file_in_parts.h"
#include "hang.h"
#include "modules.h"

int open_in_parts(void)
{
	int err = load("miniring_file_in_parts", "");
	int fd;

	if (err)
		return err;
	fd = open(DEBUGFS "miniring_file_in_parts", O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int close_in_parts(int fd)
{
	int err;

	close(fd);
	for (int i = 0; i < HANG_MS / 10; i++) {
		err = unload("miniring_file_in_parts");
		if (err != -EWOULDBLOCK)
			break;
		usleep(10000);
	}
	return err;
}
