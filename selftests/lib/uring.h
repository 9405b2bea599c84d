/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A ring for tests, on either backend: the kernel's io_uring through its system calls, or
 * /dev/miniring through its ioctls. MINIRING_BACKEND in the environment is "miniring" (default) or
 * "io_uring".
 *
 * Every call returns the result of the system call, -errno for a failure, so that a test can
 * compare it with the expected error. Arguments are not checked: tests pass bad values on purpose.
 */
#ifndef MINIRING_SELFTEST_URING_H
#define MINIRING_SELFTEST_URING_H

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/miniring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MINIRING_DEVICE "/dev/miniring"

enum uring_backend {
	URING_MINIRING,
	URING_IO_URING,
};

struct uring_sq {
	unsigned int *head, *tail, *mask, *entries, *flags, *dropped;
	unsigned int *array;	/* NULL with IORING_SETUP_NO_SQARRAY */
	unsigned int filled;	/* the value of the tail when it is published */
	struct io_uring_sqe *sqes;
};

struct uring_cq {
	unsigned int *head, *tail, *mask, *entries, *flags, *overflow;
	struct io_uring_cqe *cqes;
};

/* Set @p.flags, @p.cq_entries and @model before uring_open(). 0 is the default of each. */
struct uring {
	int fd;
	enum uring_backend backend;
	unsigned int model;
	struct io_uring_params p;
	struct uring_sq sq;
	struct uring_cq cq;
	void *map;
	size_t map_len;
	size_t sqes_len;
};

enum uring_backend uring_backend(void);

/* Words of the ring: acquire stores of the other side, and publish. */
static inline unsigned int uring_load(const unsigned int *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void uring_store(unsigned int *word, unsigned int value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

/* The three calls. */

int uring_setup(enum uring_backend backend, unsigned int entries, unsigned int model,
		struct io_uring_params *p);

int uring_enter_arg(struct uring *ring, unsigned int to_submit, unsigned int min_complete,
		    unsigned int flags, const void *arg, size_t argsz);

int uring_register(struct uring *ring, unsigned int opcode, const void *arg, unsigned int nr_args);

/*
 * Calls with two numbers, which miniring has by value. Inline, as benchmarks count their
 * instructions. The ioctl of a 32-bit program has no room for two numbers.
 */

#define URING_BY_VALUE	(sizeof(long) == 8)

static inline int uring_enter(struct uring *ring, unsigned int to_submit,
			      unsigned int min_complete, unsigned int flags)
{
	int ret;

	if (ring->backend == URING_IO_URING)
		ret = syscall(__NR_io_uring_enter, ring->fd, to_submit,
			      min_complete, flags, NULL, 0);
	else if (URING_BY_VALUE && flags == (min_complete ? IORING_ENTER_GETEVENTS : 0))
		ret = ioctl(ring->fd, MINIRING_IOC_SUBMIT,
			    MINIRING_SUBMIT(to_submit, min_complete));
	else
		return uring_enter_arg(ring, to_submit, min_complete, flags, NULL, 0);
	return ret < 0 ? -errno : ret;
}

/* @opcode is an operation on an eventfd, and @value its descriptor, or 0 to unregister. */
static inline int uring_change_eventfd(struct uring *ring, unsigned int opcode, int value)
{
	bool registers = opcode != IORING_UNREGISTER_EVENTFD;
	int ret;

	if (ring->backend == URING_IO_URING || !URING_BY_VALUE)
		return uring_register(ring, opcode, registers ? &value : NULL, registers);
	ret = ioctl(ring->fd, MINIRING_IOC_EVENTFD, MINIRING_REGISTER(opcode, value));
	return ret < 0 ? -errno : ret;
}

static inline int uring_register_eventfd(struct uring *ring, int fd)
{
	return uring_change_eventfd(ring, IORING_REGISTER_EVENTFD, fd);
}

static inline int uring_unregister_eventfd(struct uring *ring)
{
	return uring_change_eventfd(ring, IORING_UNREGISTER_EVENTFD, 0);
}

/* Mappings. */

size_t uring_map_len(const struct io_uring_params *p);

int uring_mmap(struct uring *ring);

void uring_munmap(struct uring *ring);

int uring_open_on(enum uring_backend backend, struct uring *ring, unsigned int entries);

static inline int uring_open(struct uring *ring, unsigned int entries)
{
	return uring_open_on(uring_backend(), ring, entries);
}

static inline void uring_close(struct uring *ring)
{
	uring_munmap(ring);
	close(ring->fd);
}

/*
 * Submission: take a cleared entry, fill it, publish, enter. These functions and those of
 * completions are inline, as an application's are: benchmarks count their instructions.
 */

static inline struct io_uring_sqe *uring_get_sqe(struct uring *ring)
{
	unsigned int entries = ring->p.sq_entries;
	unsigned int slot = ring->sq.filled & (entries - 1);

	if (ring->sq.filled - uring_load(ring->sq.head) >= entries)
		return NULL;
	if (ring->sq.array)
		ring->sq.array[slot] = slot;
	ring->sq.filled++;
	return memset(&ring->sq.sqes[slot], 0, sizeof(struct io_uring_sqe));
}

/* Returns NULL when the submission queue is full. */
static inline struct io_uring_sqe *uring_nop(struct uring *ring,
					     unsigned long long user_data)
{
	struct io_uring_sqe *sqe = uring_get_sqe(ring);

	if (sqe) {
		sqe->opcode = IORING_OP_NOP;
		sqe->user_data = user_data;
	}
	return sqe;
}

/* Returns the number of entries that the kernel has yet to consume. */
static inline unsigned int uring_publish(struct uring *ring)
{
	uring_store(ring->sq.tail, ring->sq.filled);
	return ring->sq.filled - uring_load(ring->sq.head);
}

static inline int uring_submit(struct uring *ring)
{
	return uring_enter(ring, uring_publish(ring), 0, 0);
}

static inline int uring_submit_and_wait(struct uring *ring, unsigned int nr)
{
	return uring_enter(ring, uring_publish(ring), nr, IORING_ENTER_GETEVENTS);
}

/* Completions. */

static inline unsigned int uring_ready(struct uring *ring)
{
	return uring_load(ring->cq.tail) - *ring->cq.head;
}

static inline struct io_uring_cqe *uring_peek(struct uring *ring)
{
	if (!uring_ready(ring))
		return NULL;
	return &ring->cq.cqes[*ring->cq.head & (ring->p.cq_entries - 1)];
}

static inline void uring_advance(struct uring *ring, unsigned int nr)
{
	uring_store(ring->cq.head, *ring->cq.head + nr);
}

/* Reaps all completions. Returns their number. */
static inline unsigned int uring_reap(struct uring *ring)
{
	unsigned int nr = uring_ready(ring);

	uring_advance(ring, nr);
	return nr;
}

#endif /* MINIRING_SELFTEST_URING_H */
