// SPDX-License-Identifier: GPL-2.0
/*
 * Runs ring_compat32, a 32-bit program, if the kernel can run it. ring_compat32 gets a ring that
 * this 64-bit program made.
 */
#include <errno.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>
#include "kselftest.h"
#include "uring.h"

/* Makes a ring that stays open at exec, and a pipe with its parameters. */
static bool make_ring(int *fd, int *params)
{
	struct io_uring_params p = {};
	int fds[2];

	*fd = uring_setup(uring_backend(), 8, 0, &p);
	if (*fd < 0 || fcntl(*fd, F_SETFD, 0) || pipe(fds) ||
	    write(fds[1], &p, sizeof(p)) != sizeof(p))
		return false;
	*params = fds[0];
	return true;
}

int main(void)
{
	char self[4096], path[4200], ring[16], pipe[16];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int fd, params;

	if (!make_ring(&fd, &params))
		ksft_exit_fail_msg("no ring: %s\n", strerror(errno));
	if (len > 0) {
		self[len] = '\0';
		snprintf(path, sizeof(path), "%s/ring_compat32", dirname(self));
		snprintf(ring, sizeof(ring), "%d", fd);
		snprintf(pipe, sizeof(pipe), "%d", params);
		execl(path, "ring_compat32", ring, pipe, NULL);
	}
	ksft_print_header();
	if (errno != ENOEXEC)
		ksft_exit_fail_msg("ring_compat32: %s\n", strerror(errno));
	ksft_set_plan(1);
	ksft_test_result_skip("the kernel does not run 32-bit programs\n");
	ksft_finished();
}
