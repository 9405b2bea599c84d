// SPDX-License-Identifier: GPL-2.0
/*
 * IORING_REGISTER_CLONE_BUFFERS. Writes from the copies show the buffers that were cloned. The
 * tests check both submitters, and two rings that clone from each other at the same time, which
 * takes both locks.
 */
#include <pthread.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include "ring_ops.h"
#include "ring_test.h"

#define NR 4
#define RACE_MS 500

static int clone_arg(struct uring *to, const struct io_uring_clone_buffers *arg)
{
	return uring_register(to, IORING_REGISTER_CLONE_BUFFERS, arg, 1);
}

static int clone_from(struct uring *to, struct uring *from)
{
	struct io_uring_clone_buffers arg = { .src_fd = from->fd };

	return clone_arg(to, &arg);
}

static int clone_some(struct uring *to, struct uring *from, unsigned int flags,
		      unsigned int src_off, unsigned int dst_off, unsigned int nr)
{
	struct io_uring_clone_buffers arg = {
		.src_fd = from->fd,
		.flags = flags,
		.src_off = src_off,
		.dst_off = dst_off,
		.nr = nr,
	};

	return clone_arg(to, &arg);
}

static int unregister(struct uring *ring)
{
	return uring_register(ring, IORING_UNREGISTER_BUFFERS, NULL, 0);
}

FIXTURE(clone)
{
	struct uring a, b;
	char *mem;
};

FIXTURE_VARIANT(clone)
{
	unsigned int flags;
};

FIXTURE_VARIANT_ADD(clone, locked)
{
	.flags = 0,
};

FIXTURE_VARIANT_ADD(clone, single_issuer)
{
	.flags = IORING_SETUP_SINGLE_ISSUER,
};

/* Returns the contents of buffer @slot, which has its own page. */
static char pattern(unsigned int slot)
{
	return 'a' + slot;
}

/* Makes a ring with NR buffers of a page each. */
static int open_filled(struct uring *ring, unsigned int flags, char *mem)
{
	struct iovec iovs[NR];
	int ret;

	*ring = (struct uring){ .p.flags = flags };
	ret = uring_open(ring, 8);
	if (ret || !mem)
		return ret;
	for (int i = 0; i < NR; i++)
		iovs[i] = (struct iovec){ mem + i * getpagesize(), getpagesize() };
	for (int i = 0; i < NR; i++)
		memset(iovs[i].iov_base, pattern(i), getpagesize());
	return uring_register(ring, IORING_REGISTER_BUFFERS, iovs, NR);
}

/* Returns the result of a write of the page @mem from buffer @slot. */
static int write_fixed(struct uring *ring, int fd, unsigned int slot, const char *mem)
{
	struct io_uring_cqe *cqe;
	int res;

	prep_rw(ring, IORING_OP_WRITE_FIXED, fd, mem, getpagesize(), 0, slot)->buf_index = slot;
	if (uring_submit(ring) != 1)
		return -ECHILD;
	if (!uring_ready(ring))
		enter_timeout(ring, 1, HANG_MS);
	cqe = uring_peek(ring);
	if (!cqe || cqe->user_data != slot)
		return -ECHILD;
	res = cqe->res;
	uring_advance(ring, 1);
	return res;
}

/*
 * Describes the table of @ring. A slot is the letter of one of the pages at @mem, '-' for no
 * buffer, '?' for another buffer. The slot behind the table has no buffer.
 */
static const char *slots(struct uring *ring, const char *mem, unsigned int nr)
{
	static char text[64];
	const int page = getpagesize();
	char *back = malloc(page);
	int fds[2];

	if (!back || pipe(fds) || nr >= sizeof(text) - 1)
		return "no pipe";
	for (unsigned int slot = 0; slot <= nr; slot++) {
		text[slot] = '-';
		for (int i = 0; i < NR; i++) {
			int ret = write_fixed(ring, fds[1], slot, mem + i * page);

			if (ret == -EFAULT)
				continue;
			/* A buffer has one page, and refuses the addresses of others. */
			if (ret != page || text[slot] != '-' ||
			    read(fds[0], back, page) != page ||
			    memcmp(back, mem + i * page, page)) {
				text[slot] = '?';
				break;
			}
			text[slot] = back[0];
		}
	}
	text[nr] = text[nr] == '-' ? '\0' : '!';
	text[nr + 1] = '\0';
	close(fds[0]);
	close(fds[1]);
	free(back);
	return text;
}

FIXTURE_SETUP(clone)
{
	self->mem = mmap(NULL, NR * getpagesize(), PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->mem);
	ASSERT_EQ(0, open_filled(&self->a, variant->flags, self->mem));
	ASSERT_EQ(0, open_filled(&self->b, variant->flags, NULL));
}

FIXTURE_TEARDOWN(clone)
{
	uring_close(&self->a);
	uring_close(&self->b);
}

TEST_F(clone, clone_shares_all_buffers)
{
	EXPECT_STREQ("", slots(&self->b, self->mem, 0));
	ASSERT_EQ(0, clone_from(&self->b, &self->a));
	EXPECT_STREQ("abcd", slots(&self->b, self->mem, NR));
	/* Each ring has its own table. */
	EXPECT_EQ(0, unregister(&self->a));
	EXPECT_EQ(-ENXIO, unregister(&self->a));
	EXPECT_STREQ("", slots(&self->a, self->mem, 0));
	EXPECT_STREQ("abcd", slots(&self->b, self->mem, NR));
	/* Clone in the other direction. */
	EXPECT_EQ(0, clone_from(&self->a, &self->b));
	EXPECT_EQ(0, unregister(&self->b));
	EXPECT_EQ(-ENXIO, unregister(&self->b));
	EXPECT_STREQ("", slots(&self->b, self->mem, 0));
	EXPECT_STREQ("abcd", slots(&self->a, self->mem, NR));
	EXPECT_EQ(0, unregister(&self->a));
	EXPECT_STREQ("", slots(&self->a, self->mem, 0));
}

TEST_F(clone, clone_replaces_buffers_only_with_dst_replace)
{
	const unsigned int replace = IORING_REGISTER_DST_REPLACE;

	ASSERT_EQ(0, clone_from(&self->b, &self->a));
	EXPECT_EQ(-EBUSY, clone_from(&self->b, &self->a));
	EXPECT_EQ(0, clone_some(&self->b, &self->a, replace, 0, 0, 0));
	EXPECT_STREQ("abcd", slots(&self->b, self->mem, NR));
	EXPECT_EQ(0, clone_some(&self->b, &self->a, replace, 1, NR - 1, 2));
	EXPECT_STREQ("abcbc", slots(&self->b, self->mem, NR + 1));
	EXPECT_EQ(0, clone_some(&self->a, &self->b, replace, NR, 0, 1));
	EXPECT_STREQ("cbcd", slots(&self->a, self->mem, NR));
	EXPECT_EQ(-EOVERFLOW, clone_some(&self->a, &self->b, replace, NR + 1, 0, 1));
	EXPECT_STREQ("cbcd", slots(&self->a, self->mem, NR));
	EXPECT_EQ(0, unregister(&self->a));
	EXPECT_STREQ("abcbc", slots(&self->b, self->mem, NR + 1));
	/* An empty slot is cloned as an empty slot. */
	EXPECT_EQ(0, clone_some(&self->a, &self->b, 0, 3, 2, 1));
	EXPECT_STREQ("--b", slots(&self->a, self->mem, 3));
	EXPECT_EQ(0, clone_some(&self->b, &self->a, replace, 1, 0, 2));
	EXPECT_STREQ("-bcbc", slots(&self->b, self->mem, NR + 1));
}

TEST_F(clone, clone_within_one_ring_works)
{
	EXPECT_EQ(-EBUSY, clone_from(&self->a, &self->a));
	EXPECT_EQ(0, clone_some(&self->a, &self->a, IORING_REGISTER_DST_REPLACE, 0, NR, NR));
	EXPECT_STREQ("abcdabcd", slots(&self->a, self->mem, 2 * NR));
	EXPECT_EQ(0, clone_some(&self->b, &self->a, 0, 2 * NR - 1, 0, 1));
	EXPECT_STREQ("d", slots(&self->b, self->mem, 1));
	EXPECT_EQ(-EOVERFLOW, clone_some(&self->a, &self->a, IORING_REGISTER_DST_REPLACE,
					 2 * NR, 0, 1));
}

TEST_F(clone, clone_checks_offsets_and_numbers)
{
	struct uring *a = &self->a, *b = &self->b;

	EXPECT_EQ(-ENXIO, clone_some(a, b, IORING_REGISTER_DST_REPLACE, 0, 0, 0));
	EXPECT_EQ(-EINVAL, clone_some(b, a, 0, 1, 0, 0));
	EXPECT_EQ(-EINVAL, clone_some(b, a, 0, 0, 1, 0));
	EXPECT_EQ(-EINVAL, clone_some(b, a, 0, 0, 0, NR + 1));
	EXPECT_EQ(-EOVERFLOW, clone_some(b, a, 0, 1, 0, NR));
	EXPECT_EQ(-EOVERFLOW, clone_some(b, a, 0, -1U, 0, 1));
	EXPECT_EQ(-EOVERFLOW, clone_some(b, a, 0, 0, -1U, 1));
	EXPECT_EQ(-EINVAL, clone_some(b, a, 0, 0, 16384, 1));
	EXPECT_EQ(-ENXIO, unregister(b)) {
		TH_LOG("an error leaves nothing behind");
	}
	EXPECT_EQ(0, clone_some(b, a, 0, 0, 16383, 1));
}

TEST_F(clone, clone_checks_its_arguments)
{
	struct io_uring_clone_buffers arg = { .src_fd = self->a.fd };
	int fds[2];

	EXPECT_EQ(-EINVAL, uring_register(&self->b, IORING_REGISTER_CLONE_BUFFERS, NULL, 1));
	EXPECT_EQ(-EINVAL, uring_register(&self->b, IORING_REGISTER_CLONE_BUFFERS, &arg, 2));
	EXPECT_EQ(-EFAULT, uring_register(&self->b, IORING_REGISTER_CLONE_BUFFERS,
					  bad_pointer(), 1));
	arg.flags = 4;
	EXPECT_EQ(-EINVAL, clone_arg(&self->b, &arg));
	arg = (struct io_uring_clone_buffers){ .src_fd = self->a.fd, .pad[2] = 1 };
	EXPECT_EQ(-EINVAL, clone_arg(&self->b, &arg));
	EXPECT_EQ(-EBUSY, clone_arg(&self->a, &arg));
	arg = (struct io_uring_clone_buffers){ .src_fd = -1U };
	EXPECT_EQ(-EBADF, clone_arg(&self->b, &arg));
	ASSERT_EQ(0, pipe(fds));
	arg.src_fd = fds[0];
	EXPECT_EQ(-EOPNOTSUPP, clone_arg(&self->b, &arg));
	arg = (struct io_uring_clone_buffers){
		.src_fd = 15, .flags = IORING_REGISTER_SRC_REGISTERED,
	};
	EXPECT_EQ(-EBADF, clone_arg(&self->b, &arg));
	arg.src_fd = 16;
	EXPECT_EQ(-EINVAL, clone_arg(&self->b, &arg));
	close(fds[0]);
	close(fds[1]);
}

TEST_F(clone, clone_between_accounts_is_refused)
{
	int status;
	pid_t pid;

	ASSERT_EQ(0, clone_from(&self->b, &self->a));
	pid = fork();
	if (!pid) {
		struct uring ring;

		if (open_filled(&ring, 0, NULL))
			_exit(1);
		_exit(-clone_from(&ring, &self->a));
	}
	waitpid(pid, &status, 0);
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(variant->flags ? EEXIST : EINVAL, WEXITSTATUS(status));
}

/* Another thread, with a ring of its own. */

struct other {
	struct uring *ring;	/* the test's */
	char *mem;
	unsigned int flags;
	int from_it, to_it;
};

static void *other_main(void *arg)
{
	struct other *o = arg;
	struct uring mine, full;

	if (open_filled(&mine, o->flags, NULL) || open_filled(&full, o->flags, o->mem))
		return NULL;
	o->from_it = clone_from(&mine, o->ring);
	o->to_it = clone_some(o->ring, &full, IORING_REGISTER_DST_REPLACE, 0, 0, 0);
	uring_close(&mine);
	uring_close(&full);
	return NULL;
}

/* Both submitters are checked: the first hole that the series closes. */
TEST_F(clone, clone_checks_both_submitters)
{
	const int expected = variant->flags ? -EEXIST : 0;
	struct other o = { .ring = &self->a, .mem = self->mem };
	pthread_t thread;

	for (int i = 0; i < 2; i++) {
		/* A task may clone between its own rings, with one issuer or not. */
		o.flags = i ? IORING_SETUP_SINGLE_ISSUER : 0;
		/* Results that the thread overwrites. */
		o.from_it = 1;
		o.to_it = 1;
		pthread_create(&thread, NULL, other_main, &o);
		pthread_join(thread, NULL);
		EXPECT_EQ(expected, o.from_it);
		EXPECT_EQ(expected, o.to_it);
	}
}

/* Two threads clone in a circle at the same time. */

struct racer {
	struct uring *to, *from;
	unsigned long long done, strange;
	bool *stop;
};

static void *race(void *arg)
{
	struct racer *r = arg;

	while (!__atomic_load_n(r->stop, __ATOMIC_ACQUIRE)) {
		int ret = clone_some(r->to, r->from, IORING_REGISTER_DST_REPLACE, 0, 0, 1);

		r->strange += ret != 0;
		r->done++;
	}
	return NULL;
}

TEST(rings_clone_from_each_other_without_deadlock)
{
	const size_t page = getpagesize();
	struct uring a, b;
	bool stop = false;
	struct racer racers[] = {
		{ .to = &a, .from = &b, .stop = &stop },
		{ .to = &b, .from = &a, .stop = &stop },
	};
	char *mem = mmap(NULL, NR * page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_t threads[2];
	unsigned long long submitted = 0;
	long long start = now_ms();

	ASSERT_NE(MAP_FAILED, mem);
	ASSERT_EQ(0, open_filled(&a, 0, mem));
	ASSERT_EQ(0, open_filled(&b, 0, NULL));
	ASSERT_EQ(0, clone_from(&b, &a));
	for (int i = 0; i < 2; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, race, &racers[i]));
	while (now_ms() - start < RACE_MS || !racers[0].done || !racers[1].done) {
		ASSERT_NE(NULL, uring_nop(&a, 0));
		ASSERT_EQ(1, uring_submit(&a));
		ASSERT_EQ(1, uring_reap(&a));
		submitted++;
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELEASE);
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], NULL);
		EXPECT_EQ(0, racers[i].strange);
		EXPECT_LT(0, racers[i].done);
	}
	EXPECT_LT(0, submitted);
	EXPECT_STREQ("abcd", slots(&a, mem, NR));
	EXPECT_STREQ("abcd", slots(&b, mem, NR));
	uring_close(&a);
	uring_close(&b);
}

TEST_HARNESS_MAIN
