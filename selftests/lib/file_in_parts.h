/* SPDX-License-Identifier: GPL-2.0 */
/* The file of modules/file_in_parts.c. */
#ifndef MINIRING_SELFTEST_FILE_IN_PARTS_H
#define MINIRING_SELFTEST_FILE_IN_PARTS_H

#include "hang.h"
#include "modules.h"

#define IN_PARTS_SIZE		4096
#define IN_PARTS_AT_ONCE	100	/* from the start of the file */

/* Loads the module and opens its file. Returns a descriptor, or a negative errno. */
int open_in_parts(void);

/* Unloads the module. Returns a negative errno if the file stays in use for some time. */
int close_in_parts(int fd);

#endif /* MINIRING_SELFTEST_FILE_IN_PARTS_H */
