// SPDX-License-Identifier: GPL-2.0
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include "hang.h"
#include "ring_base.h"
#include "ring_fds.h"

int pass_fd(int socket, int fd)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = {};
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	if (fd >= 0) {
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
		return sendmsg(socket, &msg, 0) == 1 ? 0 : -errno;
	}
	if (recvmsg(socket, &msg, MSG_CMSG_CLOEXEC) != 1)
		return -errno;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (!cmsg || cmsg->cmsg_type != SCM_RIGHTS)
		return -ENOMSG;
	memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
	return fd;
}

struct tally tally(struct uring *ring, int nr)
{
	long long end = now_ms() + HANG_MS;
	struct tally seen = {};

	do {
		struct io_uring_cqe *cqe;

		if (seen.total < nr && !uring_ready(ring))
			enter_timeout(ring, 1, 1000);
		while ((cqe = uring_peek(ring))) {
			seen.total++;
			seen.cancelled += cqe->res == -ECANCELED;
			uring_advance(ring, 1);
		}
	} while (seen.total < nr && now_ms() < end);
	return seen;
}
