// SPDX-License-Identifier: GPL-2.0
/*
 * A file that transfers a part at once, and the rest only for a caller that
 * waits: modules/file_in_parts.c, which this program loads.
 */
#include <sys/uio.h>
#include "file_in_parts.h"
#include "ring_ops.h"
#include "ring_test.h"

FIXTURE(parts)
{
	struct uring ring;
	int file;
	char data[IN_PARTS_SIZE];
	char back[IN_PARTS_SIZE];
};

FIXTURE_SETUP(parts)
{
	ASSERT_EQ(0, uring_open(&self->ring, 8));
	self->file = open_in_parts();
	ASSERT_LE(0, self->file);
	for (int i = 0; i < IN_PARTS_SIZE; i++)
		self->data[i] = i * 7 + i / 256;
	ASSERT_EQ(IN_PARTS_SIZE, pwrite(self->file, self->data, IN_PARTS_SIZE, 0));
}

FIXTURE_TEARDOWN(parts)
{
	uring_close(&self->ring);
	EXPECT_EQ(0, close_in_parts(self->file));
}

/* Submits the prepared request and returns its result. */
static int result(struct uring *ring)
{
	int res = -9999;

	if (uring_submit(ring) == 1 && !enter_timeout(ring, 1, HANG_MS))
		res = uring_peek(ring)->res;
	uring_reap(ring);
	return res;
}

TEST_F(parts, short_transfer_is_completed_by_a_worker)
{
	struct uring *ring = &self->ring;

	prep_rw(ring, IORING_OP_READ, self->file, self->back, 1000, 30, 1);
	EXPECT_EQ(1000, result(ring));
	EXPECT_EQ(0, memcmp(self->data + 30, self->back, 1000));
	prep_rw(ring, IORING_OP_WRITE, self->file, self->data + 1, 4000, 0, 1);
	EXPECT_EQ(4000, result(ring));
	ASSERT_EQ(IN_PARTS_SIZE, pread(self->file, self->back, IN_PARTS_SIZE, 0));
	EXPECT_EQ(0, memcmp(self->data + 1, self->back, 4000));
	EXPECT_EQ(0, memcmp(self->data + 4000, self->back + 4000, 96));
}

TEST_F(parts, short_transfer_ends_at_the_end_of_the_file)
{
	struct uring *ring = &self->ring;

	prep_rw(ring, IORING_OP_READ, self->file, self->back, IN_PARTS_SIZE, 30, 1);
	EXPECT_EQ(IN_PARTS_SIZE - 30, result(ring));
	EXPECT_EQ(0, memcmp(self->data + 30, self->back, IN_PARTS_SIZE - 30));
	prep_rw(ring, IORING_OP_WRITE, self->file, self->data, IN_PARTS_SIZE, 30, 1);
	EXPECT_EQ(IN_PARTS_SIZE - 30, result(ring));
}

/* The parts end inside the first and the second vector. */
TEST_F(parts, short_transfer_of_vectors_is_completed)
{
	struct iovec iovs[3] = {
		{ self->back, 10 }, { self->back + 10, 200 }, { self->back + 210, 90 },
	};
	struct uring *ring = &self->ring;

	for (int off = 0; off <= 95; off += 95) {
		memset(self->back, 0, sizeof(self->back));
		prep_rw(ring, IORING_OP_READV, self->file, iovs, 3, off, 1);
		EXPECT_EQ(300, result(ring));
		EXPECT_EQ(0, memcmp(self->data + off, self->back, 300));
	}
}

TEST_F(parts, short_transfer_of_a_fixed_buffer_is_completed)
{
	struct iovec iov = { self->back, sizeof(self->back) };
	struct uring *ring = &self->ring;

	ASSERT_EQ(0, uring_register(ring, IORING_REGISTER_BUFFERS, &iov, 1));
	prep_rw(ring, IORING_OP_READ_FIXED, self->file, self->back + 5, 300, 7, 1);
	EXPECT_EQ(300, result(ring));
	EXPECT_EQ(0, memcmp(self->data + 7, self->back + 5, 300));
}

TEST_F(parts, short_transfer_moves_the_files_position)
{
	struct uring *ring = &self->ring;

	prep_rw(ring, IORING_OP_READ, self->file, self->back, 500, -1, 1);
	EXPECT_EQ(500, result(ring));
	EXPECT_EQ(0, memcmp(self->data, self->back, 500));
	EXPECT_EQ(500, lseek(self->file, 0, SEEK_CUR));
	ASSERT_EQ(50, lseek(self->file, 50, SEEK_SET));
	prep_rw(ring, IORING_OP_WRITE, self->file, self->data, 500, -1, 1);
	EXPECT_EQ(500, result(ring));
	EXPECT_EQ(550, lseek(self->file, 0, SEEK_CUR));
	ASSERT_EQ(500, pread(self->file, self->back, 500, 50));
	EXPECT_EQ(0, memcmp(self->data, self->back, 500));
}

TEST_F(parts, nowait_transfer_returns_the_part)
{
	struct uring *ring = &self->ring;

	prep_rw(ring, IORING_OP_READ, self->file, self->back, 500, 0, 1)->rw_flags = RWF_NOWAIT;
	EXPECT_EQ(IN_PARTS_AT_ONCE, result(ring));
	EXPECT_EQ(0, memcmp(self->data, self->back, IN_PARTS_AT_ONCE));
	prep_rw(ring, IORING_OP_READ, self->file, self->back, 500, IN_PARTS_AT_ONCE, 1)->rw_flags =
		RWF_NOWAIT;
	EXPECT_EQ(-EAGAIN, result(ring));
}

/* The chain continues, because the transfer is complete in the end. */
TEST_F(parts, short_transfer_does_not_end_a_chain)
{
	struct uring *ring = &self->ring;

	prep_rw(ring, IORING_OP_READ, self->file, self->back, 500, 0, 1)->flags = IOSQE_IO_LINK;
	prep_rw(ring, IORING_OP_WRITE, self->file, self->back, 500, 1000, 2)->flags = IOSQE_IO_LINK;
	uring_nop(ring, 3);
	ASSERT_EQ(3, uring_submit(ring));
	ASSERT_EQ(0, enter_timeout(ring, 3, HANG_MS));
	EXPECT_STREQ("1 500", next_cqe(ring));
	EXPECT_STREQ("2 500", next_cqe(ring));
	EXPECT_STREQ("3 0", next_cqe(ring));
	ASSERT_EQ(500, pread(self->file, self->back, 500, 1000));
	EXPECT_EQ(0, memcmp(self->data, self->back, 500));
}

TEST_HARNESS_MAIN
