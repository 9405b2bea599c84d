/* SPDX-License-Identifier: GPL-2.0 */
/*
 * For tests that pass a ring's descriptors on: sockets to send them over, and counts of
 * completions.
 */
#ifndef MINIRING_SELFTEST_RING_FDS_H
#define MINIRING_SELFTEST_RING_FDS_H

#include <sys/socket.h>
#include "uring.h"

/* Sends @fd, or receives one if @fd is -1. Returns the received descriptor, 0, or -errno. */
int pass_fd(int socket, int fd);

static inline int send_fd(int socket, int fd)
{
	return pass_fd(socket, fd);
}

static inline int recv_fd(int socket)
{
	return pass_fd(socket, -1);
}

struct tally {
	int total, cancelled;
};

/* Reaps @nr completions, or as many as come in time, and any others. */
struct tally tally(struct uring *ring, int nr);

#endif /* MINIRING_SELFTEST_RING_FDS_H */
