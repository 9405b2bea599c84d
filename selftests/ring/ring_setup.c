// SPDX-License-Identifier: GPL-2.0
/* SETUP of a ring: sizes, flags, the returned parameters, and rings that start disabled. */
#include "ring_test.h"

#define MAX_ENTRIES 32768

static int setup(struct io_uring_params *p, unsigned int entries)
{
	int fd = uring_setup(uring_backend(), entries, 0, p);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static int setup_flags(unsigned int entries, unsigned int flags)
{
	struct io_uring_params p = { .flags = flags };

	return setup(&p, entries);
}

static int setup_cqsize(unsigned int entries, unsigned int cq_entries)
{
	struct io_uring_params p = {
		.flags = IORING_SETUP_CQSIZE,
		.cq_entries = cq_entries,
	};

	return setup(&p, entries);
}

static int lowest_free_fd(void)
{
	int fd = open("/dev/null", O_RDONLY);

	close(fd);
	return fd;
}

TEST(entries_round_up_to_a_power_of_two)
{
	static const unsigned int sizes[][2] = {
		{ 1, 1 }, { 2, 2 }, { 3, 4 }, { 5, 8 }, { 64, 64 }, { 100, 128 },
		{ 4095, 4096 },
	};

	for (int i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct uring ring = {};

		ASSERT_EQ(0, uring_open(&ring, sizes[i][0]));
		EXPECT_EQ(sizes[i][1], ring.p.sq_entries);
		EXPECT_EQ(2 * sizes[i][1], ring.p.cq_entries);
		EXPECT_EQ(ring.p.sq_entries, *ring.sq.entries);
		EXPECT_EQ(ring.p.sq_entries - 1, *ring.sq.mask);
		EXPECT_EQ(ring.p.cq_entries, *ring.cq.entries);
		EXPECT_EQ(ring.p.cq_entries - 1, *ring.cq.mask);
		uring_close(&ring);
	}
}

TEST(zero_entries_are_refused)
{
	EXPECT_EQ(-EINVAL, setup_flags(0, 0));
	EXPECT_EQ(-EINVAL, setup_flags(0, IORING_SETUP_CLAMP));
}

TEST(largest_ring_works)
{
	struct uring ring = {};

	ASSERT_EQ(0, uring_open(&ring, MAX_ENTRIES));
	EXPECT_EQ(MAX_ENTRIES, ring.p.sq_entries);
	EXPECT_EQ(2 * MAX_ENTRIES, ring.p.cq_entries);
	for (int i = 0; i < MAX_ENTRIES; i++)
		ASSERT_NE(NULL, uring_nop(&ring, i));
	EXPECT_EQ(MAX_ENTRIES, uring_submit(&ring));
	EXPECT_EQ(MAX_ENTRIES, uring_ready(&ring));
	for (int i = 0; i < MAX_ENTRIES; i++, uring_advance(&ring, 1))
		ASSERT_EQ(i, uring_peek(&ring)->user_data);
}

TEST(too_many_entries_are_refused)
{
	EXPECT_EQ(-EINVAL, setup_flags(MAX_ENTRIES + 1, 0));
	EXPECT_EQ(-EINVAL, setup_flags(-1U, 0));
}

TEST(clamp_limits_entries)
{
	struct io_uring_params p = { .flags = IORING_SETUP_CLAMP };

	EXPECT_EQ(0, setup(&p, MAX_ENTRIES + 1));
	EXPECT_EQ(MAX_ENTRIES, p.sq_entries);
	EXPECT_EQ(2 * MAX_ENTRIES, p.cq_entries);

	p = (struct io_uring_params){
		.flags = IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE,
		.cq_entries = -1U,
	};
	EXPECT_EQ(0, setup(&p, 4));
	EXPECT_EQ(4, p.sq_entries);
	EXPECT_EQ(2 * MAX_ENTRIES, p.cq_entries);
}

TEST(cqsize_rounds_up_and_may_equal_the_sq)
{
	struct io_uring_params p = {
		.flags = IORING_SETUP_CQSIZE,
		.cq_entries = 33,
	};

	EXPECT_EQ(0, setup(&p, 4));
	EXPECT_EQ(4, p.sq_entries);
	EXPECT_EQ(64, p.cq_entries);

	EXPECT_EQ(0, setup_cqsize(4, 4));
	EXPECT_EQ(0, setup_cqsize(8, 5)) {
		TH_LOG("5 rounds up to 8 before it is compared with the SQ");
	}
}

TEST(cqsize_of_zero_less_than_the_sq_or_too_many_is_refused)
{
	EXPECT_EQ(-EINVAL, setup_cqsize(4, 0));
	EXPECT_EQ(-EINVAL, setup_cqsize(4, 2));
	EXPECT_EQ(-EINVAL, setup_cqsize(4, 2 * MAX_ENTRIES + 1));
	EXPECT_EQ(-EINVAL, setup_cqsize(4, -1U));
}

TEST(cq_entries_are_ignored_without_cqsize)
{
	struct io_uring_params p = { .cq_entries = 1024 };

	EXPECT_EQ(0, setup(&p, 4));
	EXPECT_EQ(8, p.cq_entries);
}

TEST(setup_refuses_unknown_flags)
{
	for (int bit = 24; bit < 32; bit++) {
		EXPECT_EQ(-EINVAL, setup_flags(4, 1U << bit)) {
			TH_LOG("flag bit %d", bit);
		}
	}
}

TEST(contradicting_flags_are_refused)
{
	EXPECT_EQ(-EINVAL, setup_flags(4, IORING_SETUP_TASKRUN_FLAG));
	EXPECT_EQ(-EINVAL, setup_flags(4, IORING_SETUP_DEFER_TASKRUN));
	EXPECT_EQ(-EINVAL, setup_flags(4, IORING_SETUP_REGISTERED_FD_ONLY));
	EXPECT_EQ(-EINVAL, setup_flags(4, IORING_SETUP_SQPOLL | IORING_SETUP_COOP_TASKRUN));
	EXPECT_EQ(-EINVAL, setup_flags(4, IORING_SETUP_HYBRID_IOPOLL));
	EXPECT_EQ(-EINVAL, setup_flags(4, IORING_SETUP_SQ_REWIND));
	EXPECT_EQ(-EINVAL, setup_flags(4, IORING_SETUP_CQE32 | IORING_SETUP_CQE_MIXED));
	EXPECT_EQ(-EINVAL, setup_flags(4, IORING_SETUP_SQE128 | IORING_SETUP_SQE_MIXED));
}

TEST(unsupported_setup_flags_are_refused)
{
	const unsigned int flags[] = {
		IORING_SETUP_IOPOLL,
		IORING_SETUP_ATTACH_WQ, IORING_SETUP_SQE128, IORING_SETUP_CQE32,
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN,
		IORING_SETUP_NO_MMAP, IORING_SETUP_CQE_MIXED, IORING_SETUP_SQE_MIXED,
	};

	if (on_io_uring())
		SKIP(return, "io_uring has them");
	for (int i = 0; i < ARRAY_SIZE(flags); i++) {
		EXPECT_EQ(-EINVAL, setup_flags(4, flags[i])) {
			TH_LOG("flags 0x%x", flags[i]);
		}
	}
}

TEST(taskrun_flag_is_never_set)
{
	struct uring ring = {
		.p.flags = IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
	};

	ASSERT_EQ(0, uring_open(&ring, 4));
	ASSERT_NE(NULL, uring_nop(&ring, 1));
	EXPECT_EQ(1, uring_submit(&ring));
	EXPECT_EQ(0, uring_load(ring.sq.flags) & IORING_SQ_TASKRUN);
	EXPECT_STREQ("1 0", next_cqe(&ring));
	uring_close(&ring);
}

TEST(reserved_parameters_must_be_zero)
{
	for (int i = 0; i < 3; i++) {
		struct io_uring_params p = {};

		p.resv[i] = 1;
		EXPECT_EQ(-EINVAL, setup(&p, 4)) {
			TH_LOG("resv[%d]", i);
		}
	}
}

TEST(inaccessible_parameters_fault)
{
	void *page = mmap(NULL, getpagesize(), PROT_READ,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = lowest_free_fd();

	EXPECT_EQ(-EFAULT, setup(NULL, 4));
	EXPECT_EQ(-EFAULT, setup(bad_pointer(), 4));
	EXPECT_EQ(-EFAULT, setup(page, 4)) {
		TH_LOG("read-only parameters");
	}
	EXPECT_EQ(fd, lowest_free_fd()) {
		TH_LOG("a failed setup left a file open");
	}
}

/* The other features of io_uring are about operations that miniring lacks. */
TEST(setup_reports_the_features)
{
	const unsigned int features = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP |
		IORING_FEAT_SUBMIT_STABLE | IORING_FEAT_EXT_ARG |
		IORING_FEAT_CQE_SKIP | IORING_FEAT_MIN_TIMEOUT |
		IORING_FEAT_RW_CUR_POS | IORING_FEAT_CUR_PERSONALITY |
		IORING_FEAT_FAST_POLL | IORING_FEAT_POLL_32BITS |
		IORING_FEAT_SQPOLL_NONFIXED | IORING_FEAT_NO_IOWAIT;
	struct io_uring_params p = { .features = ~features };

	ASSERT_EQ(0, setup(&p, 4));
	EXPECT_EQ(features, on_io_uring() ? p.features & features : p.features);
	EXPECT_EQ(0, p.features >> 18) {
		TH_LOG("features that <linux/io_uring.h> does not know");
	}
}

TEST(setup_flags_come_back_unchanged)
{
	struct io_uring_params p = {
		.flags = IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL,
	};

	ASSERT_EQ(0, setup(&p, 4));
	EXPECT_EQ(IORING_SETUP_CLAMP | IORING_SETUP_SUBMIT_ALL, p.flags);
	EXPECT_EQ(0, p.sq_off.resv1);
	EXPECT_EQ(0, p.sq_off.user_addr);
	EXPECT_EQ(0, p.cq_off.resv1);
	EXPECT_EQ(0, p.cq_off.user_addr);
}

TEST(offsets_are_aligned_disjoint_and_inside)
{
	struct uring ring = {};

	ASSERT_EQ(0, uring_open(&ring, 8));

	const struct io_sqring_offsets *sq = &ring.p.sq_off;
	const struct io_cqring_offsets *cq = &ring.p.cq_off;
	const struct {
		const char *name;
		unsigned int start, size;
	} parts[] = {
		{ "sq head", sq->head, 4 }, { "sq tail", sq->tail, 4 },
		{ "sq mask", sq->ring_mask, 4 }, { "sq entries", sq->ring_entries, 4 },
		{ "sq flags", sq->flags, 4 }, { "sq dropped", sq->dropped, 4 },
		{ "sq array", sq->array, 8 * 4 },
		{ "cq head", cq->head, 4 }, { "cq tail", cq->tail, 4 },
		{ "cq mask", cq->ring_mask, 4 }, { "cq entries", cq->ring_entries, 4 },
		{ "cq flags", cq->flags, 4 }, { "cq overflow", cq->overflow, 4 },
		{ "cqes", cq->cqes, 16 * sizeof(struct io_uring_cqe) },
	};

	EXPECT_EQ(0, cq->cqes % sizeof(struct io_uring_cqe));
	for (int i = 0; i < ARRAY_SIZE(parts); i++) {
		EXPECT_EQ(0, parts[i].start % 4) {
			TH_LOG("%s", parts[i].name);
		}
		for (int j = 0; j < i; j++) {
			EXPECT_TRUE(parts[i].start >= parts[j].start + parts[j].size ||
				    parts[j].start >= parts[i].start + parts[i].size) {
				TH_LOG("%s at %u overlaps %s at %u", parts[i].name,
				       parts[i].start, parts[j].name, parts[j].start);
			}
		}
	}
}

TEST(heads_and_tails_each_start_a_cache_line)
{
	struct uring ring = {};

	if (on_io_uring())
		SKIP(return, "io_uring packs them into one line");
	ASSERT_EQ(0, uring_open(&ring, 8));

	const unsigned int words[] = {
		ring.p.sq_off.head, ring.p.sq_off.tail,
		ring.p.cq_off.head, ring.p.cq_off.tail,
	};

	for (int i = 0; i < 4; i++) {
		EXPECT_EQ(0, words[i] % 64);
		for (int j = 0; j < i; j++)
			EXPECT_NE(words[i], words[j]);
	}
}

TEST(word_after_the_cq_tail_belongs_to_the_user)
{
	struct uring ring = {};
	unsigned int *word;

	if (on_io_uring())
		SKIP(return, "io_uring reserves no word");
	ASSERT_EQ(0, uring_open(&ring, 4));
	word = ring.cq.tail + 1;
	EXPECT_EQ(0, *word);
	for (unsigned int i = 1; i < 1000; i++) {
		uring_store(word, i * 0x01010101);
		ASSERT_NE(NULL, uring_nop(&ring, i));
		ASSERT_EQ(1, uring_submit(&ring));
		ASSERT_EQ(i * 0x01010101, uring_load(word));
		/* Lets completions overflow at times. */
		if (i % 64 > 16)
			uring_reap(&ring);
		ASSERT_EQ(0, uring_enter(&ring, 0, 0, IORING_ENTER_GETEVENTS));
		ASSERT_EQ(i * 0x01010101, uring_load(word));
	}
}

TEST(new_ring_is_empty)
{
	struct uring ring = {};

	ASSERT_EQ(0, uring_open(&ring, 8));
	EXPECT_EQ(0, *ring.sq.head);
	EXPECT_EQ(0, *ring.sq.tail);
	EXPECT_EQ(0, *ring.sq.flags);
	EXPECT_EQ(0, *ring.sq.dropped);
	EXPECT_EQ(0, *ring.cq.head);
	EXPECT_EQ(0, *ring.cq.tail);
	EXPECT_EQ(0, *ring.cq.flags);
	EXPECT_EQ(0, *ring.cq.overflow);
}

TEST(disabled_ring_submits_nothing_until_enabled)
{
	struct uring ring = { .p.flags = IORING_SETUP_R_DISABLED };

	ASSERT_EQ(0, uring_open(&ring, 4));
	ASSERT_NE(NULL, uring_nop(&ring, 1));
	EXPECT_EQ(-EBADFD, uring_submit(&ring));
	EXPECT_EQ(-EBADFD, uring_enter(&ring, 0, 0, IORING_ENTER_GETEVENTS));
	EXPECT_EQ(0, *ring.sq.head);
	EXPECT_EQ(0, uring_register(&ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0));
	EXPECT_EQ(1, uring_submit(&ring));
	EXPECT_STREQ("1 0", next_cqe(&ring));
}

TEST(ring_is_enabled_once)
{
	struct uring ring = { .p.flags = IORING_SETUP_R_DISABLED };
	struct uring enabled = {};
	int arg = 0;

	ASSERT_EQ(0, uring_open(&ring, 4));
	ASSERT_EQ(0, uring_open(&enabled, 4));
	EXPECT_EQ(-EINVAL, uring_register(&ring, IORING_REGISTER_ENABLE_RINGS, &arg, 0));
	EXPECT_EQ(-EINVAL, uring_register(&ring, IORING_REGISTER_ENABLE_RINGS, NULL, 1));
	EXPECT_EQ(0, uring_register(&ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0));
	EXPECT_EQ(-EBADFD, uring_register(&ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0));
	EXPECT_EQ(-EBADFD, uring_register(&enabled, IORING_REGISTER_ENABLE_RINGS, NULL, 0));
}

TEST_HARNESS_MAIN
