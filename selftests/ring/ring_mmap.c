// SPDX-License-Identifier: GPL-2.0
/* The memory of a ring: its mappings, and their lifetime. */
#include <signal.h>
#include <sys/wait.h>
#include "ring_test.h"

FIXTURE(ring_memory)
{
	struct uring ring;
};

FIXTURE_SETUP(ring_memory)
{
	ASSERT_EQ(0, uring_open(&self->ring, 512));
}

FIXTURE_TEARDOWN(ring_memory)
{
	uring_close(&self->ring);
}

static void *map(struct uring *ring, size_t len, int prot, int flags,
		 unsigned long long offset)
{
	return mmap(NULL, len, prot, flags, ring->fd, offset);
}

/* Returns 0 or -errno. */
static int try_map(struct uring *ring, size_t len, int prot, int flags,
		   unsigned long long offset)
{
	void *at = map(ring, len, prot, flags, offset);

	if (at == MAP_FAILED)
		return -errno;
	munmap(at, len);
	return 0;
}

static size_t page_align(size_t len)
{
	size_t page = getpagesize();

	return (len + page - 1) & ~(page - 1);
}

/* Returns the name of the signal that ends a process that reads @at, or "none". */
static const char *read_fault(const char *at)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		signal(SIGBUS, SIG_DFL);
		signal(SIGSEGV, SIG_DFL);
		__atomic_load_n(at, __ATOMIC_RELAXED);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? sigabbrev_np(WTERMSIG(status)) : "none";
}

static bool all_zero(const void *at, size_t len)
{
	const char *p = at;

	return !*p && !memcmp(p, p + 1, len - 1);
}

TEST_F(ring_memory, sq_and_cq_offsets_map_the_same_memory)
{
	struct uring *ring = &self->ring;
	char *cq = map(ring, ring->map_len, PROT_READ | PROT_WRITE, MAP_SHARED,
		       IORING_OFF_CQ_RING);
	unsigned int *flags = (unsigned int *)(cq + ring->p.cq_off.flags);

	ASSERT_NE(MAP_FAILED, cq);
	uring_store(ring->cq.flags, IORING_CQ_EVENTFD_DISABLED);
	EXPECT_EQ(IORING_CQ_EVENTFD_DISABLED, uring_load(flags));
	uring_store(flags, 0);
	EXPECT_EQ(0, uring_load(ring->cq.flags));
}

TEST_F(ring_memory, second_mapping_shows_the_same_entries)
{
	struct uring *ring = &self->ring;
	struct io_uring_sqe *sqes;

	sqes = map(ring, ring->sqes_len, PROT_READ, MAP_SHARED, IORING_OFF_SQES);
	ASSERT_NE(MAP_FAILED, sqes);
	ASSERT_NE(NULL, uring_nop(ring, 42));
	EXPECT_EQ(42, sqes[0].user_data);
}

TEST_F(ring_memory, ring_memory_outlives_its_mapping)
{
	struct uring *ring = &self->ring;

	ASSERT_NE(NULL, uring_nop(ring, 1));
	ASSERT_EQ(1, uring_submit(ring));
	uring_munmap(ring);
	ASSERT_EQ(0, uring_mmap(ring));
	EXPECT_EQ(1, *ring->sq.head);
	EXPECT_STREQ("1 0", next_cqe(ring));
}

TEST_F(ring_memory, new_ring_memory_is_zero)
{
	struct uring *ring = &self->ring;
	size_t header = ring->p.cq_off.cqes;

	EXPECT_TRUE(all_zero(ring->cq.cqes, page_align(ring->map_len) - header));
	EXPECT_TRUE(all_zero(ring->sq.sqes, page_align(ring->sqes_len)));
}

TEST_F(ring_memory, mmap_refuses_unknown_offsets)
{
	const unsigned long long offsets[] = {
		0x18000000, 0x20000000, 0x28000000, 0x40000000,
		IORING_OFF_PBUF_RING, 0xf8000000, 1ULL << 40 | 0x18000000,
	};

	for (int i = 0; i < ARRAY_SIZE(offsets); i++) {
		EXPECT_EQ(-EINVAL, try_map(&self->ring, getpagesize(), PROT_READ,
					   MAP_SHARED, offsets[i])) {
			TH_LOG("offset 0x%llx", offsets[i]);
		}
	}
}

TEST_F(ring_memory, first_page_alone_can_be_mapped)
{
	struct uring *ring = &self->ring;
	unsigned int *page = map(ring, getpagesize(), PROT_READ, MAP_SHARED,
				 IORING_OFF_SQ_RING);

	ASSERT_LT(getpagesize(), ring->map_len);
	ASSERT_NE(MAP_FAILED, page);
	EXPECT_EQ(512, page[ring->p.sq_off.ring_entries / 4]);
}

/* Either mmap(2) or the access fails: the ring has no memory there. */
TEST_F(ring_memory, memory_past_the_end_is_unreachable)
{
	struct uring *ring = &self->ring;
	const unsigned long long offsets[] = { IORING_OFF_SQ_RING, IORING_OFF_SQES };
	const size_t lens[] = { page_align(ring->map_len), page_align(ring->sqes_len) };

	for (int i = 0; i < 2; i++) {
		char *at = map(ring, lens[i] + getpagesize(), PROT_READ,
			       MAP_SHARED, offsets[i]);

		if (at == MAP_FAILED) {
			EXPECT_EQ(EINVAL, errno);
			continue;
		}
		EXPECT_STREQ("none", read_fault(at + lens[i] - 1));
		EXPECT_STREQ("BUS", read_fault(at + lens[i]));
	}
}

/* io_uring allows a private mapping; refusing it is also correct. */
TEST_F(ring_memory, private_mapping_does_not_write_to_the_ring)
{
	struct uring *ring = &self->ring;
	char *private = map(ring, ring->map_len, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE, IORING_OFF_SQ_RING);
	unsigned int *tail = (unsigned int *)(private + ring->p.sq_off.tail);

	if (private == MAP_FAILED) {
		EXPECT_EQ(EINVAL, errno);
		return;
	}
	uring_store(ring->sq.tail, 5);
	EXPECT_EQ(5, uring_load(tail));
	uring_store(tail, 6);
	EXPECT_EQ(5, uring_load(ring->sq.tail));
}

TEST_F(ring_memory, ring_memory_is_never_executable)
{
	struct uring *ring = &self->ring;

	EXPECT_EQ(-EPERM, try_map(ring, ring->map_len, PROT_READ | PROT_EXEC,
				  MAP_SHARED, IORING_OFF_SQ_RING));
	EXPECT_EQ(-EPERM, try_map(ring, ring->sqes_len, PROT_READ | PROT_EXEC,
				  MAP_SHARED, IORING_OFF_SQES));
	EXPECT_EQ(-1, mprotect(ring->map, ring->map_len, PROT_READ | PROT_EXEC));
	EXPECT_EQ(EACCES, errno);
}

TEST_F(ring_memory, mapping_does_not_grow)
{
	struct uring *ring = &self->ring;
	size_t len = page_align(ring->map_len);

	EXPECT_EQ(MAP_FAILED, mremap(ring->map, len, len + getpagesize(), MREMAP_MAYMOVE));
	EXPECT_EQ(EFAULT, errno);
}

TEST_F(ring_memory, mapping_stays_usable_after_close)
{
	struct uring *ring = &self->ring;

	ASSERT_NE(NULL, uring_nop(ring, 7));
	ASSERT_EQ(1, uring_submit(ring));
	close(ring->fd);
	EXPECT_STREQ("7 0", next_cqe(ring));
	memset(ring->sq.sqes, 0xff, ring->sqes_len);
	memset(ring->map, 0xff, ring->map_len);
	EXPECT_EQ(-1U, uring_load(ring->cq.tail));
}

TEST_F(ring_memory, part_of_a_mapping_can_be_unmapped)
{
	struct uring *ring = &self->ring;

	ASSERT_LT(2 * getpagesize(), ring->sqes_len);
	ASSERT_EQ(0, munmap((char *)ring->sq.sqes + getpagesize(), getpagesize()));
	ASSERT_NE(NULL, uring_nop(ring, 1));
	EXPECT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("1 0", next_cqe(ring));
}

TEST_F(ring_memory, submission_needs_no_mapping)
{
	struct uring *ring = &self->ring;

	ASSERT_NE(NULL, uring_nop(ring, 1));
	uring_publish(ring);
	uring_munmap(ring);
	EXPECT_EQ(1, uring_enter(ring, 1, 1, IORING_ENTER_GETEVENTS));
	ASSERT_EQ(0, uring_mmap(ring));
	EXPECT_STREQ("1 0", next_cqe(ring));
}

TEST_F(ring_memory, forked_child_shares_the_ring)
{
	struct uring *ring = &self->ring;
	int status;
	pid_t pid;

	ASSERT_NE(NULL, uring_nop(ring, 1));
	ASSERT_EQ(1, uring_submit(ring));
	pid = fork();
	if (!pid) {
		bool ok = !strcmp("1 0", next_cqe(ring)) && uring_nop(ring, 2) &&
			uring_submit(ring) == 1;

		/* The parent keeps the ring and the mappings that the child closes. */
		uring_close(ring);
		_exit(!ok);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_STREQ("2 0", next_cqe(ring));
	EXPECT_STREQ("none", next_cqe(ring));
	ring->sq.filled++;
	ASSERT_NE(NULL, uring_nop(ring, 3));
	EXPECT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("3 0", next_cqe(ring));
}

TEST_HARNESS_MAIN
