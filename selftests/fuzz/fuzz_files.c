// SPDX-License-Identifier: GPL-2.0
/* Operations on files of the device and others, and on mappings of rings. */
#include <sys/socket.h>
#include "fuzz_ops.h"

void do_open(struct worker *w, const struct op *op)
{
	static const int flags[] = {
		O_RDWR, O_RDWR, O_RDWR | O_NONBLOCK, O_RDONLY, O_WRONLY, O_PATH,
	};
	int fd = CALL(w, open(MINIRING_DEVICE, O_CLOEXEC | flags[op->gene[0] % ARRAY_LEN(flags)]));

	if (fd >= 0)
		slot_set(w, slot_of(w, op), fd);
}

void do_close(struct worker *w, const struct op *op)
{
	slot_set(w, slot_of(w, op), -1);
}

void do_dup(struct worker *w, const struct op *op)
{
	struct slot *from = slot_of(w, op);
	struct slot *to = slot_of(w, &(struct op){ .slot = op->gene[0] % 256 });
	int fd = CALL(w, dup(slot_fd(from)));

	if (fd < 0)
		return;
	to->p = from->p;
	slot_set(w, to, fd);
}

/*
 * Passes a file over a socket, which may hold the file when its last descriptor
 * is closed.
 */
void do_pass(struct worker *w, const struct op *op)
{
	struct slot *s = slot_of(w, op);
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = {};
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	int fd = slot_fd(s);

	if (op->gene[0] % 2) {
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
		if (CALL(w, sendmsg(w->sockets[0], &msg, MSG_DONTWAIT)) == 1 &&
		    op->gene[1] % 4 == 0)
			slot_set(w, s, -1);
		return;
	}
	if (CALL(w, recvmsg(w->sockets[1], &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)) != 1)
		return;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg && cmsg->cmsg_type == SCM_RIGHTS) {
		memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
		slot_set(w, s, fd);
	}
}

/* Operations that the device lacks, or leaves to the kernel. */
void do_other(struct worker *w, const struct op *op)
{
	struct slot *s = slot_of(w, op);
	int fd = slot_fd(s);

	switch (op->gene[0] % 8) {
	case 0:
		CALL(w, read(fd, w->arena + PAGE, 64));
		break;
	case 1:
		CALL(w, write(fd, w->arena + PAGE, 64));
		break;
	case 2:
		CALL(w, lseek(fd, op->gene[1], SEEK_SET));
		break;
	case 3:
		CALL(w, fsync(fd));
		break;
	case 4:
		CALL(w, fcntl(fd, F_SETFL, op->gene[1] % 2 ? O_NONBLOCK | O_ASYNC : 0));
		break;
	case 5:
		CALL(w, ioctl(fd, number(op->gene[1]), op->gene[2]));
		break;
	case 6:
		CALL(w, ioctl(fd, _IOWR(MINIRING_IOC_MAGIC, op->gene[1] % 8, char[24]), w->arena));
		break;
	default:
		CALL(w, madvise(s->window[op->gene[1] % REGIONS], PAGE,
				op->gene[2] % 2 ? MADV_DONTNEED : MADV_DONTFORK));
	}
}

/* The memory of a ring. */

static size_t region_len(const struct slot *s, int region)
{
	size_t len = region == REGION_SQES ? s->p.sq_entries * sizeof(struct io_uring_sqe) :
					     uring_map_len(&s->p);

	return len && len <= WINDOW ? len : PAGE;
}

/* Unmaps the window of a region. No other mapping can come there. */
static bool reserve(struct slot *s, int region)
{
	char *window = s->window[region];

	s->mapped &= ~(1U << region);
	return mmap(window, WINDOW, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED |
		    MAP_NORESERVE, -1, 0) == window;
}

static void map(struct worker *w, struct slot *s, int region, size_t len, int prot, int flags)
{
	static const unsigned long long offsets[] = {
		IORING_OFF_SQ_RING, IORING_OFF_CQ_RING, IORING_OFF_SQES,
	};
	void *p = CALL(w, mmap(s->window[region], len, prot, flags | MAP_FIXED, slot_fd(s),
			       offsets[region]));

	if (p == MAP_FAILED) {
		expect(w, "mmap", -errno, ALLOWED(EINVAL, EBADFD, EPERM, EACCES, ENOMEM, EAGAIN));
		reserve(s, region);
		return;
	}
	s->mapped |= 1U << region;
}

/* Makes a ring as a program does, so that other operations have a working ring. */
void do_map(struct worker *w, const struct op *op)
{
	struct slot *s = slot_of(w, op);

	map(w, s, REGION_SQ, region_len(s, REGION_SQ), PROT_READ | PROT_WRITE, MAP_SHARED);
	map(w, s, REGION_SQES, region_len(s, REGION_SQES), PROT_READ | PROT_WRITE, MAP_SHARED);
}

void do_map_oddly(struct worker *w, const struct op *op)
{
	struct slot *s = slot_of(w, op);
	unsigned int a = op->gene[0], b = op->gene[1];
	int region = a % REGIONS;
	size_t len = region_len(s, region);
	int prot = PROT_READ | PROT_WRITE, flags = MAP_SHARED;

	if (b % 4 == 0)
		len = (1 + number(b / 4) % (WINDOW / PAGE)) * PAGE;
	if (a / 4 % 8 == 0)
		prot = a / 32 % 8;
	if (a / 256 % 8 == 0)
		flags = MAP_PRIVATE;
	if (a / 2048 % 16 == 0)
		flags |= MAP_POPULATE;
	if (b / 256 % 8 == 0) {
		void *p = CALL(w, mmap(s->window[region], len, prot, flags | MAP_FIXED, slot_fd(s),
				       (unsigned long long)op->gene[2] << 12));

		if (p == MAP_FAILED)
			reserve(s, region);
		return;
	}
	map(w, s, region, len, prot, flags);
	if (b / 2048 % 4 == 0)
		CALL(w, mprotect(s->window[region], PAGE, b / 8192 % 8));
}

void do_unmap(struct worker *w, const struct op *op)
{
	struct slot *s = slot_of(w, op);
	int region = op->gene[0] % REGIONS;

	w->calls++;
	reserve(s, region);
}
