// SPDX-License-Identifier: GPL-2.0
/*
 * More completions than the CQ has room for: none is lost, none overtakes another, and a flag in
 * the SQ shows the overflow.
 */
#include <poll.h>
#include "ring_test.h"

#define SQ 4
#define CQ 8

/* Submits requests numbered from 0, so that a gap or a swap shows. */
struct stream {
	struct uring ring;
	unsigned long long sent, seen;
};

FIXTURE(overflow)
{
	struct stream s;
};

FIXTURE_SETUP(overflow)
{
	ASSERT_EQ(0, uring_open(&self->s.ring, SQ));
	ASSERT_EQ(CQ, self->s.ring.p.cq_entries);
}

FIXTURE_TEARDOWN(overflow)
{
	uring_close(&self->s.ring);
}

static bool send(struct stream *s, int nr)
{
	while (nr) {
		int batch = nr < SQ ? nr : SQ;

		for (int i = 0; i < batch; i++)
			if (!uring_nop(&s->ring, s->sent++))
				return false;
		if (uring_submit(&s->ring) != batch)
			return false;
		nr -= batch;
	}
	return true;
}

/* Returns the number of completions, negative if one came out of order. */
static int receive(struct stream *s)
{
	struct io_uring_cqe *cqe;
	int nr = 0;

	while ((cqe = uring_peek(&s->ring))) {
		if (cqe->user_data != s->seen++)
			return -1 - nr;
		uring_advance(&s->ring, 1);
		nr++;
	}
	return nr;
}

static int flush(struct stream *s)
{
	return uring_enter(&s->ring, 0, 0, IORING_ENTER_GETEVENTS);
}

static unsigned int flagged(struct stream *s)
{
	return uring_load(s->ring.sq.flags) & IORING_SQ_CQ_OVERFLOW;
}

TEST_F(overflow, full_cq_is_no_overflow)
{
	ASSERT_TRUE(send(&self->s, CQ));
	EXPECT_EQ(0, flagged(&self->s));
	EXPECT_EQ(CQ, receive(&self->s));
	EXPECT_EQ(0, flush(&self->s));
	EXPECT_EQ(0, receive(&self->s));
}

TEST_F(overflow, one_cqe_too_many_sets_the_overflow_flag)
{
	ASSERT_TRUE(send(&self->s, CQ + 1));
	EXPECT_NE(0, flagged(&self->s));
	EXPECT_EQ(CQ, uring_ready(&self->s.ring));
}

TEST_F(overflow, overflowed_cqes_are_kept_in_order)
{
	int flushes = 0;

	ASSERT_TRUE(send(&self->s, 10 * CQ + 3));
	EXPECT_EQ(CQ, receive(&self->s));
	while (flagged(&self->s)) {
		ASSERT_GT(100, ++flushes);
		ASSERT_EQ(0, flush(&self->s));
		ASSERT_LT(0, receive(&self->s));
	}
	EXPECT_EQ(self->s.sent, self->s.seen);
	EXPECT_EQ(0, uring_ready(&self->s.ring));
}

TEST_F(overflow, last_flush_clears_the_overflow_flag)
{
	ASSERT_TRUE(send(&self->s, 2 * CQ + 1));
	ASSERT_EQ(CQ, receive(&self->s));
	EXPECT_EQ(0, flush(&self->s));
	EXPECT_EQ(CQ, uring_ready(&self->s.ring));
	EXPECT_NE(0, flagged(&self->s)) {
		TH_LOG("one is still waiting");
	}
	ASSERT_EQ(CQ, receive(&self->s));
	EXPECT_EQ(0, flush(&self->s));
	EXPECT_EQ(0, flagged(&self->s));
	EXPECT_EQ(1, receive(&self->s));
}

TEST_F(overflow, flush_fills_the_room_of_the_cq)
{
	ASSERT_TRUE(send(&self->s, CQ + 5));
	uring_advance(&self->s.ring, 3);
	EXPECT_EQ(0, flush(&self->s));
	EXPECT_EQ(CQ, uring_ready(&self->s.ring));
	EXPECT_NE(0, flagged(&self->s));
	self->s.seen = 3;
	EXPECT_EQ(CQ, receive(&self->s));
}

TEST_F(overflow, flush_without_room_changes_nothing)
{
	ASSERT_TRUE(send(&self->s, CQ + 2));
	EXPECT_EQ(0, flush(&self->s));
	EXPECT_EQ(CQ, uring_ready(&self->s.ring));
	EXPECT_NE(0, flagged(&self->s));
}

TEST_F(overflow, later_completions_do_not_overtake_kept_ones)
{
	ASSERT_TRUE(send(&self->s, CQ + 1));
	ASSERT_EQ(CQ, receive(&self->s));
	/* The CQ has room now, but an older completion still waits for its flush. */
	ASSERT_TRUE(send(&self->s, 3));
	EXPECT_LE(0, receive(&self->s));
	EXPECT_EQ(0, flush(&self->s));
	EXPECT_LE(0, receive(&self->s));
	EXPECT_EQ(self->s.sent, self->s.seen);
	EXPECT_EQ(0, flagged(&self->s));
}

TEST_F(overflow, kept_completions_are_not_counted_as_lost)
{
	ASSERT_TRUE(send(&self->s, 4 * CQ));
	EXPECT_EQ(0, uring_load(self->s.ring.cq.overflow));
	while (flagged(&self->s) || uring_ready(&self->s.ring)) {
		ASSERT_LE(0, receive(&self->s));
		ASSERT_EQ(0, flush(&self->s));
	}
	EXPECT_EQ(4 * CQ, self->s.seen);
	EXPECT_EQ(0, uring_load(self->s.ring.cq.overflow));
}

TEST_F(overflow, wait_counts_the_completions_that_it_flushes)
{
	ASSERT_TRUE(send(&self->s, 2 * CQ));
	ASSERT_EQ(CQ, receive(&self->s));
	EXPECT_EQ(0, enter_timeout(&self->s.ring, CQ, HANG_MS));
	EXPECT_EQ(CQ, receive(&self->s));
}

TEST_F(overflow, wait_with_a_full_cq_returns)
{
	ASSERT_TRUE(send(&self->s, 2 * CQ));
	EXPECT_EQ(0, enter_timeout(&self->s.ring, 2 * CQ, HANG_MS));
	EXPECT_EQ(CQ, uring_ready(&self->s.ring));
}

TEST_F(overflow, overflowed_ring_polls_readable_with_an_empty_cq)
{
	struct pollfd fd = { .fd = self->s.ring.fd, .events = POLLIN };

	ASSERT_TRUE(send(&self->s, CQ + 1));
	ASSERT_EQ(CQ, receive(&self->s));
	EXPECT_EQ(1, poll(&fd, 1, 0));
	EXPECT_EQ(POLLIN, fd.revents);
	ASSERT_EQ(0, flush(&self->s));
	ASSERT_EQ(1, receive(&self->s));
	EXPECT_EQ(0, poll(&fd, 1, 0));
}

TEST_F(overflow, overflow_flag_written_by_the_user_is_ignored)
{
	ASSERT_TRUE(send(&self->s, CQ + 2));
	uring_store(self->s.ring.sq.flags, 0);
	ASSERT_EQ(CQ, receive(&self->s));
	EXPECT_EQ(0, flush(&self->s));
	EXPECT_EQ(2, receive(&self->s));

	uring_store(self->s.ring.sq.flags, IORING_SQ_CQ_OVERFLOW);
	EXPECT_EQ(0, flush(&self->s));
	ASSERT_TRUE(send(&self->s, 1));
	EXPECT_EQ(1, receive(&self->s)) {
		TH_LOG("a flag that the user raised holds back nothing");
	}
}

TEST_F(overflow, flush_does_not_touch_the_word_after_the_cq_tail)
{
	unsigned int *word = self->s.ring.cq.tail + 1;

	if (on_io_uring())
		SKIP(return, "io_uring reserves no word");
	uring_store(word, 0xdeadbeef);
	ASSERT_TRUE(send(&self->s, 3 * CQ));
	while (flagged(&self->s)) {
		ASSERT_LE(0, receive(&self->s));
		ASSERT_EQ(0, flush(&self->s));
		ASSERT_EQ(0xdeadbeef, uring_load(word));
	}
}

TEST_F(overflow, ten_thousand_completions_are_kept)
{
	ASSERT_TRUE(send(&self->s, 10000));
	do {
		ASSERT_LE(0, receive(&self->s));
		ASSERT_EQ(0, flush(&self->s));
	} while (uring_ready(&self->s.ring));
	EXPECT_EQ(10000, self->s.seen);
	EXPECT_EQ(0, flagged(&self->s));
}

TEST_F(overflow, ring_can_close_with_kept_completions)
{
	for (int i = 0; i < 20; i++) {
		struct uring ring = {};

		ASSERT_EQ(0, uring_open(&ring, SQ));
		for (int j = 0; j < 100; j++) {
			ASSERT_NE(NULL, uring_nop(&ring, j));
			ASSERT_EQ(1, uring_submit(&ring));
		}
		uring_close(&ring);
	}
}

TEST_HARNESS_MAIN
