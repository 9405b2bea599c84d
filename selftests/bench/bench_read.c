// SPDX-License-Identifier: GPL-2.0
/*
 * The cost of a read into a registered buffer, beside io_uring in the same boot. The file is
 * /dev/zero, which is ready at once, so the ring is measured. The output is that of bench_ring.
 * --instructions counts instructions.
 */
#include <fcntl.h>
#include <sys/uio.h>
#include "bench.h"

#define LEN 512

static char buffer[ENTRIES][LEN];
static int zero;

static void reads(struct uring *ring, int batch)
{
	int ret;

	for (int i = 0; i < batch; i++) {
		struct io_uring_sqe *sqe = uring_get_sqe(ring);

		sqe->opcode = IORING_OP_READ_FIXED;
		sqe->fd = zero;
		sqe->addr = (unsigned long)buffer[i];
		sqe->len = LEN;
		sqe->user_data = i;
	}
	ret = uring_submit(ring);
	if (ret != batch || uring_ready(ring) != batch)
		die("a batch was not completed", ret < 0 ? ret : -EIO);
	for (int i = 0; i < batch; i++, uring_advance(ring, 1)) {
		int res = uring_peek(ring)->res;

		if (res != LEN)
			die("a read was cut short", res < 0 ? res : -EIO);
	}
}

/* Registers the buffer, and checks a read: a side that does not read would seem fast. */
static void prepare(struct uring *ring)
{
	struct iovec iov = { buffer, sizeof(buffer) };

	check("register", uring_register(ring, IORING_REGISTER_BUFFERS, &iov, 1));
	memset(buffer, 0xff, sizeof(buffer));
	reads(ring, ENTRIES);
	for (int i = 0; i < ENTRIES; i++) {
		if (buffer[i][0] || memcmp(buffer[i], buffer[i] + 1, LEN - 1))
			die("what was read is not there", -EIO);
	}
}

int main(int argc, char **argv)
{
	const struct job one = { prepare, reads, 1 }, many = { prepare, reads, 32 };
	struct side sides[2] = {
		{ .name = "miniring" },
		{ .name = "io_uring", .backend = URING_IO_URING },
	};

	zero = open("/dev/zero", O_RDONLY);
	if (zero < 0)
		die("/dev/zero", -errno);
	if (argc == 2 && !strcmp(argv[1], "--instructions")) {
		bench_instructions("read.instructions", &one, sides);
		bench_instructions("read.instructions.batch32", &many, sides);
		return 0;
	} else if (argc == 2 && !strcmp(argv[1], "--self-check")) {
		sides[0] = sides[1];
	} else if (argc != 1) {
		fprintf(stderr, "usage: %s [--self-check | --instructions]\n", argv[0]);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	pin(0);
	bench_ns("read.batch1_ns", &one, sides);
	bench_ns("read.batch32_ns", &many, sides);
	return 0;
}
