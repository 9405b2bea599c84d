// SPDX-License-Identifier: GPL-2.0
/*
 * Runs the 32-bit program beside it, ring_compat32, if the kernel runs such.
 */
#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <unistd.h>
#include "kselftest.h"

int main(void)
{
	char self[4096], path[4200];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (len > 0) {
		self[len] = '\0';
		snprintf(path, sizeof(path), "%s/ring_compat32", dirname(self));
		execl(path, "ring_compat32", NULL);
	}
	ksft_print_header();
	if (errno != ENOEXEC)
		ksft_exit_fail_msg("ring_compat32: %s\n", strerror(errno));
	ksft_set_plan(1);
	ksft_test_result_skip("the kernel does not run 32-bit programs\n");
	ksft_finished();
}
