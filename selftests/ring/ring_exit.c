// SPDX-License-Identifier: GPL-2.0
/*
 * A ring loses its last descriptor with requests in flight: closed, duplicated, sent over a
 * socket, inherited by fork, closed by exec, killed. The ring is freed, and so is what its
 * requests hold: the read end of a pipe, whose write end then sees a hang-up.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include "ring_fds.h"
#include "ring_ops.h"
#include "ring_test.h"
#include "rings.h"

#define ENTRIES 16

/* Puts requests on the empty pipe @fd in flight. */

static void a_poll(struct uring *ring, int fd)
{
	poll_in(ring, fd, 1);
}

static void a_multishot(struct uring *ring, int fd)
{
	prep_poll(ring, fd, POLLIN, IORING_POLL_ADD_MULTI, 1);
}

static void a_read(struct uring *ring, int fd)
{
	read_byte(ring, fd, 1);
}

static void a_read_by_a_worker(struct uring *ring, int fd)
{
	read_byte(ring, fd, 1)->flags = IOSQE_ASYNC;
}

static void a_chain(struct uring *ring, int fd)
{
	never(ring, 1)->flags = IOSQE_IO_LINK;
	poll_in(ring, fd, 2)->flags = IOSQE_IO_HARDLINK;
	read_byte(ring, fd, 3);
}

static void a_drained(struct uring *ring, int fd)
{
	never(ring, 1)->off = 100;
	read_byte(ring, fd, 2)->flags = IOSQE_IO_DRAIN;
	poll_in(ring, fd, 3);
}

/* Submits all entries, also on a ring with SQPOLL. */
static bool submit(struct uring *ring)
{
	unsigned int nr = uring_publish(ring);
	bool thread = ring->p.flags & IORING_SETUP_SQPOLL;

	if (uring_enter(ring, nr, 0, thread ? IORING_ENTER_SQ_WAKEUP : 0) != nr)
		return false;
	while (uring_load(ring->sq.head) != ring->sq.filled)
		sleep_ms(1);
	return true;
}

static void an_overflow(struct uring *ring, int fd)
{
	for (int i = 0; i < 5; i++) {
		while (uring_nop(ring, i))
			;
		submit(ring);
	}
	poll_in(ring, fd, 1);
}

static const struct {
	const char *name;
	void (*prepare)(struct uring *ring, int fd);
} kinds[] = {
	{ "a poll", a_poll },
	{ "a multishot poll", a_multishot },
	{ "a read", a_read },
	{ "a read by a worker", a_read_by_a_worker },
	{ "a chain", a_chain },
	{ "a drained request", a_drained },
	{ "a CQ that overflowed", an_overflow },
	{ "all", fill },
};

static const struct {
	const char *name;
	unsigned int flags;
} modes[] = {
	{ "with the mutex", 0 },
	{ "with a single issuer", IORING_SETUP_SINGLE_ISSUER },
	{ "with a submitting thread", IORING_SETUP_SQPOLL },
};

/* The way in which a child of the test loses its ring. */

static void forever(void)
{
	for (;;)
		pause();
}

static void closed(struct uring *ring)
{
	uring_close(ring);
	forever();
}

static void closed_before_unmapped(struct uring *ring)
{
	close(ring->fd);
	sleep_ms(5);
	uring_munmap(ring);
	forever();
}

static void duplicated(struct uring *ring)
{
	int other = dup(ring->fd);

	uring_close(ring);
	sleep_ms(5);
	close(other);
	forever();
}

/* The socket has the last reference. */
static void sent(struct uring *ring)
{
	int sockets[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) || send_fd(sockets[0], ring->fd))
		_exit(2);
	uring_close(ring);
	sleep_ms(5);
	close(sockets[0]);
	close(sockets[1]);
	forever();
}

static void sent_and_received(struct uring *ring)
{
	int sockets[2], fd;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) || send_fd(sockets[0], ring->fd))
		_exit(2);
	uring_close(ring);
	fd = recv_fd(sockets[1]);
	if (fd < 0)
		_exit(2);
	close(fd);
	forever();
}

/* A child of the child has the last descriptor, and lives longer. */
static void inherited(struct uring *ring)
{
	if (!fork()) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		sleep_ms(5);
		uring_close(ring);
		forever();
	}
	uring_close(ring);
	forever();
}

/* Executes this program again, which then only waits. */
static void closed_by_exec(struct uring *ring)
{
	(void)ring;
	setenv("RING_EXIT", "", 1);
	execl("/proc/self/exe", "ring_exit", NULL);
	_exit(2);
}

static void exited(struct uring *ring)
{
	(void)ring;
	_exit(0);
}

static void killed(struct uring *ring)
{
	(void)ring;
	raise(SIGKILL);
}

static void *wait_for_ever(void *ring)
{
	for (;;)
		uring_enter(ring, 0, 2 * ENTRIES, IORING_ENTER_GETEVENTS);
	return NULL;
}

static void killed_while_waiting(struct uring *ring)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, wait_for_ever, ring))
		_exit(2);
	/* The test kills it. */
	wait_for_ever(ring);
}

static void *register_for_ever(void *ring)
{
	int fd = eventfd(0, 0);

	for (;;) {
		uring_register_eventfd(ring, fd);
		uring_unregister_eventfd(ring);
	}
	return NULL;
}

static void killed_while_registering(struct uring *ring)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, register_for_ever, ring))
		_exit(2);
	register_for_ever(ring);
}

static void killed_while_stopped(struct uring *ring)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, wait_for_ever, ring))
		_exit(2);
	raise(SIGSTOP);
}

FIXTURE(ring)
{
	int unused;
};

FIXTURE_VARIANT(ring)
{
	void (*lose)(struct uring *ring);
	/* The kill of the child by the test frees the ring. */
	bool kill;
	/* An io_uring cannot be sent over a socket. */
	bool sends;
};

FIXTURE_VARIANT_ADD(ring, closed)
{
	.lose = closed,
};

FIXTURE_VARIANT_ADD(ring, closed_before_unmapped)
{
	.lose = closed_before_unmapped,
};

FIXTURE_VARIANT_ADD(ring, duplicated)
{
	.lose = duplicated,
};

FIXTURE_VARIANT_ADD(ring, sent)
{
	.lose = sent,
	.sends = true,
};

FIXTURE_VARIANT_ADD(ring, sent_and_received)
{
	.lose = sent_and_received,
	.sends = true,
};

FIXTURE_VARIANT_ADD(ring, inherited)
{
	.lose = inherited,
};

FIXTURE_VARIANT_ADD(ring, closed_by_exec)
{
	.lose = closed_by_exec,
};

FIXTURE_VARIANT_ADD(ring, exited)
{
	.lose = exited,
};

FIXTURE_VARIANT_ADD(ring, killed)
{
	.lose = killed,
};

FIXTURE_VARIANT_ADD(ring, killed_while_waiting)
{
	.lose = killed_while_waiting,
	.kill = true,
};

FIXTURE_VARIANT_ADD(ring, killed_while_registering)
{
	.lose = killed_while_registering,
	.kill = true,
};

FIXTURE_VARIANT_ADD(ring, killed_while_stopped)
{
	.lose = killed_while_stopped,
	.kill = true,
};

FIXTURE_SETUP(ring)
{
	if (on_io_uring() && variant->sends)
		SKIP(return, "io_uring cannot be sent over a socket");
}

FIXTURE_TEARDOWN(ring)
{
}

/* Runs in the child: reports that all is in flight, and loses the ring. */
static void begin(int kind, int mode, int fd, int ready, void (*lose)(struct uring *ring))
{
	struct uring ring = { .p.flags = modes[mode].flags, .p.sq_thread_idle = 1 };

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (uring_open(&ring, ENTRIES))
		_exit(3);
	kinds[kind].prepare(&ring, fd);
	if (!submit(&ring))
		_exit(3);
	close(fd);
	if (write(ready, "x", 1) != 1)
		_exit(3);
	lose(&ring);
}

TEST_F_TIMEOUT(ring, lost_ring_is_freed_with_all_requests, 300)
{
	for (int i = 0; i < ARRAY_SIZE(kinds) * ARRAY_SIZE(modes); i++) {
		int kind = i / ARRAY_SIZE(modes), mode = i % ARRAY_SIZE(modes);
		int held[2], ready[2], status;
		char byte;
		pid_t pid;

		ASSERT_EQ(0, pipe2(held, O_CLOEXEC));
		ASSERT_EQ(0, pipe2(ready, O_CLOEXEC));
		pid = fork();
		ASSERT_GE(pid, 0);
		if (!pid) {
			close(held[1]);
			begin(kind, mode, held[0], ready[1], variant->lose);
		}
		close(held[0]);
		close(ready[1]);
		ASSERT_EQ(1, read(ready[0], &byte, 1));
		if (variant->kill) {
			sleep_ms(i % 8);
			kill(pid, SIGKILL);
		}
		ASSERT_TRUE(closes(held[1])) {
			TH_LOG("%s, %s, keeps its file", kinds[kind].name, modes[mode].name);
		}
		if (!on_io_uring())
			ASSERT_TRUE(rings_become(0)) {
				TH_LOG("a ring of %s, %s, is never freed", kinds[kind].name,
				       modes[mode].name);
			}
		kill(pid, SIGKILL);
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		EXPECT_TRUE(WIFSIGNALED(status) || !WEXITSTATUS(status)) {
			TH_LOG("the child ended with 0x%x", status);
		}
		close(held[1]);
		close(ready[0]);
	}
}

#define TRACING "/sys/kernel/tracing/"

static bool write_text(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_APPEND);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	return ok;
}

/* Returns the number of searches of a descriptor table since start_count(), or -1. */
static long searches(void)
{
	FILE *file = fopen(TRACING "kprobe_profile", "r");
	long count, found = -1;
	char name[64];

	while (file && fscanf(file, "%63s %ld %*d", name, &count) == 2) {
		if (!strcmp(name, "ring_exit_search"))
			found = count;
	}
	if (file)
		fclose(file);
	return found;
}

static bool start_count(void)
{
	return write_text(TRACING "kprobe_events", "p:ring_exit_search iterate_fd\n") &&
	       write_text(TRACING "events/kprobes/ring_exit_search/enable", "1");
}

static void stop_count(void)
{
	write_text(TRACING "events/kprobes/ring_exit_search/enable", "0");
	write_text(TRACING "kprobe_events", "-:ring_exit_search\n");
}

/* Closing a ring takes the same time in a process with many descriptors. */
TEST(close_of_a_ring_searches_no_descriptors)
{
	struct uring ring = {};
	int sockets[2];

	if (on_io_uring())
		SKIP(return, "of miniring's own means");
	if (!start_count())
		SKIP(return, "no kprobe events");
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	for (int i = 0; i < 10; i++) {
		ASSERT_EQ(0, uring_open(&ring, 8));
		uring_nop(&ring, 1);
		never(&ring, 2);
		EXPECT_EQ(2, uring_submit(&ring));
		uring_close(&ring);
	}
	EXPECT_EQ(0, searches());
	/* A request about a socket, which may hold the ring, causes a search. */
	ASSERT_EQ(0, uring_open(&ring, 8));
	poll_in(&ring, sockets[0], 1);
	EXPECT_EQ(1, uring_submit(&ring));
	uring_close(&ring);
	EXPECT_LE(1, searches());
	stop_count();
	close(sockets[0]);
	close(sockets[1]);
}

/* The program that a test executes. */
__attribute__((constructor)) static void executed(void)
{
	if (getenv("RING_EXIT"))
		forever();
}

TEST_HARNESS_MAIN
