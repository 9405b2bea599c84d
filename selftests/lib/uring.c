// SPDX-License-Identifier: GPL-2.0
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include "uring.h"

enum uring_backend uring_backend(void)
{
	const char *name = getenv("MINIRING_BACKEND");

	if (!name || !strcmp(name, "miniring"))
		return URING_MINIRING;
	if (!strcmp(name, "io_uring"))
		return URING_IO_URING;
	fprintf(stderr, "# MINIRING_BACKEND=%s: neither miniring nor io_uring\n", name);
	exit(1);
}

int uring_setup(enum uring_backend backend, unsigned int entries, unsigned int model,
		struct io_uring_params *p)
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

int uring_enter_arg(struct uring *ring, unsigned int to_submit, unsigned int min_complete,
		    unsigned int flags, const void *arg, size_t argsz)
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
	else
		ret = ioctl(ring->fd, MINIRING_IOC_ENTER, &enter);
	return ret < 0 ? -errno : ret;
}

int uring_register(struct uring *ring, unsigned int opcode, const void *arg, unsigned int nr_args)
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

size_t uring_map_len(const struct io_uring_params *p)
{
	size_t cq = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
	size_t sq = p->sq_off.array + p->sq_entries * sizeof(unsigned int);

	if (p->flags & IORING_SETUP_NO_SQARRAY)
		return cq;
	return cq > sq ? cq : sq;
}

int uring_mmap(struct uring *ring)
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

void uring_munmap(struct uring *ring)
{
	munmap(ring->map, ring->map_len);
	munmap(ring->sq.sqes, ring->sqes_len);
}

int uring_open_on(enum uring_backend backend, struct uring *ring, unsigned int entries)
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
