// SPDX-License-Identifier: GPL-2.0
/*
 * The ring of a 32-bit program on a 64-bit kernel. Structures with pointers, such as struct iovec,
 * have another layout. The tests cover vectors of a request, vectors that a worker continues,
 * registered buffers, and SQPOLL. Built with the kernel's nolibc, for a toolchain whose C library
 * has 64 bits.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include "kselftest.h"
#include "uring.h"

#define ENTRIES 8

static struct uring ring;
/* Flags of an ENTER that submits: IORING_ENTER_SQ_WAKEUP with SQPOLL. */
static unsigned int wakeup;
static int fds[2];
static char text[16];
static char pages[8192];

/* Submits the prepared request and returns its result. */
static int result(void)
{
	struct io_uring_cqe *cqe;
	int res;

	uring_publish(&ring);
	res = uring_enter(&ring, 1, 1, IORING_ENTER_GETEVENTS | wakeup);
	if (res != 1)
		return res < 0 ? res : -9999;
	cqe = uring_peek(&ring);
	if (!cqe || cqe->user_data != 0x123456789abcdefULL)
		return -9998;
	res = cqe->res;
	uring_advance(&ring, 1);
	return res;
}

static struct io_uring_sqe *prepare(int opcode, int fd, const void *addr, unsigned int len)
{
	struct io_uring_sqe *sqe = uring_get_sqe(&ring);

	sqe->opcode = opcode;
	sqe->fd = fd;
	sqe->addr = (unsigned long)addr;
	sqe->len = len;
	sqe->user_data = 0x123456789abcdefULL;
	return sqe;
}

static bool vectors(void)
{
	char a[] = "abc", b[] = "defg";
	struct iovec iov[2] = { { a, 3 }, { b, 4 } };

	prepare(IORING_OP_WRITEV, fds[1], iov, 2);
	if (result() != 7)
		return false;
	memset(a, 0, sizeof(a));
	memset(b, 0, sizeof(b));
	iov[0].iov_len = 2;
	prepare(IORING_OP_READV, fds[0], iov, 2);
	return result() == 6 && !memcmp(a, "ab", 3) && !memcmp(b, "cdef", 4) &&
	       read(fds[0], text, sizeof(text)) == 1;
}

/* The worker reads the vectors with the layout of this program. */
static bool vectors_of_a_worker(void)
{
	char a[] = "abc", b[] = "defg";
	struct iovec iov[2] = { { a, 3 }, { b, 4 } };

	prepare(IORING_OP_WRITEV, fds[1], iov, 2)->flags = IOSQE_ASYNC;
	if (result() != 7)
		return false;
	memset(b, 0, sizeof(b));
	prepare(IORING_OP_READV, fds[0], iov, 2)->flags = IOSQE_ASYNC;
	return result() == 7 && !memcmp(b, "defg", 4);
}

/* The pipe is empty when the request is submitted. */
static bool vectors_that_wait(void)
{
	char a[3] = {}, b[3] = {};
	struct iovec iov[2] = { { a, 2 }, { b, 2 } };
	struct io_uring_cqe *cqe;

	prepare(IORING_OP_READV, fds[0], iov, 2);
	uring_publish(&ring);
	if (uring_enter(&ring, 1, 0, wakeup) != 1 || uring_ready(&ring) ||
	    write(fds[1], "wxyz", 4) != 4 ||
	    uring_enter(&ring, 0, 1, IORING_ENTER_GETEVENTS))
		return false;
	cqe = uring_peek(&ring);
	if (!cqe || cqe->res != 4)
		return false;
	uring_advance(&ring, 1);
	return !memcmp(a, "wx", 3) && !memcmp(b, "yz", 3);
}

static bool lengths_that_are_negative(void)
{
	struct iovec iov = { text, 0x80000000 };

	prepare(IORING_OP_READV, fds[0], &iov, 1);
	return result() == -EINVAL;
}

/* A 64-bit array would extend into the hole, which the kernel must not read. */
static bool the_last_vector_before_a_hole(void)
{
	char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct iovec *iov;
	bool fine;

	if (map == MAP_FAILED || munmap(map + 4096, 4096))
		return false;
	iov = (struct iovec *)(map + 4096) - 1;
	*iov = (struct iovec){ text, 2 };
	prepare(IORING_OP_WRITEV, fds[1], iov, 1);
	fine = result() == 2 && read(fds[0], text, sizeof(text)) == 2;
	prepare(IORING_OP_WRITEV, fds[1], iov, 2);
	return fine && result() == -EFAULT && !munmap(map, 4096);
}

static bool more_vectors_than_there_may_be(void)
{
	static struct iovec iov[1025];

	iov[1023] = (struct iovec){ text, 3 };
	prepare(IORING_OP_WRITEV, fds[1], iov, 1024);
	if (result() != 3 || read(fds[0], text, sizeof(text)) != 3)
		return false;
	prepare(IORING_OP_WRITEV, fds[1], iov, 1025);
	return result() == -EINVAL;
}

static bool registered_buffers(void)
{
	struct iovec iov[2] = { { pages, 4096 }, { pages + 4096, 4096 } };
	bool fine;

	if (uring_register(&ring, IORING_REGISTER_BUFFERS, iov, 2))
		return false;
	memcpy(pages + 5000, "fixed", 5);
	prepare(IORING_OP_WRITE_FIXED, fds[1], pages + 5000, 5)->buf_index = 1;
	fine = result() == 5;
	prepare(IORING_OP_READ_FIXED, fds[0], pages + 10, 5)->buf_index = 0;
	fine = fine && result() == 5 && !memcmp(pages + 10, "fixed", 5);
	prepare(IORING_OP_READ_FIXED, fds[0], pages + 10, 5)->buf_index = 1;
	fine = fine && result() == -EFAULT;
	return fine && !uring_register(&ring, IORING_UNREGISTER_BUFFERS, NULL, 0);
}

/* Structures without pointers have the layout of 64 bits. */
static bool timeouts(void)
{
	struct __kernel_timespec ts = { .tv_nsec = 1000000 };
	struct io_uring_getevents_arg arg = { .ts = (unsigned long)&ts };

	/* Half of tv_nsec is padding, which the thread must ignore. */
	if (!wakeup)
		ts.tv_nsec |= 0xabcdULL << 32;
	prepare(IORING_OP_TIMEOUT, -1, &ts, 1);
	return result() == -ETIME &&
	       uring_enter_arg(&ring, 0, 1, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg,
			       sizeof(arg)) == -ETIME;
}

static const struct {
	const char *name;
	bool (*run)(void);
} tests[] = {
	{ "vectors", vectors },
	{ "vectors of a worker", vectors_of_a_worker },
	{ "vectors that wait", vectors_that_wait },
	{ "lengths that are negative", lengths_that_are_negative },
	{ "the last vector before a hole", the_last_vector_before_a_hole },
	{ "more vectors than there may be", more_vectors_than_there_may_be },
	{ "registered buffers", registered_buffers },
	{ "timeouts", timeouts },
};

/* struct iovec of a 64-bit program. */
struct iovec64 {
	unsigned long long base, len;
};

/* A 64-bit program made the ring. */
static bool vectors_of_64_bits(int fd, int params)
{
	char a[] = "abc", b[] = "defg";
	struct iovec64 iov[2] = { { (unsigned long)a, 3 }, { (unsigned long)b, 4 } };

	wakeup = 0;
	ring = (struct uring){ .fd = fd, .backend = uring_backend() };
	if (read(params, &ring.p, sizeof(ring.p)) != sizeof(ring.p) || uring_mmap(&ring) ||
	    pipe(fds))
		return false;
	prepare(IORING_OP_WRITEV, fds[1], iov, 2);
	if (result() != 7)
		return false;
	memset(a, 0, sizeof(a));
	memset(b, 0, sizeof(b));
	prepare(IORING_OP_READV, fds[0], iov, 2);
	if (result() != 7 || memcmp(a, "abc", 4) || memcmp(b, "defg", 5))
		return false;
	iov[1].base = 1ULL << 63;
	prepare(IORING_OP_WRITEV, fds[1], iov, 2);
	if (result() != -EFAULT)
		return false;
	iov[1].len = 1ULL << 63;
	prepare(IORING_OP_WRITEV, fds[1], iov, 2);
	return result() == -EINVAL;
}

static void run_all(const char *who, unsigned int flags)
{
	int err;

	ring = (struct uring){ .p.flags = flags };
	wakeup = flags & IORING_SETUP_SQPOLL ? IORING_ENTER_SQ_WAKEUP : 0;
	err = uring_open(&ring, ENTRIES);
	if (err || pipe(fds))
		ksft_exit_fail_msg("no ring (%d) or pipe\n", err);
	for (int i = 0; i < ARRAY_SIZE(tests); i++)
		ksft_test_result(tests[i].run(), "%s, %s\n", tests[i].name, who);
	uring_close(&ring);
	close(fds[0]);
	close(fds[1]);
}

int main(int argc, char **argv)
{
	ksft_print_header();
	ksft_set_plan(2 * ARRAY_SIZE(tests) + 1);
	run_all("submitted by the program", 0);
	run_all("submitted by a thread", IORING_SETUP_SQPOLL);
	ksft_test_result(argc == 3 && vectors_of_64_bits(atoi(argv[1]), atoi(argv[2])),
			 "vectors of 64 bits, on a ring of such a program\n");
	ksft_finished();
}
