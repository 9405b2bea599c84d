// SPDX-License-Identifier: GPL-2.0
/*
 * Userspace may write any values to shared memory. No value may harm the kernel or another
 * ring, and a ring works again when its words are valid.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <sys/eventfd.h>
#include "background.h"
#include "ring_test.h"

#define SCRIBBLE_MS 1000
#define ENTRIES 16

/* A thread that overwrites all shared memory, over and over. */
struct scribbler {
	struct background background;
	struct uring *ring;
	bool header_only;
	unsigned long long rounds;
};

/* Overwrites a word, except the opcode: a NOP harms this process with no values. */
static void scribble_sqe(unsigned int *sqes, unsigned int word, unsigned int value)
{
	bool has_opcode = word % (sizeof(struct io_uring_sqe) / 4) == 0;

	uring_store(&sqes[word], has_opcode ? value & ~0xffU : value);
}

static void *scribble(void *arg)
{
	struct scribbler *s = arg;
	unsigned int seed = 1, *words = s->ring->map;
	size_t nr = (s->header_only ? s->ring->p.cq_off.cqes : s->ring->map_len) / 4;
	unsigned int *sqes = (unsigned int *)s->ring->sq.sqes;
	const unsigned int likely[] = { 0, 1, ENTRIES - 1, ENTRIES, -1U, 0x80000000 };

	do {
		for (int i = 0; i < 64; i++) {
			unsigned int r = rand_r(&seed), value = rand_r(&seed);

			if (r & 0x10000)
				value = likely[value % ARRAY_SIZE(likely)];
			/* Favours the start of the memory, which has all indices. */
			uring_store(&words[r & 0x20000 ? r % 32 : r % nr], value);
			if (!s->header_only)
				scribble_sqe(sqes, value % (s->ring->sqes_len / 4), r);
		}
		s->rounds++;
	} while (!background_is_over(&s->background));
	return NULL;
}

static void scribbler_start(struct scribbler *s, struct uring *ring, bool header_only)
{
	*s = (struct scribbler){ .ring = ring, .header_only = header_only };
	background_start(&s->background, scribble, s);
}

/* A thread that alternates two values in each of some words. */
struct flipper {
	struct background background;
	unsigned int *words, nr, values[2];
};

/* On one CPU the submitting and the flipping thread would rarely interleave. */
static void run_on(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
}

static void *flip(void *arg)
{
	struct flipper *f = arg;

	run_on(1);
	while (!background_is_over(&f->background))
		for (int i = 0; i < 2; i++)
			for (unsigned int j = 0; j < f->nr; j++)
				uring_store(&f->words[j], f->values[i]);
	return NULL;
}

static void flipper_start(struct flipper *f)
{
	run_on(0);
	background_start(&f->background, flip, f);
}

/* Returns whether a ring of its own works correctly. */
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
	struct flipper flipper;
};

FIXTURE_SETUP(hostile)
{
	ASSERT_EQ(0, uring_open(&self->ring, ENTRIES));
}

FIXTURE_TEARDOWN(hostile)
{
	background_stop(&self->scribbler.background);
	background_stop(&self->flipper.background);
	uring_close(&self->ring);
	EXPECT_TRUE(ring_works());
}

TEST_F(hostile, kernel_survives_shared_words_that_change_during_submission)
{
	long long end = now_ms() + SCRIBBLE_MS;
	int calls = 0;

	/* Only NOPs, which are harmless. */
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
	background_stop(&self->scribbler.background);
	EXPECT_LT(0, calls);
	EXPECT_LT(0, self->scribbler.rounds);
}

TEST_F(hostile, kernel_survives_changes_of_all_shared_memory_during_submission)
{
	long long end = now_ms() + SCRIBBLE_MS;

	if (on_io_uring())
		SKIP(return, "random flags make a NOP wait for what never comes");
	scribbler_start(&self->scribbler, &self->ring, false);
	while (now_ms() < end) {
		int ret = uring_enter(&self->ring, ENTRIES, 0, 0);

		ASSERT_TRUE(ret >= 0 && ret <= ENTRIES) {
			TH_LOG("enter returned %s", result_name(ret));
		}
		enter_timeout(&self->ring, 1, 1);
	}
	background_stop(&self->scribbler.background);
}

/* A thread that only uses its own ring. */
struct bystander {
	pthread_t thread;
	struct uring ring;
	struct background *until;
	int event;
	unsigned long long sent, seen;
	const char *lost;
};

static void bystander_round(struct bystander *b, int nr)
{
	unsigned long long count = 0;
	struct io_uring_cqe *cqe;

	for (int i = 0; i < nr; i++)
		if (!uring_nop(&b->ring, b->sent++))
			b->lost = "room for an entry";
	if (uring_submit_and_wait(&b->ring, nr) != nr)
		b->lost = "an entry";
	for (; (cqe = uring_peek(&b->ring)); uring_advance(&b->ring, 1))
		if (cqe->user_data != b->seen++ || cqe->res)
			b->lost = "the order";
	if (b->seen != b->sent)
		b->lost = "a completion";
	if (read(b->event, &count, sizeof(count)) != sizeof(count))
		b->lost = "a signal";
}

static void *bystand(void *arg)
{
	struct bystander *b = arg;

	do {
		bystander_round(b, 1 + b->sent % 4);
	} while (!b->lost && !background_is_over(b->until));
	return NULL;
}

static void *submit_blindly(void *arg)
{
	struct scribbler *s = arg;

	while (!background_is_over(&s->background))
		uring_enter(s->ring, ENTRIES, 0, 0);
	return NULL;
}

/* Two threads submit from a ring whose every word changes, beside a ring of each model. */
TEST_F(hostile, other_rings_lose_nothing_while_one_is_scribbled_on)
{
	struct scribbler *s = &self->scribbler;
	struct bystander others[3] = {};
	long long end = now_ms() + 2 * SCRIBBLE_MS;
	pthread_t submitter;

	for (int i = 0; i < ARRAY_SIZE(others); i++) {
		others[i] = (struct bystander){ .ring.model = i, .until = &s->background };
		others[i].event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		ASSERT_EQ(0, uring_open(&others[i].ring, 4));
		ASSERT_EQ(0, uring_register_eventfd(&others[i].ring, others[i].event));
	}
	scribbler_start(s, &self->ring, on_io_uring());
	ASSERT_EQ(0, pthread_create(&submitter, NULL, submit_blindly, s));
	for (int i = 0; i < ARRAY_SIZE(others); i++)
		ASSERT_EQ(0, pthread_create(&others[i].thread, NULL, bystand, &others[i]));
	while (now_ms() < end)
		enter_timeout(&self->ring, 1, 1);
	background_stop(&s->background);
	pthread_join(submitter, NULL);
	for (int i = 0; i < ARRAY_SIZE(others); i++) {
		pthread_join(others[i].thread, NULL);
		EXPECT_EQ(NULL, others[i].lost) {
			TH_LOG("the ring of model %d lost %s after %llu completions", i,
			       others[i].lost, others[i].seen);
		}
		EXPECT_LT(0, others[i].seen);
		uring_close(&others[i].ring);
		close(others[i].event);
	}
	EXPECT_LT(0, s->rounds);
}

TEST_F(hostile, far_sq_tail_submits_at_most_one_ring)
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

TEST_F(hostile, kernel_uses_its_own_indices_and_sizes)
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

TEST_F(hostile, ring_recovers_from_a_bad_cq_head)
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
		/* In the end all three requests have a completion, posted or kept. */
		uring_store(ring->cq.head, tail);
		ASSERT_EQ(0, enter_timeout(ring, 3, HANG_MS)) {
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

TEST_F(hostile, garbage_in_the_index_array_is_dropped)
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

TEST_F(hostile, bad_pointers_fault)
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

/*
 * Valid flags that ask for a completion, and invalid flags whose refusal also posts a
 * completion. Only a kernel that checks the first flags and uses the second posts none.
 */
TEST_F(hostile, sqe_flags_are_read_once)
{
	const unsigned char refused = IOSQE_CQE_SKIP_SUCCESS | 1 << 7;
	long long end = now_ms() + SCRIBBLE_MS;
	struct uring *ring = &self->ring;
	unsigned int seen[2] = {};

	memset(ring->sq.sqes, 0, ring->sqes_len);
	for (int i = 0; i < ENTRIES; i++)
		ring->sq.array[i] = 0;
	/* Opcode, flags and ioprio are one word: a NOP with either flags. */
	self->flipper = (struct flipper){
		.words = (unsigned int *)ring->sq.sqes, .nr = 1, .values = { 0, refused << 8 },
	};
	flipper_start(&self->flipper);
	while (now_ms() < end || !seen[0] || !seen[1]) {
		unsigned int head = uring_load(ring->sq.head);
		int ret;

		uring_store(ring->sq.tail, head + ENTRIES);
		/* A refused request ends the batch. */
		ret = uring_enter(ring, ENTRIES, 0, 0);
		ASSERT_TRUE(ret > 0 && ret <= ENTRIES) {
			TH_LOG("enter returned %s", result_name(ret));
		}
		ASSERT_EQ(ret, uring_ready(ring)) {
			TH_LOG("an entry was consumed without a completion");
		}
		for (; ret; ret--, uring_advance(ring, 1)) {
			int res = uring_peek(ring)->res;

			ASSERT_TRUE(res == 0 || res == -EINVAL) {
				TH_LOG("completion with %s", result_name(res));
			}
			seen[res != 0]++;
		}
	}
	background_stop(&self->flipper.background);
	TH_LOG("%u in order, %u refused", seen[0], seen[1]);
	EXPECT_LT(0, seen[0]);
	EXPECT_LT(0, seen[1]);
}

TEST_F(hostile, sq_index_is_read_once)
{
	long long end = now_ms() + SCRIBBLE_MS;
	struct uring *ring = &self->ring;
	unsigned int taken = 0;

	memset(ring->sq.sqes, 0, ring->sqes_len);
	for (int i = 0; i < ENTRIES; i++)
		ring->sq.sqes[i].user_data = i;
	/*
	 * The second index is out of range, and selects entry 1 if the kernel
	 * only reduces it.
	 */
	self->flipper = (struct flipper){
		.words = ring->sq.array, .nr = ENTRIES, .values = { 0, ENTRIES + 1 },
	};
	flipper_start(&self->flipper);
	while (now_ms() < end || !taken || !uring_load(ring->sq.dropped)) {
		unsigned int head = uring_load(ring->sq.head);
		int ret;

		uring_store(ring->sq.tail, head + ENTRIES);
		/* A dropped entry ends the batch. */
		ret = uring_enter(ring, ENTRIES, 0, 0);
		ASSERT_TRUE(ret >= 0 && ret <= ENTRIES) {
			TH_LOG("enter returned %s", result_name(ret));
		}
		ASSERT_EQ(ret, uring_ready(ring));
		taken += ret;
		for (; ret; ret--, uring_advance(ring, 1))
			ASSERT_EQ(0, uring_peek(ring)->user_data);
	}
	background_stop(&self->flipper.background);
	EXPECT_LT(0, taken);
	EXPECT_LT(0, uring_load(ring->sq.dropped));
}

/* Another thread maps and unmaps the ring under the submitting thread. */
static void *remap(void *arg)
{
	struct scribbler *s = arg;

	do {
		struct uring second = {
			.fd = s->ring->fd, .backend = s->ring->backend, .p = s->ring->p,
		};

		if (uring_mmap(&second))
			break;
		uring_store(second.sq.tail, s->rounds++);
		uring_munmap(&second);
	} while (!background_is_over(&s->background));
	return NULL;
}

TEST_F(hostile, mappings_can_change_during_submission)
{
	struct scribbler *s = &self->scribbler;
	long long end = now_ms() + SCRIBBLE_MS / 2;

	*s = (struct scribbler){ .ring = &self->ring };
	background_start(&s->background, remap, s);
	while (now_ms() < end) {
		ASSERT_LE(0, uring_enter(&self->ring, ENTRIES, 0, 0));
		uring_reap(&self->ring);
	}
	background_stop(&s->background);
	EXPECT_LT(0, s->rounds);
}

TEST_HARNESS_MAIN
