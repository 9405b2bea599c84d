// SPDX-License-Identifier: GPL-2.0
/*
 * The number of acquisitions of the mutex, by the ring's own count in fdinfo, and by a probe on
 * mutex_lock(), which is independent of rings.
 */
#include <pthread.h>
#include "ring_test.h"
#include "rings.h"

#define SUBMITS 1000
#define TRACING "/sys/kernel/tracing/"

static int open_ring(struct uring *ring, unsigned int flags)
{
	*ring = (struct uring){ .p.flags = flags };
	return uring_open_on(URING_MINIRING, ring, 8);
}

/* Submits @nr NOPs one by one. Returns the number of completions. */
static int nops(struct uring *ring, int nr)
{
	int completed = 0;

	for (int i = 0; i < nr; i++) {
		uring_nop(ring, i);
		if (uring_submit(ring) != 1)
			break;
		completed += uring_reap(ring);
	}
	return completed;
}

TEST(single_issuer_submission_takes_no_lock)
{
	struct ring_tally before, after;
	struct uring ring;

	ASSERT_EQ(0, open_ring(&ring, IORING_SETUP_SINGLE_ISSUER));
	ASSERT_EQ(0, ring_tally(ring.fd, &before));
	EXPECT_EQ(0, before.submits);
	ASSERT_EQ(SUBMITS, nops(&ring, SUBMITS));
	ASSERT_EQ(0, ring_tally(ring.fd, &after));
	EXPECT_EQ(SUBMITS, after.submits);
	EXPECT_EQ(before.locks, after.locks);
	uring_close(&ring);
}

TEST(submission_without_single_issuer_takes_one_lock)
{
	struct ring_tally before, after;
	struct uring ring;

	ASSERT_EQ(0, open_ring(&ring, 0));
	ASSERT_EQ(0, ring_tally(ring.fd, &before));
	ASSERT_EQ(SUBMITS, nops(&ring, SUBMITS));
	ASSERT_EQ(0, ring_tally(ring.fd, &after));
	EXPECT_EQ(SUBMITS, after.submits);
	EXPECT_EQ(SUBMITS, after.locks - before.locks);
	uring_close(&ring);
}

static void *submit_nothing(void *arg)
{
	for (int i = 0; i < SUBMITS; i++)
		uring_enter(arg, 1, 0, 0);
	return NULL;
}

/* No count is lost between threads. */
TEST(submits_and_locks_are_counted_exactly)
{
	struct ring_tally before, after;
	pthread_t threads[4];
	struct uring ring;

	ASSERT_EQ(0, open_ring(&ring, 0));
	ASSERT_EQ(0, ring_tally(ring.fd, &before));
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, submit_nothing, &ring);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	ASSERT_EQ(0, ring_tally(ring.fd, &after));
	EXPECT_EQ(4 * SUBMITS, after.submits - before.submits);
	EXPECT_EQ(4 * SUBMITS, after.locks - before.locks);
	uring_close(&ring);
}

TEST(ring_is_counted_until_it_is_closed)
{
	struct uring rings[3];

	/* Wait for the rings of earlier tests. */
	ASSERT_TRUE(rings_become(0));
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(0, open_ring(&rings[i], 0));
		EXPECT_EQ(i + 1, rings_now());
	}
	for (int i = 0; i < 3; i++) {
		uring_close(&rings[i]);
		EXPECT_TRUE(rings_become(2 - i));
	}
}

static int write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_APPEND);
	ssize_t len = -1;

	if (fd < 0)
		return -errno;
	len = write(fd, text, strlen(text));
	if (len < 0)
		len = -errno;
	close(fd);
	return len < 0 ? len : 0;
}

/* Returns the number of events in the trace buffer. */
static int traced(void)
{
	FILE *file = fopen(TRACING "trace", "r");
	char line[512];
	int nr = 0;

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file))
		nr += line[0] != '#';
	fclose(file);
	return nr;
}

/* Returns the number of mutexes that this thread takes in @nr submissions, of rings or not. */
static int mutexes(struct uring *ring, int nr)
{
	/* Opening the trace with O_TRUNC empties it. */
	close(open(TRACING "trace", O_WRONLY | O_TRUNC));
	write_file(TRACING "events/miniring_test/enable", "1");
	nops(ring, nr);
	write_file(TRACING "events/miniring_test/enable", "0");
	return traced();
}

TEST(probe_on_mutex_lock_agrees_with_the_counts)
{
	struct uring ring, locked;
	char filter[64];
	int enabling, issuer, other;
	int ret;

	/* With lockdep, mutex_lock() is a macro for mutex_lock_nested(). */
	ret = write_file(TRACING "kprobe_events", "p:miniring_test/lock mutex_lock");
	if (ret == -EINVAL || ret == -ENOENT)
		ret = write_file(TRACING "kprobe_events",
				 "p:miniring_test/lock mutex_lock_nested");
	if (ret)
		SKIP(return, "no probe on mutex_lock(): %s", strerror(-ret));
	snprintf(filter, sizeof(filter), "common_pid == %d", (int)syscall(SYS_gettid));
	ASSERT_EQ(0, write_file(TRACING "events/miniring_test/filter", filter));
	ASSERT_EQ(0, open_ring(&ring, IORING_SETUP_SINGLE_ISSUER));
	ASSERT_EQ(0, open_ring(&locked, 0));

	enabling = mutexes(&ring, 0);
	issuer = mutexes(&ring, 100);
	other = mutexes(&locked, 100);
	write_file(TRACING "kprobe_events", "-:miniring_test/lock");

	TH_LOG("mutexes: %d for the probe itself, %d and %d with 100 submissions",
	       enabling, issuer, other);
	EXPECT_EQ(enabling, issuer);
	EXPECT_EQ(enabling + 100, other);
	uring_close(&ring);
	uring_close(&locked);
}

TEST_HARNESS_MAIN
