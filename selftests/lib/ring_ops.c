// SPDX-License-Identifier: GPL-2.0
#include <poll.h>
#include "hang.h"
#include "ring_ops.h"

struct io_uring_sqe *prep(struct uring *ring, int opcode, int fd, unsigned long long user_data)
{
	struct io_uring_sqe *sqe = uring_get_sqe(ring);

	sqe->opcode = opcode;
	sqe->fd = fd;
	sqe->user_data = user_data;
	return sqe;
}

struct io_uring_sqe *prep_poll(struct uring *ring, int fd, unsigned int events, unsigned int flags,
			       unsigned long long user_data)
{
	struct io_uring_sqe *sqe = prep(ring, IORING_OP_POLL_ADD, fd, user_data);

	sqe->poll32_events = events;
	sqe->len = flags;
	return sqe;
}

struct io_uring_sqe *prep_rw(struct uring *ring, int opcode, int fd, const void *addr,
			     unsigned int len, long long off, unsigned long long user_data)
{
	struct io_uring_sqe *sqe = prep(ring, opcode, fd, user_data);

	sqe->addr = (unsigned long)addr;
	sqe->len = len;
	sqe->off = off;
	return sqe;
}

struct io_uring_sqe *read_byte(struct uring *ring, int fd, unsigned long long user_data)
{
	static char byte;

	return prep_rw(ring, IORING_OP_READ, fd, &byte, 1, 0, user_data);
}

struct io_uring_sqe *prep_timeout(struct uring *ring, const struct __kernel_timespec *ts,
				  unsigned int count, unsigned int flags,
				  unsigned long long user_data)
{
	struct io_uring_sqe *sqe = prep(ring, IORING_OP_TIMEOUT, -1, user_data);

	sqe->addr = (unsigned long)ts;
	sqe->len = 1;
	sqe->off = count;
	sqe->timeout_flags = flags;
	return sqe;
}

struct io_uring_sqe *never(struct uring *ring, unsigned long long user_data)
{
	static const struct __kernel_timespec ts = { .tv_sec = 1000 };

	return prep_timeout(ring, &ts, 0, 0, user_data);
}

struct io_uring_sqe *prep_undo(struct uring *ring, int opcode, unsigned long long target,
			       unsigned long long user_data)
{
	struct io_uring_sqe *sqe = prep(ring, opcode, -1, user_data);

	sqe->addr = target;
	return sqe;
}

void fill(struct uring *ring, int fd)
{
	poll_in(ring, fd, 1);
	prep_poll(ring, fd, POLLIN, IORING_POLL_ADD_MULTI, 2);
	read_byte(ring, fd, 3);
	read_byte(ring, fd, 4)->flags = IOSQE_ASYNC;
	never(ring, 5)->off = 100;
	never(ring, 6)->flags = IOSQE_IO_HARDLINK;
	poll_in(ring, fd, 7)->flags = IOSQE_IO_HARDLINK;
	read_byte(ring, fd, 8);
	uring_nop(ring, 9)->flags = IOSQE_IO_DRAIN;
	read_byte(ring, fd, 10);
}

bool closes(int fd)
{
	struct pollfd pfd = { .fd = fd };

	return poll(&pfd, 1, HANG_MS) == 1 && pfd.revents & (POLLHUP | POLLERR);
}
