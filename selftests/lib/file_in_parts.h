/* SPDX-License-Identifier: GPL-2.0 */
/* The file of modules/file_in_parts.c. */
#ifndef MINIRING_SELFTEST_FILE_IN_PARTS_H
#define MINIRING_SELFTEST_FILE_IN_PARTS_H

#include "hang.h"
#include "modules.h"

#define IN_PARTS_SIZE		4096
#define IN_PARTS_AT_ONCE	100	/* from the start of the file */

/* Loads the module and opens its file. Returns a descriptor, or a negative errno. */
static inline int open_in_parts(void)
{
	int err = load("miniring_file_in_parts", "");
	int fd;

	if (err)
		return err;
	fd = open(DEBUGFS "miniring_file_in_parts", O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Unloads the module. Returns a negative errno if the file stays in use for some time. */
static inline int close_in_parts(int fd)
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

#endif /* MINIRING_SELFTEST_FILE_IN_PARTS_H */
