/* SPDX-License-Identifier: GPL-2.0 */
/* Prepares entries of operations. The caller sets the other fields. The SQ must have room. */
#ifndef MINIRING_SELFTEST_RING_OPS_H
#define MINIRING_SELFTEST_RING_OPS_H

#include <poll.h>
#include <stdbool.h>
#include "hang.h"
#include "uring.h"

struct io_uring_sqe *prep(struct uring *ring, int opcode, int fd, unsigned long long user_data);

struct io_uring_sqe *prep_poll(struct uring *ring, int fd, unsigned int events, unsigned int flags,
			       unsigned long long user_data);

static inline struct io_uring_sqe *poll_in(struct uring *ring, int fd,
					   unsigned long long user_data)
{
	return prep_poll(ring, fd, POLLIN, 0, user_data);
}

struct io_uring_sqe *prep_rw(struct uring *ring, int opcode, int fd, const void *addr,
			     unsigned int len, long long off, unsigned long long user_data);

/* Reads into a byte that is never checked. */
struct io_uring_sqe *read_byte(struct uring *ring, int fd, unsigned long long user_data);

struct io_uring_sqe *prep_timeout(struct uring *ring, const struct __kernel_timespec *ts,
				  unsigned int count, unsigned int flags,
				  unsigned long long user_data);

/* A time longer than any test. */
struct io_uring_sqe *never(struct uring *ring, unsigned long long user_data);

/* Prepares a POLL_REMOVE, TIMEOUT_REMOVE or ASYNC_CANCEL. */
struct io_uring_sqe *prep_undo(struct uring *ring, int opcode, unsigned long long target,
			       unsigned long long user_data);

/* Gets an SQE that removes the timeout with the user data @target. */
static inline struct io_uring_sqe *prep_timeout_remove(struct uring *ring,
						       unsigned long long target,
						       unsigned long long user_data)
{
	return prep_undo(ring, IORING_OP_TIMEOUT_REMOVE, target, user_data);
}

/*
 * Prepares one request of each kind that does not complete, on the empty pipe @fd. @user_data
 * counts from 1 to FILL_REQUESTS.
 */
#define FILL_REQUESTS 10

void fill(struct uring *ring, int fd);

/* Returns whether the last file of the other end of pipe @fd is closed, in time. */
bool closes(int fd);

#endif /* MINIRING_SELFTEST_RING_OPS_H */
