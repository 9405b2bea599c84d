// SPDX-License-Identifier: GPL-2.0
/*
 * /proc/PID/fdinfo of a ring: the lines of io_uring, with the values of the ring, while other
 * threads use it.
 */
#include <pthread.h>
#include "ring_test.h"

#define RACE_MS 700

/* Returns the number after @name, or -1. Another thread reads the file. */
static long long field(const char *info, const char *name)
{
	size_t len = strlen(name);
	const char *line = info;

	while (line) {
		if (!strncmp(line, name, len) && line[len] == ':')
			return strtoll(line + len + 1, NULL, 0);
		line = strchr(line, '\n');
		if (line)
			line++;
	}
	return -1;
}

static ssize_t read_fdinfo(int ring_fd, char *info, size_t size)
{
	char path[64];
	ssize_t len, all = 0;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", getpid(), ring_fd);
	fd = open(path, O_RDONLY);
	if (fd < 0)
		return -errno;
	while ((len = read(fd, info + all, size - 1 - all)) > 0)
		all += len;
	close(fd);
	info[all] = 0;
	return len < 0 ? -errno : all;
}

struct reader {
	struct uring *ring;
	char info[65536];
	ssize_t len;
	int reads, stop;
};

static void *read_once(void *arg)
{
	struct reader *r = arg;

	r->len = read_fdinfo(r->ring->fd, r->info, sizeof(r->info));
	return NULL;
}

static void *read_until_told(void *arg)
{
	struct reader *r = arg;

	do {
		read_once(r);
		r->reads++;
	} while (r->len >= 0 && !__atomic_load_n(&r->stop, __ATOMIC_ACQUIRE));
	return NULL;
}

FIXTURE(fdinfo)
{
	struct uring ring;
	struct reader reader;
	pthread_t thread;
};

FIXTURE_SETUP(fdinfo)
{
	ASSERT_EQ(0, uring_open(&self->ring, 8));
	self->reader.ring = &self->ring;
}

FIXTURE_TEARDOWN(fdinfo)
{
	uring_close(&self->ring);
}

TEST_F(fdinfo, fdinfo_shows_sizes_and_indices_to_another_thread)
{
	const char *info = self->reader.info;

	for (int i = 0; i < 5; i++)
		ASSERT_NE(NULL, uring_nop(&self->ring, i));
	ASSERT_EQ(5, uring_submit(&self->ring));
	for (int i = 0; i < 2; i++)
		ASSERT_NE(NULL, uring_nop(&self->ring, i));
	uring_publish(&self->ring);
	uring_advance(&self->ring, 3);

	pthread_create(&self->thread, NULL, read_once, &self->reader);
	pthread_join(self->thread, NULL);
	ASSERT_LT(0, self->reader.len);
	EXPECT_EQ(7, field(info, "SqMask"));
	EXPECT_EQ(5, field(info, "SqHead"));
	EXPECT_EQ(7, field(info, "SqTail"));
	EXPECT_EQ(5, field(info, "CachedSqHead"));
	EXPECT_EQ(15, field(info, "CqMask"));
	EXPECT_EQ(3, field(info, "CqHead"));
	EXPECT_EQ(5, field(info, "CqTail"));
	EXPECT_EQ(5, field(info, "CachedCqTail"));
}

TEST_F(fdinfo, fdinfo_can_be_read_while_the_ring_is_busy)
{
	long long end = now_ms() + RACE_MS;

	pthread_create(&self->thread, NULL, read_until_told, &self->reader);
	while (now_ms() < end) {
		for (int i = 0; i < 8; i++)
			ASSERT_NE(NULL, uring_nop(&self->ring, i));
		ASSERT_EQ(8, uring_submit(&self->ring));
		ASSERT_EQ(8, uring_reap(&self->ring));
	}
	__atomic_store_n(&self->reader.stop, 1, __ATOMIC_RELEASE);
	pthread_join(self->thread, NULL);
	EXPECT_LE(0, self->reader.len);
	EXPECT_LT(0, self->reader.reads);
}

TEST_F(fdinfo, fdinfo_is_bounded_for_any_indices)
{
	const unsigned int garbage[] = { -1U, 0x80000000, 1000, 0x12345678 };

	memset(self->ring.sq.sqes, 0xff, self->ring.sqes_len);
	for (int i = 0; i < ARRAY_SIZE(garbage); i++) {
		uring_store(self->ring.sq.head, garbage[i]);
		uring_store(self->ring.sq.tail, garbage[(i + 1) % 4]);
		uring_store(self->ring.cq.head, garbage[(i + 2) % 4]);
		uring_store(self->ring.cq.tail, garbage[(i + 3) % 4]);
		read_once(&self->reader);
		ASSERT_LT(0, self->reader.len);
		EXPECT_GT(16384, self->reader.len);
		EXPECT_EQ(7, field(self->reader.info, "SqMask"));
		EXPECT_EQ(0, field(self->reader.info, "CachedSqHead"));
		EXPECT_EQ(0, field(self->reader.info, "CachedCqTail"));
	}
}

TEST_F(fdinfo, fdinfo_can_be_read_while_completions_wait_for_room)
{
	for (int i = 0; i < 40; i++) {
		ASSERT_NE(NULL, uring_nop(&self->ring, i));
		ASSERT_EQ(1, uring_submit(&self->ring));
	}
	read_once(&self->reader);
	ASSERT_LT(0, self->reader.len);
	EXPECT_EQ(40, field(self->reader.info, "CachedSqHead"));
	EXPECT_EQ(16, field(self->reader.info, "CachedCqTail"));
}

TEST_HARNESS_MAIN
