// SPDX-License-Identifier: GPL-2.0
/* Submission: the entries that are consumed, their order, and refused entries. */
#include <limits.h>
#include "ring_test.h"

FIXTURE(submit)
{
	struct uring ring;
};

FIXTURE_SETUP(submit)
{
	ASSERT_EQ(0, uring_open(&self->ring, 8));
}

FIXTURE_TEARDOWN(submit)
{
	uring_close(&self->ring);
}

TEST_F(submit, nop_completes_with_its_user_data)
{
	struct io_uring_cqe *cqe;

	ASSERT_NE(NULL, uring_nop(&self->ring, 0xfedcba9876543210));
	EXPECT_EQ(1, uring_submit(&self->ring));
	cqe = uring_peek(&self->ring);
	ASSERT_NE(NULL, cqe);
	EXPECT_EQ(0xfedcba9876543210, cqe->user_data);
	EXPECT_EQ(0, cqe->res);
	EXPECT_EQ(0, cqe->flags);
	EXPECT_EQ(1, uring_load(self->ring.sq.head));
	EXPECT_EQ(1, uring_ready(&self->ring));
}

TEST_F(submit, nop_returns_the_injected_result)
{
	const int results[] = { 0, 1, INT_MAX, -1, -EIO, INT_MIN };

	for (int i = 0; i < ARRAY_SIZE(results); i++) {
		struct io_uring_sqe *sqe = uring_nop(&self->ring, i);

		sqe->nop_flags = IORING_NOP_INJECT_RESULT;
		sqe->len = results[i];
	}
	EXPECT_EQ(ARRAY_SIZE(results), uring_submit(&self->ring)) {
		TH_LOG("a request that failed does not end the batch");
	}
	for (int i = 0; i < ARRAY_SIZE(results); i++) {
		struct io_uring_cqe *cqe = uring_peek(&self->ring);

		ASSERT_NE(NULL, cqe);
		EXPECT_EQ(i, cqe->user_data);
		EXPECT_EQ(results[i], cqe->res);
		uring_advance(&self->ring, 1);
	}
}

TEST_F(submit, nop_ignores_len_without_inject_result)
{
	uring_nop(&self->ring, 1)->len = 5;
	EXPECT_EQ(1, uring_submit(&self->ring));
	EXPECT_STREQ("1 0", next_cqe(&self->ring));
}

TEST_F(submit, batch_completes_in_order)
{
	for (int i = 0; i < 8; i++)
		ASSERT_NE(NULL, uring_nop(&self->ring, 100 + i));
	ASSERT_EQ(NULL, uring_nop(&self->ring, 108));
	EXPECT_EQ(8, uring_submit(&self->ring));
	for (int i = 0; i < 8; i++, uring_advance(&self->ring, 1)) {
		ASSERT_NE(NULL, uring_peek(&self->ring));
		EXPECT_EQ(100 + i, uring_peek(&self->ring)->user_data);
	}
	EXPECT_STREQ("none", next_cqe(&self->ring));
}

TEST_F(submit, indices_wrap_around_the_ring)
{
	unsigned long long sent = 0, seen = 0;
	unsigned int seed = 1;

	for (int round = 0; round < 5000; round++) {
		int nr = 1 + rand_r(&seed) % 8;

		for (int i = 0; i < nr; i++)
			ASSERT_NE(NULL, uring_nop(&self->ring, sent++));
		ASSERT_EQ(nr, uring_submit(&self->ring));
		for (int i = 0; i < nr; i++, uring_advance(&self->ring, 1)) {
			ASSERT_NE(NULL, uring_peek(&self->ring));
			ASSERT_EQ(seen++, uring_peek(&self->ring)->user_data);
		}
	}
	EXPECT_EQ(sent, uring_load(self->ring.sq.head));
	EXPECT_EQ(sent, uring_load(self->ring.cq.tail));
}

TEST_F(submit, sqes_are_taken_in_the_order_of_the_array)
{
	for (int i = 0; i < 4; i++)
		ASSERT_NE(NULL, uring_nop(&self->ring, i));
	self->ring.sq.array[0] = 3;
	self->ring.sq.array[1] = 1;
	self->ring.sq.array[2] = 1;
	self->ring.sq.array[3] = 0;
	EXPECT_EQ(4, uring_submit(&self->ring));
	EXPECT_STREQ("3 0", next_cqe(&self->ring));
	EXPECT_STREQ("1 0", next_cqe(&self->ring));
	EXPECT_STREQ("1 0", next_cqe(&self->ring));
	EXPECT_STREQ("0 0", next_cqe(&self->ring));
}

TEST_F(submit, invalid_index_is_dropped_and_ends_the_batch)
{
	const unsigned int invalid[] = { 8, 0x80000000, -1U };

	for (int i = 0; i < ARRAY_SIZE(invalid); i++) {
		unsigned int head = uring_load(self->ring.sq.head);

		for (int j = 0; j < 4; j++)
			ASSERT_NE(NULL, uring_nop(&self->ring, j));
		self->ring.sq.array[(head + 1) & 7] = invalid[i];
		EXPECT_EQ(1, uring_submit(&self->ring));
		EXPECT_EQ(i + 1, uring_load(self->ring.sq.dropped));
		EXPECT_EQ(head + 2, uring_load(self->ring.sq.head)) {
			TH_LOG("the dropped entry is consumed, but not counted");
		}
		EXPECT_STREQ("0 0", next_cqe(&self->ring));
		EXPECT_STREQ("none", next_cqe(&self->ring));
		EXPECT_EQ(2, uring_submit(&self->ring));
		EXPECT_STREQ("2 0", next_cqe(&self->ring));
		EXPECT_STREQ("3 0", next_cqe(&self->ring));
	}
}

TEST_F(submit, invalid_first_index_submits_nothing)
{
	ASSERT_NE(NULL, uring_nop(&self->ring, 1));
	self->ring.sq.array[0] = 8;
	EXPECT_EQ(0, uring_submit(&self->ring));
	EXPECT_EQ(1, uring_load(self->ring.sq.head));
	EXPECT_EQ(1, uring_load(self->ring.sq.dropped));
	EXPECT_STREQ("none", next_cqe(&self->ring));
}

TEST_F(submit, unknown_opcode_completes_with_einval)
{
	const unsigned char opcodes[] = { IORING_OP_LAST, 200, 255 };

	for (int i = 0; i < ARRAY_SIZE(opcodes); i++) {
		uring_nop(&self->ring, 9)->opcode = opcodes[i];
		EXPECT_EQ(1, uring_submit(&self->ring));
		EXPECT_STREQ("9 -EINVAL", next_cqe(&self->ring));
	}
}

TEST_F(submit, nop_with_unknown_flags_completes_with_an_error)
{
	uring_nop(&self->ring, 1)->flags = 1 << 7;
	EXPECT_EQ(1, uring_submit(&self->ring));
	EXPECT_STREQ("1 -EINVAL", next_cqe(&self->ring));

	uring_nop(&self->ring, 2)->flags = IOSQE_BUFFER_SELECT;
	EXPECT_EQ(1, uring_submit(&self->ring));
	EXPECT_STREQ("2 -EOPNOTSUPP", next_cqe(&self->ring));

	uring_nop(&self->ring, 3)->nop_flags = 1U << 31;
	EXPECT_EQ(1, uring_submit(&self->ring));
	EXPECT_STREQ("3 -EINVAL", next_cqe(&self->ring));

	uring_nop(&self->ring, 4)->ioprio = 1;
	EXPECT_EQ(1, uring_submit(&self->ring));
	EXPECT_STREQ("4 -EINVAL", next_cqe(&self->ring));

	uring_nop(&self->ring, 5)->personality = 1;
	EXPECT_EQ(1, uring_submit(&self->ring));
	EXPECT_STREQ("5 -EINVAL", next_cqe(&self->ring));
}

TEST_F(submit, submit_takes_no_more_than_was_published)
{
	EXPECT_EQ(0, uring_enter(&self->ring, 1, 0, 0));
	ASSERT_NE(NULL, uring_nop(&self->ring, 1));
	EXPECT_EQ(0, uring_enter(&self->ring, 1, 0, 0)) {
		TH_LOG("filled, but the tail has not moved");
	}
	uring_publish(&self->ring);
	EXPECT_EQ(1, uring_enter(&self->ring, 1000, 0, 0));
	EXPECT_EQ(0, uring_enter(&self->ring, -1U, 0, 0));
	EXPECT_STREQ("1 0", next_cqe(&self->ring));
	EXPECT_STREQ("none", next_cqe(&self->ring));
}

TEST_F(submit, submit_takes_no_more_than_to_submit)
{
	for (int i = 0; i < 4; i++)
		ASSERT_NE(NULL, uring_nop(&self->ring, i));
	uring_publish(&self->ring);
	EXPECT_EQ(0, uring_enter(&self->ring, 0, 0, 0));
	EXPECT_EQ(3, uring_enter(&self->ring, 3, 0, 0));
	EXPECT_EQ(3, uring_load(self->ring.sq.head));
	EXPECT_EQ(3, uring_ready(&self->ring));
	EXPECT_EQ(1, uring_enter(&self->ring, 3, 0, 0));
	EXPECT_EQ(4, uring_ready(&self->ring));
}

TEST_F(submit, short_submission_does_not_wait)
{
	ASSERT_NE(NULL, uring_nop(&self->ring, 1));
	uring_publish(&self->ring);
	EXPECT_EQ(1, uring_enter(&self->ring, 2, 8, IORING_ENTER_GETEVENTS));
}

TEST_F(submit, submission_stops_after_a_refused_entry)
{
	ASSERT_NE(NULL, uring_nop(&self->ring, 1));
	uring_nop(&self->ring, 2)->opcode = 255;
	ASSERT_NE(NULL, uring_nop(&self->ring, 3));
	EXPECT_EQ(2, uring_submit(&self->ring));
	EXPECT_EQ(2, uring_load(self->ring.sq.head));
	EXPECT_STREQ("1 0", next_cqe(&self->ring));
	EXPECT_STREQ("2 -EINVAL", next_cqe(&self->ring));
	EXPECT_STREQ("none", next_cqe(&self->ring));
	EXPECT_EQ(1, uring_submit(&self->ring));
	EXPECT_STREQ("3 0", next_cqe(&self->ring));
}

TEST_F(submit, consumed_entry_can_change)
{
	struct io_uring_sqe *sqe = uring_nop(&self->ring, 1);

	ASSERT_EQ(1, uring_submit(&self->ring));
	memset(sqe, 0xff, sizeof(*sqe));
	EXPECT_STREQ("1 0", next_cqe(&self->ring));
}

TEST_F(submit, cqe_skip_omits_success_only)
{
	struct io_uring_sqe *sqe;

	uring_nop(&self->ring, 1)->flags = IOSQE_CQE_SKIP_SUCCESS;
	sqe = uring_nop(&self->ring, 2);
	sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
	sqe->nop_flags = IORING_NOP_INJECT_RESULT;
	sqe->len = 17;
	sqe = uring_nop(&self->ring, 3);
	sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
	sqe->nop_flags = IORING_NOP_INJECT_RESULT;
	sqe->len = -EIO;
	ASSERT_NE(NULL, uring_nop(&self->ring, 4));
	sqe = uring_nop(&self->ring, 5);
	sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
	sqe->opcode = 255;

	EXPECT_EQ(5, uring_submit(&self->ring));
	EXPECT_STREQ("3 -EIO", next_cqe(&self->ring));
	EXPECT_STREQ("4 0", next_cqe(&self->ring));
	EXPECT_STREQ("5 -EINVAL", next_cqe(&self->ring));
	EXPECT_STREQ("none", next_cqe(&self->ring));
}

TEST(submit_all_continues_after_a_refused_entry)
{
	struct uring ring = { .p.flags = IORING_SETUP_SUBMIT_ALL };

	ASSERT_EQ(0, uring_open(&ring, 8));
	uring_nop(&ring, 1)->opcode = 255;
	ASSERT_NE(NULL, uring_nop(&ring, 2));
	uring_nop(&ring, 3)->flags = 1 << 7;
	ASSERT_NE(NULL, uring_nop(&ring, 4));
	EXPECT_EQ(4, uring_submit(&ring));
	EXPECT_STREQ("1 -EINVAL", next_cqe(&ring));
	EXPECT_STREQ("2 0", next_cqe(&ring));
	EXPECT_STREQ("3 -EINVAL", next_cqe(&ring));
	EXPECT_STREQ("4 0", next_cqe(&ring));
}

TEST(submit_all_still_stops_at_an_invalid_index)
{
	struct uring ring = { .p.flags = IORING_SETUP_SUBMIT_ALL };

	ASSERT_EQ(0, uring_open(&ring, 8));
	for (int i = 0; i < 3; i++)
		ASSERT_NE(NULL, uring_nop(&ring, i));
	ring.sq.array[1] = 8;
	EXPECT_EQ(1, uring_submit(&ring));
	EXPECT_EQ(2, uring_load(ring.sq.head));
	EXPECT_EQ(1, uring_load(ring.sq.dropped));
}

TEST(no_sqarray_takes_entries_in_place)
{
	struct uring ring = { .p.flags = IORING_SETUP_NO_SQARRAY };

	ASSERT_EQ(0, uring_open(&ring, 4));
	for (int round = 0; round < 100; round++) {
		for (int i = 0; i < 3; i++)
			ASSERT_NE(NULL, uring_nop(&ring, 3 * round + i));
		ASSERT_EQ(3, uring_submit(&ring));
		for (int i = 0; i < 3; i++, uring_advance(&ring, 1)) {
			ASSERT_NE(NULL, uring_peek(&ring));
			ASSERT_EQ(3 * round + i, uring_peek(&ring)->user_data);
		}
	}
	EXPECT_EQ(0, uring_load(ring.sq.dropped));
}

TEST_HARNESS_MAIN
