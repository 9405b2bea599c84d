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

static inline enum uring_backend uring_backend(void)
{
	const char *name = getenv("MINIRING_BACKEND");

	if (!name || !strcmp(name, "miniring"))
		return URING_MINIRING;
	if (!strcmp(name, "io_uring"))
		return URING_IO_URING;
	fprintf(stderr, "# MINIRING_BACKEND=%s: neither miniring nor io_uring\n", name);
	exit(1);
}

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

static inline int uring_setup(enum uring_backend backend, unsigned int entries,
			      unsigned int model, struct io_uring_params *p)
{
	struct miniring_setup setup = {
		.entries = entries,
		.notify_model = model,
		.params = (unsigned long)p,
	};
	int fd, err;

	if (backend == URING_IO_URING) {
		fd = syscall(__NR_io_uring_setup, entries, p);
		return fd < 0 ? -errno : fd;
	}
	fd = open(MINIRING_DEVICE, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (ioctl(fd, MINIRING_IOC_SETUP, &setup)) {
		err = -errno;
		close(fd);
		return err;
	}
	return fd;
}

/* The ioctl of a 32-bit program has no room for two numbers. */
#define URING_BY_VALUE	(sizeof(long) == 8)

static inline int uring_enter_arg(struct uring *ring, unsigned int to_submit,
				  unsigned int min_complete, unsigned int flags,
				  const void *arg, size_t argsz)
{
	struct miniring_enter enter = {
		.to_submit = to_submit,
		.min_complete = min_complete,
		.flags = flags,
		.arg = (unsigned long)arg,
		.argsz = argsz,
	};
	int ret;

	if (ring->backend == URING_IO_URING)
		ret = syscall(__NR_io_uring_enter, ring->fd, to_submit,
			      min_complete, flags, arg, argsz);
	else if (URING_BY_VALUE && !arg &&
		 flags == (min_complete ? IORING_ENTER_GETEVENTS : 0))
		ret = ioctl(ring->fd, MINIRING_IOC_SUBMIT,
			    MINIRING_SUBMIT(to_submit, min_complete));
	else
		ret = ioctl(ring->fd, MINIRING_IOC_ENTER, &enter);
	return ret < 0 ? -errno : ret;
}

static inline int uring_enter(struct uring *ring, unsigned int to_submit,
			      unsigned int min_complete, unsigned int flags)
{
	return uring_enter_arg(ring, to_submit, min_complete, flags, NULL, 0);
}

static inline int uring_register(struct uring *ring, unsigned int opcode,
				 const void *arg, unsigned int nr_args)
{
	struct miniring_register reg = {
		.opcode = opcode,
		.nr_args = nr_args,
		.arg = (unsigned long)arg,
	};
	int ret;

	if (ring->backend == URING_IO_URING)
		ret = syscall(__NR_io_uring_register, ring->fd, opcode, arg, nr_args);
	else
		ret = ioctl(ring->fd, MINIRING_IOC_REGISTER, &reg);
	return ret < 0 ? -errno : ret;
}

/* The operations on an eventfd, whose argument can be passed by value. */
static inline int uring_register_value(struct uring *ring, unsigned int opcode, int value)
{
	int ret = ioctl(ring->fd, MINIRING_IOC_EVENTFD, MINIRING_REGISTER(opcode, value));

	return ret < 0 ? -errno : ret;
}

static inline int uring_register_eventfd(struct uring *ring, int fd)
{
	if (ring->backend == URING_IO_URING || !URING_BY_VALUE)
		return uring_register(ring, IORING_REGISTER_EVENTFD, &fd, 1);
	return uring_register_value(ring, IORING_REGISTER_EVENTFD, fd);
}

static inline int uring_unregister_eventfd(struct uring *ring)
{
	if (ring->backend == URING_IO_URING || !URING_BY_VALUE)
		return uring_register(ring, IORING_UNREGISTER_EVENTFD, NULL, 0);
	return uring_register_value(ring, IORING_UNREGISTER_EVENTFD, 0);
}

/* Mappings. */

static inline size_t uring_map_len(const struct io_uring_params *p)
{
	size_t cq = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
	size_t sq = p->sq_off.array + p->sq_entries * sizeof(unsigned int);

	if (p->flags & IORING_SETUP_NO_SQARRAY)
		return cq;
	return cq > sq ? cq : sq;
}

static inline int uring_mmap(struct uring *ring)
{
	const struct io_sqring_offsets *so = &ring->p.sq_off;
	const struct io_cqring_offsets *co = &ring->p.cq_off;
	char *map;

	ring->map_len = uring_map_len(&ring->p);
	map = mmap(NULL, ring->map_len, PROT_READ | PROT_WRITE,
		   MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQ_RING);
	if (map == MAP_FAILED)
		return -errno;
	ring->map = map;
	ring->sq = (struct uring_sq){
		.head = (unsigned int *)(map + so->head),
		.tail = (unsigned int *)(map + so->tail),
		.mask = (unsigned int *)(map + so->ring_mask),
		.entries = (unsigned int *)(map + so->ring_entries),
		.flags = (unsigned int *)(map + so->flags),
		.dropped = (unsigned int *)(map + so->dropped),
	};
	if (!(ring->p.flags & IORING_SETUP_NO_SQARRAY))
		ring->sq.array = (unsigned int *)(map + so->array);
	ring->cq = (struct uring_cq){
		.head = (unsigned int *)(map + co->head),
		.tail = (unsigned int *)(map + co->tail),
		.mask = (unsigned int *)(map + co->ring_mask),
		.entries = (unsigned int *)(map + co->ring_entries),
		.flags = (unsigned int *)(map + co->flags),
		.overflow = (unsigned int *)(map + co->overflow),
		.cqes = (struct io_uring_cqe *)(map + co->cqes),
	};

	ring->sqes_len = ring->p.sq_entries * sizeof(struct io_uring_sqe);
	ring->sq.sqes = mmap(NULL, ring->sqes_len, PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_POPULATE, ring->fd, IORING_OFF_SQES);
	if (ring->sq.sqes == MAP_FAILED) {
		int err = -errno;

		munmap(map, ring->map_len);
		return err;
	}
	return 0;
}

static inline void uring_munmap(struct uring *ring)
{
	munmap(ring->map, ring->map_len);
	munmap(ring->sq.sqes, ring->sqes_len);
}

static inline int uring_open_on(enum uring_backend backend, struct uring *ring,
				unsigned int entries)
{
	int err;

	ring->backend = backend;
	ring->fd = uring_setup(backend, entries, ring->model, &ring->p);
	if (ring->fd < 0)
		return ring->fd;
	err = uring_mmap(ring);
	if (err)
		close(ring->fd);
	return err;
}

static inline int uring_open(struct uring *ring, unsigned int entries)
{
	return uring_open_on(uring_backend(), ring, entries);
}

static inline void uring_close(struct uring *ring)
{
	uring_munmap(ring);
	close(ring->fd);
}

/* Submission: take a cleared entry, fill it, publish, enter. */

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
