// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that the user shares with the kernel holds whatever the user likes.
 * Nothing in it may hurt the kernel or another ring, and a ring works again
 * once its words make sense.
 */
#include <pthread.h>
#include "ring_test.h"

#define SCRIBBLE_MS 1000
#define ENTRIES 16

/* A thread that overwrites everything shared, over and over. */
struct scribbler {
	pthread_t thread;
	struct uring *ring;
	bool header_only, running;
	int stop;
	unsigned long long rounds;
};

static void *scribble(void *arg)
{
	struct scribbler *s = arg;
	unsigned int seed = 1, *words = s->ring->map;
	size_t nr = (s->header_only ? s->ring->p.cq_off.cqes : s->ring->map_len) / 4;
	unsigned int *sqes = (unsigned int *)s->ring->sq.sqes;
	const unsigned int likely[] = { 0, 1, ENTRIES - 1, ENTRIES, -1U, 0x80000000 };

	while (!__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE)) {
		for (int i = 0; i < 64; i++) {
			unsigned int r = rand_r(&seed), value = rand_r(&seed);

			if (r & 0x10000)
				value = likely[value % ARRAY_SIZE(likely)];
			/* Favour the indices: they are all at the start. */
			uring_store(&words[r & 0x20000 ? r % 32 : r % nr], value);
			if (!s->header_only)
				uring_store(&sqes[value % (s->ring->sqes_len / 4)], r);
		}
		s->rounds++;
	}
	return NULL;
}

static void scribbler_start(struct scribbler *s, struct uring *ring, bool header_only)
{
	*s = (struct scribbler){ .ring = ring, .header_only = header_only };
	s->running = !pthread_create(&s->thread, NULL, scribble, s);
}

static void scribbler_stop(struct scribbler *s)
{
	if (!s->running)
		return;
	__atomic_store_n(&s->stop, 1, __ATOMIC_RELEASE);
	pthread_join(s->thread, NULL);
	s->running = false;
}

/* Whether a ring of its own does what it should. */
static bool ring_works(void)
{
	struct uring ring = {};
	bool ok = false;

	if (uring_open(&ring, 4))
		return false;
	if (uring_nop(&ring, 1) && uring_submit_and_wait(&ring, 1) == 1)
		ok = !strcmp("1 0", next_cqe(&ring));
	uring_close(&ring);
	return ok;
}

FIXTURE(hostile)
{
	struct uring ring;
	struct scribbler scribbler;
};

FIXTURE_SETUP(hostile)
{
	ASSERT_EQ(0, uring_open(&self->ring, ENTRIES));
}

FIXTURE_TEARDOWN(hostile)
{
	scribbler_stop(&self->scribbler);
	uring_close(&self->ring);
	EXPECT_TRUE(ring_works());
}

TEST_F(hostile, words_that_change_while_submitting)
{
	long long end = now_ms() + SCRIBBLE_MS;
	int calls = 0;

	/* Only NOPs, so that what is submitted is harmless by itself. */
	memset(self->ring.sq.sqes, 0, self->ring.sqes_len);
	scribbler_start(&self->scribbler, &self->ring, true);
	while (now_ms() < end) {
		int ret = uring_enter(&self->ring, ENTRIES, 0, 0);

		ASSERT_TRUE(ret >= 0 && ret <= ENTRIES) {
			TH_LOG("enter returned %s", result_name(ret));
		}
		ret = enter_timeout(&self->ring, 1 + calls % ENTRIES, 1);
		ASSERT_TRUE(ret == 0 || ret == -ETIME) {
			TH_LOG("wait returned %s", result_name(ret));
		}
		calls++;
	}
	scribbler_stop(&self->scribbler);
	EXPECT_LT(0, calls);
	EXPECT_LT(0, self->scribbler.rounds);
}

/*
 * Entries as well. On io_uring they could become any request, with whatever
 * that does to this process; miniring has few opcodes, all harmless.
 */
TEST_F(hostile, everything_changes_while_submitting)
{
	long long end = now_ms() + SCRIBBLE_MS;

	if (on_io_uring())
		SKIP(return, "random entries are any of io_uring's requests");
	scribbler_start(&self->scribbler, &self->ring, false);
	while (now_ms() < end) {
		int ret = uring_enter(&self->ring, ENTRIES, 0, 0);

		ASSERT_TRUE(ret >= 0 && ret <= ENTRIES) {
			TH_LOG("enter returned %s", result_name(ret));
		}
		enter_timeout(&self->ring, 1, 1);
	}
	scribbler_stop(&self->scribbler);
}

TEST_F(hostile, an_sq_tail_far_away_submits_one_ring_at_most)
{
	const unsigned int ahead[] = { ENTRIES + 1, 1000, 0x7fffffff, 0x80000000, -1U };

	for (int i = 0; i < ARRAY_SIZE(ahead); i++) {
		unsigned int head = uring_load(self->ring.sq.head);

		uring_store(self->ring.sq.tail, head + ahead[i]);
		EXPECT_EQ(ENTRIES, uring_enter(&self->ring, -1U, 0, 0)) {
			TH_LOG("tail at head + %u", ahead[i]);
		}
		EXPECT_EQ(head + ENTRIES, uring_load(self->ring.sq.head));
		EXPECT_EQ(ENTRIES, uring_reap(&self->ring));
	}
}

TEST_F(hostile, the_kernel_keeps_indices_and_sizes_of_its_own)
{
	uring_store(self->ring.sq.head, 12345);
	uring_store(self->ring.cq.tail, 54321);
	uring_store(self->ring.sq.mask, -1U);
	uring_store(self->ring.sq.entries, -1U);
	uring_store(self->ring.cq.mask, -1U);
	uring_store(self->ring.cq.entries, -1U);
	for (int i = 0; i < 100; i++) {
		struct io_uring_cqe *cqe = &self->ring.cq.cqes[i % (2 * ENTRIES)];
		unsigned int slot = i % ENTRIES;

		self->ring.sq.array[slot] = slot;
		self->ring.sq.sqes[slot] = (struct io_uring_sqe){ .user_data = i };
		cqe->user_data = -1;
		uring_store(self->ring.sq.tail, i + 1);
		ASSERT_EQ(1, uring_enter(&self->ring, 1, 0, 0));
		ASSERT_EQ(i + 1, uring_load(self->ring.sq.head));
		ASSERT_EQ(i + 1, uring_load(self->ring.cq.tail));
		ASSERT_EQ(i, cqe->user_data);
		uring_store(self->ring.cq.head, i + 1);
	}
}

TEST_F(hostile, a_ring_recovers_from_a_bad_cq_head)
{
	const unsigned int offset[] = { 1, 1000, 0x7fffffff, 0x80000000, -1000U, -1U };
	struct uring *ring = &self->ring;
	unsigned long long sent = 0;

	for (int i = 0; i < ARRAY_SIZE(offset); i++) {
		unsigned int tail = uring_load(ring->cq.tail);
		int waiting = 0;

		uring_store(ring->cq.head, tail + offset[i]);
		for (int j = 0; j < 3; j++)
			ASSERT_NE(NULL, uring_nop(ring, sent++));
		ASSERT_EQ(3, uring_submit(ring));
		enter_timeout(ring, 1, 10);
		/* Whether posted or kept, all three are there in the end. */
		uring_store(ring->cq.head, tail);
		ASSERT_EQ(0, enter_timeout(ring, 3, 5000)) {
			TH_LOG("head at tail + %d", (int)offset[i]);
		}
		for (int j = 3; j > 0; j--, waiting++) {
			ASSERT_NE(NULL, uring_peek(ring));
			EXPECT_EQ(sent - j, uring_peek(ring)->user_data);
			uring_advance(ring, 1);
		}
		EXPECT_EQ(0, uring_ready(ring));
	}
}

TEST_F(hostile, garbage_in_the_array_is_dropped)
{
	unsigned int seed = 7;

	for (unsigned int i = 1; i <= 200; i++) {
		self->ring.sq.array[(i - 1) % ENTRIES] = ENTRIES + rand_r(&seed);
		uring_store(self->ring.sq.tail, i);
		ASSERT_EQ(0, uring_enter(&self->ring, 1, 0, 0));
		ASSERT_EQ(i, uring_load(self->ring.sq.dropped));
	}
	EXPECT_EQ(0, uring_ready(&self->ring));
}

TEST_F(hostile, pointers_that_lead_nowhere_fault)
{
	const unsigned long long pointers[] = {
		0, 1, (unsigned long)bad_pointer(), 0x800000000000, -4096ULL, -1ULL,
	};
	int bad = 0;

	for (int i = 0; i < ARRAY_SIZE(pointers); i++) {
		void *p = (void *)pointers[i];

		bad |= uring_setup(uring_backend(), 4, 0, p) != -EFAULT;
		bad |= uring_register(&self->ring, IORING_REGISTER_EVENTFD, p, 1) != -EFAULT;
		bad |= uring_enter_arg(&self->ring, 0, 0, IORING_ENTER_GETEVENTS |
				       IORING_ENTER_EXT_ARG, p,
				       sizeof(struct io_uring_getevents_arg)) != -EFAULT;
		EXPECT_EQ(0, bad) {
			TH_LOG("pointer 0x%llx", pointers[i]);
		}
	}
}

/* Another thread maps and unmaps the ring under the one that submits. */
static void *remap(void *arg)
{
	struct scribbler *s = arg;

	while (!__atomic_load_n(&s->stop, __ATOMIC_ACQUIRE)) {
		struct uring second = {
			.fd = s->ring->fd, .backend = s->ring->backend, .p = s->ring->p,
		};

		if (uring_mmap(&second))
			break;
		uring_store(second.sq.tail, s->rounds++);
		uring_munmap(&second);
	}
	return NULL;
}

TEST_F(hostile, mappings_come_and_go_while_submitting)
{
	struct scribbler *s = &self->scribbler;
	long long end = now_ms() + SCRIBBLE_MS / 2;

	*s = (struct scribbler){ .ring = &self->ring };
	s->running = !pthread_create(&s->thread, NULL, remap, s);
	while (now_ms() < end) {
		ASSERT_LE(0, uring_enter(&self->ring, ENTRIES, 0, 0));
		uring_reap(&self->ring);
	}
	scribbler_stop(s);
	EXPECT_LT(0, s->rounds);
}

TEST_HARNESS_MAIN
