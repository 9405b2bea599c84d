// SPDX-License-Identifier: GPL-2.0
/*
 * Userspace may change an SQE and its index at any time. If the kernel loaded a word twice, it
 * could check one value and use another. Watchpoints on the kernel's addresses count the loads.
 * Unlike the races of ring_hostile, the counts do not depend on chance.
 */
#include "ring_test.h"
#include "watch.h"

/* No other allocations of this test have the sizes that belong to this number. */
#define ENTRIES 512
#define CALLS 10

FIXTURE(read_once)
{
	struct uring ring;
	unsigned long rings, sqes;
};

FIXTURE_SETUP(read_once)
{
	if (on_io_uring())
		SKIP(return, "io_uring's pages have no address of their own");
	ASSERT_EQ(0, uring_open(&self->ring, ENTRIES));
	self->rings = kernel_address(self->ring.map_len);
	self->sqes = kernel_address(self->ring.sqes_len);
	ASSERT_NE(0, self->rings);
	ASSERT_NE(0, self->sqes);
	/* Each position of the SQ selects entry 1. */
	for (int i = 0; i < ENTRIES; i++)
		self->ring.sq.array[i] = 1;
}

FIXTURE_TEARDOWN(read_once)
{
	uring_close(&self->ring);
}

/* Submits entry 1 @calls times, and checks each result. */
static int submit_entry(struct uring *ring, int calls, int res)
{
	for (int i = 0; i < calls; i++) {
		uring_store(ring->sq.tail, uring_load(ring->sq.head) + 1);
		if (uring_enter(ring, 1, 1, IORING_ENTER_GETEVENTS) != 1)
			return -EIO;
		if (uring_peek(ring)->res != res || uring_reap(ring) != 1)
			return -EBADMSG;
	}
	return 0;
}

TEST_F(read_once, sq_index_is_read_once)
{
	char *word = (char *)&self->ring.sq.array[0];
	struct watch watch;

	ASSERT_EQ(0, watch_open(&watch, self->rings + (word - (char *)self->ring.map), 4,
				HW_BREAKPOINT_RW));
	/* The SQ wraps CALLS times. */
	ASSERT_EQ(0, submit_entry(&self->ring, CALLS * ENTRIES, 0));
	EXPECT_EQ(CALLS, watch_close(&watch));
}

TEST_F(read_once, each_word_of_an_sqe_is_read_once)
{
	struct __kernel_timespec soon = { .tv_nsec = 1 };
	const struct {
		unsigned char opcode;
		int res;
	} ops[] = {
		{ IORING_OP_NOP, 0 },
		{ IORING_OP_READ, -EBADF },
		{ IORING_OP_WRITEV, -EBADF },
		{ IORING_OP_POLL_ADD, -EBADF },
		{ IORING_OP_POLL_REMOVE, -ENOENT },
		{ IORING_OP_TIMEOUT, -ETIME },
		{ IORING_OP_TIMEOUT_REMOVE, -ENOENT },
		{ IORING_OP_ASYNC_CANCEL, -ENOENT },
		{ IORING_OP_MSG_RING, -EBADF },
		{ IORING_OP_LAST, -EINVAL },
	};
	struct io_uring_sqe *sqe = &self->ring.sq.sqes[1];

	for (int i = 0; i < ARRAY_SIZE(ops); i++) {
		*sqe = (struct io_uring_sqe){ .opcode = ops[i].opcode, .fd = -1 };
		if (ops[i].opcode == IORING_OP_TIMEOUT) {
			sqe->addr = (unsigned long)&soon;
			sqe->len = 1;
		}
		for (int word = 0; word < sizeof(*sqe) / 8; word++) {
			struct watch watch;

			ASSERT_EQ(0, watch_open(&watch, self->sqes + sizeof(*sqe) + word * 8, 8,
						HW_BREAKPOINT_RW));
			ASSERT_EQ(0, submit_entry(&self->ring, CALLS, ops[i].res)) {
				TH_LOG("opcode %d", ops[i].opcode);
			}
			EXPECT_EQ(CALLS, watch_close(&watch)) {
				TH_LOG("opcode %d, word %d", ops[i].opcode, word);
			}
		}
	}
}

TEST_HARNESS_MAIN
