// SPDX-License-Identifier: GPL-2.0
/*
 * What becomes of a ring with requests in flight when its descriptors go: closed,
 * duplicated, sent over a socket, inherited by fork, kept by exec, killed.
 *
 * A ring that nobody has any more is freed, and so is what its requests hold: the
 * read end of a pipe, which its write end sees go. A ring that somebody still has
 * completes each request exactly once, with its result or -ECANCELED.
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

/* What a ring has in flight, on the empty pipe @fd. */

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

/* Has the kernel take all entries, also if a thread does that. */
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

/* How a process, which is a child of the test, loses its ring. */

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

/* The socket has it last. */
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

/* A child of the child has it last, and is alive for longer. */
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

/* By this program again, which then does nothing. */
static void closed_by_exec(struct uring *ring)
{
	(void)ring;
	setenv("RING_EXIT_FD", "-1", 1);
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
	/* The child is killed by the test, and it is that which frees the ring. */
	bool kill;
	/* io_uring cannot be sent. */
	bool sends;
};

FIXTURE_VARIANT_ADD(ring, closed) { .lose = closed };
FIXTURE_VARIANT_ADD(ring, closed_before_unmapped) { .lose = closed_before_unmapped };
FIXTURE_VARIANT_ADD(ring, duplicated) { .lose = duplicated };
FIXTURE_VARIANT_ADD(ring, sent) { .lose = sent, .sends = true };
FIXTURE_VARIANT_ADD(ring, sent_and_received) { .lose = sent_and_received, .sends = true };
FIXTURE_VARIANT_ADD(ring, inherited) { .lose = inherited };
FIXTURE_VARIANT_ADD(ring, closed_by_exec) { .lose = closed_by_exec };
FIXTURE_VARIANT_ADD(ring, exited) { .lose = exited };
FIXTURE_VARIANT_ADD(ring, killed) { .lose = killed };
FIXTURE_VARIANT_ADD(ring, killed_while_waiting) { .lose = killed_while_waiting, .kill = true };
FIXTURE_VARIANT_ADD(ring, killed_while_registering) {
	.lose = killed_while_registering, .kill = true,
};
FIXTURE_VARIANT_ADD(ring, killed_while_stopped) { .lose = killed_while_stopped, .kill = true };

FIXTURE_SETUP(ring)
{
	if (on_io_uring() && variant->sends)
		SKIP(return, "io_uring cannot be sent over a socket");
}

FIXTURE_TEARDOWN(ring)
{
}

/* The child's part: says that all is in flight, and goes. */
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

TEST_F_TIMEOUT(ring, goes_with_all_it_has, 300)
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
			ASSERT_TRUE(rings_become(pid, 0)) {
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

/* Rings that somebody still has. */

FIXTURE(kept)
{
	struct uring ring;
	int fds[2];
};

FIXTURE_SETUP(kept)
{
	ASSERT_EQ(0, uring_open(&self->ring, ENTRIES));
	ASSERT_EQ(0, pipe2(self->fds, O_CLOEXEC));
}

FIXTURE_TEARDOWN(kept)
{
	uring_close(&self->ring);
	close(self->fds[0]);
	close(self->fds[1]);
}

TEST_F(kept, by_a_duplicate)
{
	struct uring *ring = &self->ring;
	int other = dup(ring->fd);
	struct tally seen;

	a_chain(ring, self->fds[0]);
	a_multishot(ring, self->fds[0]);
	a_read_by_a_worker(ring, self->fds[0]);
	ASSERT_EQ(5, uring_submit(ring));
	close(ring->fd);
	ring->fd = other;
	sleep_ms(10);
	EXPECT_EQ(0, uring_ready(ring));
	prep_undo(ring, IORING_OP_ASYNC_CANCEL, 0, 50)->cancel_flags = IORING_ASYNC_CANCEL_ANY;
	ASSERT_EQ(1, uring_submit(ring));
	seen = tally(ring, 6);
	EXPECT_EQ(6, seen.total);
	EXPECT_EQ(5, seen.cancelled);
}

/* Nobody can submit to it, but what it has in flight completes into the mapping. */
TEST_F(kept, by_its_mapping)
{
	struct uring *ring = &self->ring;

	poll_in(ring, self->fds[0], 1);
	never(ring, 2);
	ASSERT_EQ(2, uring_submit(ring));
	close(ring->fd);
	ring->fd = -1;
	sleep_ms(10);
	EXPECT_EQ(0, uring_ready(ring));
	ASSERT_EQ(1, write(self->fds[1], "x", 1));
	for (int i = 0; i < 1000 && !uring_ready(ring); i++)
		sleep_ms(1);
	EXPECT_STREQ("1 1", next_cqe(ring));
	EXPECT_STREQ("none", next_cqe(ring));
}

TEST_F(kept, by_a_socket)
{
	struct uring *ring = &self->ring;
	int sockets[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	poll_in(ring, self->fds[0], 1);
	ASSERT_EQ(1, uring_submit(ring));
	if (on_io_uring()) {
		/* The kernel knows what it is, and that cycles could come of it. */
		ASSERT_EQ(-EINVAL, send_fd(sockets[0], ring->fd));
		return;
	}
	ASSERT_EQ(0, send_fd(sockets[0], ring->fd));
	close(ring->fd);
	ring->fd = -1;
	ASSERT_EQ(1, write(self->fds[1], "x", 1));
	ring->fd = recv_fd(sockets[1]);
	ASSERT_GE(ring->fd, 0);
	ASSERT_EQ(0, enter_timeout(ring, 1, 5000));
	EXPECT_STREQ("1 1", next_cqe(ring));
	uring_nop(ring, 2);
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("2 0", next_cqe(ring));
}

/* Requests are of who submits them: files and memory of the receiver's. */
TEST_F(kept, by_a_process_that_received_it)
{
	struct uring *ring = &self->ring;
	int sockets[2], status;
	pid_t pid;

	if (on_io_uring())
		SKIP(return, "io_uring cannot be sent over a socket");
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		struct uring mine = { .backend = ring->backend, .p = ring->p };
		char byte = 0;
		int fds[2];

		uring_close(ring);
		close(self->fds[0]);
		close(self->fds[1]);
		mine.fd = recv_fd(sockets[1]);
		if (mine.fd < 0 || uring_mmap(&mine) || pipe(fds))
			_exit(1);
		mine.sq.filled = uring_load(mine.sq.tail);
		prep_rw(&mine, IORING_OP_READ, fds[0], &byte, 1, 0, 7);
		if (uring_submit(&mine) != 1 || write(fds[1], "y", 1) != 1 ||
		    enter_timeout(&mine, 1, 5000))
			_exit(2);
		if (strcmp("7 1", next_cqe(&mine)) || byte != 'y')
			_exit(3);
		never(&mine, 8);
		_exit(uring_submit(&mine) == 1 ? 0 : 4);
	}
	poll_in(ring, self->fds[0], 1);
	ASSERT_EQ(1, uring_submit(ring));
	ASSERT_EQ(0, send_fd(sockets[0], ring->fd));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	/* What it left in flight is cancelled; ours is not. */
	ASSERT_EQ(0, enter_timeout(ring, 1, 5000));
	EXPECT_STREQ("8 -ECANCELED", next_cqe(ring));
	ASSERT_EQ(1, write(self->fds[1], "x", 1));
	ASSERT_EQ(0, enter_timeout(ring, 1, 5000));
	EXPECT_STREQ("1 1", next_cqe(ring));
}

/* A child submits to the ring that it inherited, and goes, in one way or another. */
TEST_F(kept, by_the_parent_of_who_submitted)
{
	struct uring *ring = &self->ring;
	struct tally seen;
	int status;

	for (int round = 0; round < 3; round++) {
		pid_t pid = fork();

		ASSERT_GE(pid, 0);
		if (!pid) {
			poll_in(ring, self->fds[0], 1);
			read_byte(ring, self->fds[0], 2);
			read_byte(ring, self->fds[0], 3)->flags = IOSQE_ASYNC;
			if (uring_submit(ring) != 3)
				_exit(1);
			if (round == 0)
				raise(SIGKILL);
			if (round == 1)
				close(ring->fd);
			_exit(0);
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_EQ(round ? 0 : SIGKILL, status);
		ring->sq.filled += 3;
		/* io_uring finds that it is gone when there is something. */
		ASSERT_EQ(1, write(self->fds[1], "x", 1));
		seen = tally(ring, 3);
		EXPECT_EQ(3, seen.total);
		EXPECT_EQ(3, seen.cancelled) {
			TH_LOG("round %d: a request of a process that is gone goes on", round);
		}
		ASSERT_EQ(1, read(self->fds[0], &status, 1));
	}
}

/* With the ring still open, io_uring cancels at exec, miniring when the process ends. */
TEST_F(kept, by_exec)
{
	struct uring *ring = &self->ring;
	int status;
	pid_t pid;

	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		char fd[12];

		fcntl(ring->fd, F_SETFD, 0);
		poll_in(ring, self->fds[0], 1);
		read_byte(ring, self->fds[0], 2);
		if (uring_submit(ring) != 2)
			_exit(1);
		snprintf(fd, sizeof(fd), "%d", ring->fd);
		setenv("RING_EXIT_FD", fd, 1);
		execl("/proc/self/exe", "ring_exit", NULL);
		_exit(2);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	ring->sq.filled += 3;
	/* Both requests of before, and the NOP of the program that was executed. */
	ASSERT_EQ(1, write(self->fds[1], "x", 1));
	EXPECT_EQ(3, tally(ring, 3).total);
}

/*
 * Cycles of files: what the ring has in flight holds a file that holds the ring. The
 * process closes what it has of both; nothing may be left of them when it ends.
 */

static bool cycle_by_socket(struct uring *ring, int held)
{
	int sockets[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		return false;
	never(ring, 1)->flags = IOSQE_IO_HARDLINK;
	poll_in(ring, sockets[1], 2);
	poll_in(ring, held, 3);
	if (uring_submit(ring) != 3 || send_fd(sockets[0], ring->fd))
		return false;
	close(sockets[0]);
	close(sockets[1]);
	return true;
}

static bool cycle_by_io_uring(struct uring *ring, int held)
{
	struct uring other = {};

	if (uring_open_on(URING_IO_URING, &other, 4))
		return false;
	poll_in(ring, other.fd, 1);
	poll_in(ring, held, 2);
	if (uring_submit(ring) != 2 ||
	    uring_register(&other, IORING_REGISTER_FILES, &ring->fd, 1))
		return false;
	uring_close(&other);
	return true;
}

static void run_cycle(struct __test_metadata *_metadata,
		      bool (*make)(struct uring *ring, int held))
{
	int held[2], status;
	pid_t pid;

	ASSERT_EQ(0, pipe(held));
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		struct uring ring = {};

		close(held[1]);
		if (uring_open(&ring, ENTRIES) || !make(&ring, held[0]))
			_exit(1);
		uring_close(&ring);
		_exit(0);
	}
	close(held[0]);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	EXPECT_TRUE(closes(held[1]));
	EXPECT_TRUE(rings_become(pid, 0));
	close(held[1]);
}

TEST(a_cycle_through_a_socket)
{
	if (on_io_uring())
		SKIP(return, "io_uring cannot be sent over a socket");
	run_cycle(_metadata, cycle_by_socket);
}

TEST(a_cycle_through_an_io_uring)
{
	if (on_io_uring())
		SKIP(return, "io_uring cannot be registered with another");
	run_cycle(_metadata, cycle_by_io_uring);
}

/* What this program does when a test executes it, given a ring to use or -1. */
__attribute__((constructor)) static void executed(void)
{
	const char *given = getenv("RING_EXIT_FD");
	struct uring ring = {}, like = {};

	if (!given)
		return;
	if (!strcmp(given, "-1"))
		forever();
	if (uring_open(&like, ENTRIES))
		_exit(1);
	ring = (struct uring){ .fd = atoi(given), .backend = like.backend, .p = like.p };
	uring_close(&like);
	if (uring_mmap(&ring))
		_exit(2);
	if (uring_ready(&ring) != (on_io_uring() ? 2 : 0))
		_exit(3);
	ring.sq.filled = uring_load(ring.sq.tail);
	uring_nop(&ring, 3);
	_exit(uring_submit(&ring) == 1 ? 0 : 4);
}

TEST_HARNESS_MAIN
