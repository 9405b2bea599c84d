// SPDX-License-Identifier: GPL-2.0
/* Links, drained requests, skipped completions, and messages to other rings. */
#include <fcntl.h>
#include "ring_ops.h"
#include "ring_test.h"

static struct io_uring_sqe *nop(struct uring *ring, unsigned long long user_data, int flags,
				int res)
{
	struct io_uring_sqe *sqe = uring_nop(ring, user_data);

	sqe->flags = flags;
	if (res) {
		sqe->nop_flags = IORING_NOP_INJECT_RESULT;
		sqe->len = res;
	}
	return sqe;
}

FIXTURE(link)
{
	struct uring ring;
	int fds[2];
};

FIXTURE_SETUP(link)
{
	ASSERT_EQ(0, uring_open(&self->ring, 16));
	ASSERT_EQ(0, pipe(self->fds));
}

FIXTURE_TEARDOWN(link)
{
	close(self->fds[0]);
	close(self->fds[1]);
	uring_close(&self->ring);
}

TEST_F(link, chain_completes_in_order)
{
	struct uring *ring = &self->ring;

	poll_in(ring, self->fds[0], 1)->flags = IOSQE_IO_LINK;
	nop(ring, 2, IOSQE_IO_LINK, 0);
	nop(ring, 3, 0, 0);
	nop(ring, 4, 0, 0);
	ASSERT_EQ(4, uring_submit(ring));
	EXPECT_STREQ("4 0", next_cqe(ring));
	sleep_ms(5);
	EXPECT_STREQ("none", next_cqe(ring));
	ASSERT_EQ(1, write(self->fds[1], "x", 1));
	EXPECT_STREQ("1 1", wait_next_cqe(ring));
	EXPECT_STREQ("2 0", wait_next_cqe(ring));
	EXPECT_STREQ("3 0", wait_next_cqe(ring));
}

TEST_F(link, failure_cancels_the_rest_of_a_chain)
{
	struct uring *ring = &self->ring;

	nop(ring, 1, IOSQE_IO_LINK, 0);
	nop(ring, 2, IOSQE_IO_LINK, -EIO);
	nop(ring, 3, IOSQE_IO_LINK, 0);
	nop(ring, 4, 0, 0);
	nop(ring, 5, 0, 0);
	ASSERT_EQ(5, uring_submit(ring));
	ASSERT_EQ(0, enter_timeout(ring, 5, HANG_MS));
	unsigned int seen = 0;

	for (int i = 0; i < 5; i++) {
		struct io_uring_cqe *cqe = uring_peek(ring);
		const int expected[] = { 0, 0, -EIO, -ECANCELED, -ECANCELED, 0 };

		ASSERT_NE(NULL, cqe);
		EXPECT_EQ(expected[cqe->user_data], cqe->res);
		seen |= 1 << cqe->user_data;
		uring_advance(ring, 1);
	}
	EXPECT_EQ(0x3e, seen);
}

TEST_F(link, hard_link_continues_after_a_failure)
{
	struct uring *ring = &self->ring;

	nop(ring, 1, IOSQE_IO_HARDLINK, -EIO);
	nop(ring, 2, IOSQE_IO_HARDLINK, 0);
	nop(ring, 3, IOSQE_IO_LINK, -EIO);
	nop(ring, 4, 0, 0);
	ASSERT_EQ(4, uring_submit(ring));
	EXPECT_STREQ("1 -EIO", wait_next_cqe(ring));
	EXPECT_STREQ("2 0", wait_next_cqe(ring));
	EXPECT_STREQ("3 -EIO", wait_next_cqe(ring));
	EXPECT_STREQ("4 -ECANCELED", wait_next_cqe(ring));
}

TEST_F(link, refused_request_cancels_its_whole_chain)
{
	struct uring *ring = &self->ring;

	nop(ring, 1, IOSQE_IO_LINK, 0);
	nop(ring, 2, IOSQE_IO_LINK, 0)->opcode = 255;
	nop(ring, 3, 0, 0);
	nop(ring, 4, 0, 0);
	ASSERT_EQ(4, uring_submit(ring));
	/* In this order, except the last, which is not in the chain. */
	ASSERT_EQ(0, enter_timeout(ring, 4, HANG_MS));
	for (int i = 1; i <= 3;) {
		const int expected[] = { 0, -ECANCELED, -EINVAL, -ECANCELED, 0 };
		struct io_uring_cqe *cqe = uring_peek(ring);

		ASSERT_NE(NULL, cqe);
		EXPECT_EQ(expected[cqe->user_data], cqe->res);
		if (cqe->user_data != 4)
			EXPECT_EQ(i++, cqe->user_data);
		uring_advance(ring, 1);
	}
}

TEST_F(link, refused_last_request_of_a_chain_ends_the_batch)
{
	struct uring *ring = &self->ring;

	nop(ring, 1, IOSQE_IO_LINK, 0);
	nop(ring, 2, 0, 0)->opcode = 255;
	nop(ring, 3, 0, 0);
	ASSERT_EQ(2, uring_submit(ring));
	EXPECT_STREQ("1 -ECANCELED", wait_next_cqe(ring));
	EXPECT_STREQ("2 -EINVAL", wait_next_cqe(ring));
	EXPECT_STREQ("none", next_cqe(ring));
}

TEST_F(link, chain_ends_with_the_submission)
{
	struct uring *ring = &self->ring;

	nop(ring, 1, IOSQE_IO_LINK, 0);
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("1 0", wait_next_cqe(ring));
	nop(ring, 2, 0, 0);
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("2 0", wait_next_cqe(ring));
}

TEST_F(link, cqe_skip_hides_successes_and_the_rest_of_a_failed_chain)
{
	struct uring *ring = &self->ring;
	int skip = IOSQE_CQE_SKIP_SUCCESS;

	nop(ring, 1, IOSQE_IO_LINK | skip, 0);
	nop(ring, 2, IOSQE_IO_LINK | skip, 0);
	nop(ring, 3, 0, 0);
	ASSERT_EQ(3, uring_submit(ring));
	EXPECT_STREQ("3 0", wait_next_cqe(ring));
	/* After a failed request with the flag, the rest of the chain is not reported. */
	nop(ring, 4, IOSQE_IO_LINK | skip, -EIO);
	nop(ring, 5, IOSQE_IO_LINK, 0);
	nop(ring, 6, 0, 0);
	ASSERT_EQ(3, uring_submit(ring));
	EXPECT_STREQ("4 -EIO", wait_next_cqe(ring));
	sleep_ms(5);
	EXPECT_STREQ("none", next_cqe(ring));
	/*
	 * After a failed request without the flag, the rest of the chain is
	 * reported, even with the flag.
	 */
	nop(ring, 7, IOSQE_IO_LINK, -EIO);
	nop(ring, 8, skip, 0);
	ASSERT_EQ(2, uring_submit(ring));
	EXPECT_STREQ("7 -EIO", wait_next_cqe(ring));
	EXPECT_STREQ("8 -ECANCELED", wait_next_cqe(ring));
}

TEST_F(link, drained_request_waits_for_earlier_and_holds_later_ones)
{
	struct uring *ring = &self->ring;

	poll_in(ring, self->fds[0], 1);
	nop(ring, 2, 0, 0);
	nop(ring, 3, IOSQE_IO_DRAIN, 0);
	nop(ring, 4, 0, 0);
	ASSERT_EQ(4, uring_submit(ring));
	EXPECT_STREQ("2 0", wait_next_cqe(ring));
	nop(ring, 5, 0, 0);
	ASSERT_EQ(1, uring_submit(ring));
	sleep_ms(5);
	EXPECT_STREQ("none", next_cqe(ring));
	ASSERT_EQ(1, write(self->fds[1], "x", 1));
	EXPECT_STREQ("1 1", wait_next_cqe(ring));
	EXPECT_STREQ("3 0", wait_next_cqe(ring));
	ASSERT_EQ(0, enter_timeout(ring, 2, HANG_MS));
	EXPECT_EQ(2, uring_reap(ring));
	nop(ring, 6, 0, 0);
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("6 0", wait_next_cqe(ring));
}

/* The second poll waits for the first, which a drained chain held back. */
TEST_F(link, request_behind_a_drained_chain_waits_for_earlier_requests)
{
	struct uring *ring = &self->ring;
	const char *early;

	nop(ring, 1, IOSQE_IO_LINK | IOSQE_IO_DRAIN, 0);
	poll_in(ring, self->fds[0], 2);
	prep_poll(ring, self->fds[0], POLLPRI, 0, 3);
	ASSERT_EQ(3, uring_submit(ring));
	EXPECT_STREQ("1 0", wait_next_cqe(ring));
	ASSERT_EQ(1, write(self->fds[1], "x", 1));
	EXPECT_STREQ("2 1", wait_next_cqe(ring));
	nop(ring, 4, 0, 0);
	ASSERT_EQ(1, uring_submit(ring));
	sleep_ms(20);
	early = next_cqe(ring);
	/* If io_uring's task work is interrupted between the two polls, no drain is active then. */
	if (!strcmp(early, "4 0") && on_io_uring())
		SKIP(return, "io_uring ended the drain early");
	EXPECT_STREQ("none", early);
	/* The close of the writer ends the poll. */
	close(self->fds[1]);
	self->fds[1] = -1;
	EXPECT_STREQ("3 16", wait_next_cqe(ring));
	EXPECT_STREQ("4 0", wait_next_cqe(ring));
}

TEST_F(link, request_behind_a_drained_request_waits_only_for_it)
{
	struct uring *ring = &self->ring;

	poll_in(ring, self->fds[0], 1);
	nop(ring, 2, IOSQE_IO_DRAIN, 0);
	prep_poll(ring, self->fds[0], POLLPRI, 0, 3);
	ASSERT_EQ(3, uring_submit(ring));
	ASSERT_EQ(1, write(self->fds[1], "x", 1));
	EXPECT_STREQ("1 1", wait_next_cqe(ring));
	EXPECT_STREQ("2 0", wait_next_cqe(ring));
	nop(ring, 4, 0, 0);
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("4 0", wait_next_cqe(ring));
}

TEST_F(link, drained_chain_waits_as_a_whole)
{
	struct uring *ring = &self->ring;

	poll_in(ring, self->fds[0], 1);
	nop(ring, 2, IOSQE_IO_LINK, 0);
	nop(ring, 3, IOSQE_IO_LINK | IOSQE_IO_DRAIN, 0);
	nop(ring, 4, 0, 0);
	nop(ring, 5, 0, 0);
	ASSERT_EQ(5, uring_submit(ring));
	sleep_ms(5);
	EXPECT_STREQ("none", next_cqe(ring));
	ASSERT_EQ(1, write(self->fds[1], "x", 1));
	for (int i = 1; i <= 5; i++)
		EXPECT_EQ(i, atoi(wait_next_cqe(ring)));
}

/*
 * Submits requests that take some time, behind the prepared requests. Returns
 * false on failure.
 */
static bool submit_slowly(struct uring *ring, unsigned int nr)
{
	static char zeros[1 << 20];
	int fd = open("/dev/zero", O_RDONLY);

	for (int i = 0; i < 6; i++) {
		struct io_uring_sqe *sqe = uring_get_sqe(ring);

		sqe->opcode = IORING_OP_READ;
		sqe->fd = fd;
		sqe->addr = (unsigned long)zeros;
		sqe->len = sizeof(zeros);
		sqe->user_data = 100;
	}
	if (uring_submit(ring) != nr + 6)
		return false;
	close(fd);
	return true;
}

/* Returns the next completion that is not of submit_slowly(). */
static const char *next_of_ours(struct uring *ring)
{
	const char *cqe;

	do {
		cqe = wait_next_cqe(ring);
	} while (!strcmp(cqe, "100 1048576"));
	return cqe;
}

/*
 * A completion of a worker during a submission comes after earlier completions of the submitter.
 */
TEST_F(link, linked_async_request_is_reported_after_its_predecessor)
{
	struct uring *ring = &self->ring;

	for (int round = 0; round < 30; round++) {
		nop(ring, 1, IOSQE_IO_LINK, 0);
		nop(ring, 2, IOSQE_ASYNC, 0);
		ASSERT_TRUE(submit_slowly(ring, 2));
		ASSERT_STREQ("1 0", next_of_ours(ring));
		ASSERT_STREQ("2 0", next_of_ours(ring));
		sleep_ms(1);
		uring_reap(ring);
	}
}

TEST_F(link, drained_request_is_reported_before_the_requests_behind)
{
	struct uring *ring = &self->ring;

	for (int round = 0; round < 30; round++) {
		nop(ring, 1, IOSQE_IO_DRAIN, 0);
		nop(ring, 2, IOSQE_ASYNC, 0);
		ASSERT_TRUE(submit_slowly(ring, 2));
		ASSERT_STREQ("1 0", wait_next_cqe(ring));
		while (uring_load(ring->cq.tail) != ring->sq.filled)
			ASSERT_LE(0, enter_timeout(ring, uring_ready(ring) + 1, HANG_MS));
		uring_reap(ring);
	}
}

TEST_F(link, drain_is_refused_after_a_skipped_completion)
{
	struct uring *ring = &self->ring;

	nop(ring, 1, IOSQE_CQE_SKIP_SUCCESS, 0);
	nop(ring, 2, IOSQE_IO_DRAIN, 0);
	ASSERT_EQ(2, uring_submit(ring));
	EXPECT_STREQ("2 -EOPNOTSUPP", wait_next_cqe(ring));
}

TEST_F(link, refused_request_with_skip_does_not_forbid_drain)
{
	struct uring *ring = &self->ring;

	nop(ring, 1, IOSQE_CQE_SKIP_SUCCESS, 0)->opcode = 200;
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("1 -EINVAL", wait_next_cqe(ring));
	nop(ring, 2, IOSQE_CQE_SKIP_SUCCESS | 1U << 7, 0);
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("2 -EINVAL", wait_next_cqe(ring));
	nop(ring, 3, IOSQE_IO_DRAIN, 0);
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("3 0", wait_next_cqe(ring));
	/* Drain after a skip is refused before other errors are checked. */
	nop(ring, 4, IOSQE_CQE_SKIP_SUCCESS, 0)->nop_flags = 1U << 31;
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("4 -EINVAL", wait_next_cqe(ring));
	nop(ring, 5, IOSQE_IO_DRAIN, 0)->nop_flags = 1U << 31;
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("5 -EOPNOTSUPP", wait_next_cqe(ring));
}

TEST_F(link, nop_flags_are_checked_and_honoured)
{
	struct uring *ring = &self->ring;
	struct io_uring_sqe *sqe;

	nop(ring, 1, 0, 0)->nop_flags = IORING_NOP_TW;
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("1 0", wait_next_cqe(ring));
	sqe = nop(ring, 2, 0, 0);
	sqe->nop_flags = IORING_NOP_FILE;
	sqe->fd = self->fds[0];
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("2 0", wait_next_cqe(ring));
	sqe = nop(ring, 3, 0, 0);
	sqe->nop_flags = IORING_NOP_FILE;
	sqe->fd = -1;
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("3 -EBADF", wait_next_cqe(ring));
	nop(ring, 4, 0, 0)->nop_flags = IORING_NOP_FILE | IORING_NOP_FIXED_FILE;
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("4 -EBADF", wait_next_cqe(ring));
	sqe = nop(ring, 5, IOSQE_FIXED_FILE, 0);
	sqe->nop_flags = IORING_NOP_FILE;
	sqe->fd = self->fds[0];
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("5 -EBADF", wait_next_cqe(ring));
	nop(ring, 5, 0, 0)->nop_flags = IORING_NOP_FIXED_BUFFER;
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("5 -EFAULT", wait_next_cqe(ring));
	nop(ring, 6, 0, 0)->nop_flags = IORING_NOP_CQE32;
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("6 -EINVAL", wait_next_cqe(ring));
}

static struct io_uring_sqe *message(struct uring *ring, int fd, unsigned int res,
				    unsigned long long target_data)
{
	struct io_uring_sqe *sqe = uring_get_sqe(ring);

	sqe->opcode = IORING_OP_MSG_RING;
	sqe->fd = fd;
	sqe->len = res;
	sqe->off = target_data;
	sqe->user_data = 1;
	return sqe;
}

TEST_F(link, message_posts_to_the_target_ring)
{
	struct uring *ring = &self->ring;
	struct uring other = {}, disabled = { .p.flags = IORING_SETUP_R_DISABLED };
	struct io_uring_sqe *sqe;

	ASSERT_EQ(0, uring_open(&other, 2));
	ASSERT_EQ(0, uring_open(&disabled, 2));
	message(ring, other.fd, 5, 77);
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("1 0", wait_next_cqe(ring));
	EXPECT_STREQ("77 5", wait_next_cqe(&other));
	message(ring, ring->fd, 6, 78);
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("78 6", wait_next_cqe(ring));
	EXPECT_STREQ("1 0", wait_next_cqe(ring));
	sqe = message(ring, other.fd, 5, 77);
	sqe->msg_ring_flags = IORING_MSG_RING_FLAGS_PASS;
	sqe->file_index = 4;
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("1 0", wait_next_cqe(ring));
	ASSERT_NE(NULL, uring_peek(&other));
	EXPECT_EQ(4, uring_peek(&other)->flags);
	uring_reap(&other);
	/* More messages than the CQ of the other ring has room for: none is lost. */
	for (int i = 0; i < 10; i++) {
		message(ring, other.fd, i, 100 + i);
		ASSERT_EQ(1, uring_submit(ring));
		EXPECT_STREQ("1 0", wait_next_cqe(ring));
	}
	for (int i = 0; i < 10; i++) {
		char expected[16];

		snprintf(expected, sizeof(expected), "%d %d", 100 + i, i);
		EXPECT_STREQ(expected, wait_next_cqe(&other));
	}
	/* The upper half of the command is ignored. */
	message(ring, other.fd, 9, 79)->addr = 1ULL << 32 | IORING_MSG_DATA;
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("1 0", wait_next_cqe(ring));
	EXPECT_STREQ("79 9", wait_next_cqe(&other));
	message(ring, disabled.fd, 5, 77);
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("1 -EBADFD", wait_next_cqe(ring));
	message(ring, self->fds[0], 5, 77);
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("1 -EBADFD", wait_next_cqe(ring));
	message(ring, -1, 5, 77);
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("1 -EBADF", wait_next_cqe(ring));
	message(ring, other.fd, 5, 77)->msg_ring_flags = IORING_MSG_RING_CQE_SKIP;
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("1 -EINVAL", wait_next_cqe(ring));
	message(ring, other.fd, 0, 77)->addr = IORING_MSG_SEND_FD;
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("1 -EBADF", wait_next_cqe(ring));
	message(ring, other.fd, 0, 77)->addr = 2;
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("1 -EINVAL", wait_next_cqe(ring));
	uring_close(&disabled);
	uring_close(&other);
}

TEST_F_TIMEOUT(link, long_chain_completes_in_order, 180)
{
	struct uring ring = {};

	ASSERT_EQ(0, uring_open(&ring, 4096));
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 4096; i++)
			nop(&ring, i, i < 4095 ? IOSQE_IO_LINK : 0, round && !i ? -EIO : 0);
		ASSERT_EQ(4096, uring_submit_and_wait(&ring, 4096));
		for (int i = 0; i < 4096; i++) {
			struct io_uring_cqe *cqe = uring_peek(&ring);

			ASSERT_NE(NULL, cqe);
			ASSERT_EQ(i, cqe->user_data);
			ASSERT_EQ(!round ? 0 : i ? -ECANCELED : -EIO, cqe->res);
			uring_advance(&ring, 1);
		}
	}
	uring_close(&ring);
}

TEST_HARNESS_MAIN
