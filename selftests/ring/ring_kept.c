// SPDX-License-Identifier: GPL-2.0
/*
 * A ring with requests in flight loses some of its owners, and others stay: by a duplicate, a
 * mapping, a socket, fork or exec. Each request completes exactly once, with its result, or with
 * -ECANCELED if its submitter has ended. A ring that only its own requests hold must be freed.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "background.h"
#include "ring_fds.h"
#include "ring_ops.h"
#include "ring_test.h"
#include "rings.h"

#define ENTRIES 16

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

TEST_F(kept, duplicate_keeps_requests_of_a_closed_ring)
{
	struct uring *ring = &self->ring;
	int other = dup(ring->fd);
	struct tally seen;

	never(ring, 1)->flags = IOSQE_IO_LINK;
	poll_in(ring, self->fds[0], 2);
	prep_poll(ring, self->fds[0], POLLIN, IORING_POLL_ADD_MULTI, 3);
	read_byte(ring, self->fds[0], 4);
	read_byte(ring, self->fds[0], 5)->flags = IOSQE_ASYNC;
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

/* No task can submit to the ring, but its requests complete into the mapping. */
TEST_F(kept, mapping_receives_completions_of_a_closed_ring)
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
	for (int i = 0; i < HANG_MS && !uring_ready(ring); i++)
		sleep_ms(1);
	EXPECT_STREQ("1 1", next_cqe(ring));
	EXPECT_STREQ("none", next_cqe(ring));
}

TEST_F(kept, ring_in_a_socket_keeps_its_requests)
{
	struct uring *ring = &self->ring;
	int sockets[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	poll_in(ring, self->fds[0], 1);
	ASSERT_EQ(1, uring_submit(ring));
	if (on_io_uring()) {
		/* The kernel refuses to send an io_uring, because of possible cycles. */
		ASSERT_EQ(-EINVAL, send_fd(sockets[0], ring->fd));
		return;
	}
	ASSERT_EQ(0, send_fd(sockets[0], ring->fd));
	close(ring->fd);
	ring->fd = -1;
	ASSERT_EQ(1, write(self->fds[1], "x", 1));
	ring->fd = recv_fd(sockets[1]);
	ASSERT_GE(ring->fd, 0);
	ASSERT_EQ(0, enter_timeout(ring, 1, HANG_MS));
	EXPECT_STREQ("1 1", next_cqe(ring));
	uring_nop(ring, 2);
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("2 0", next_cqe(ring));
}

/* A request uses files and memory of its submitter, here of the receiver. */
TEST_F(kept, receiver_of_a_ring_submits_as_itself)
{
	struct uring *ring = &self->ring;
	int sockets[2], status;
	struct tally seen;
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
		mine.fd = recv_fd(sockets[1]);
		if (mine.fd < 0 || uring_mmap(&mine) || pipe(fds))
			_exit(1);
		mine.sq.filled = uring_load(mine.sq.tail);
		prep_rw(&mine, IORING_OP_READ, fds[0], &byte, 1, 0, 7);
		if (uring_submit(&mine) != 1 || write(fds[1], "y", 1) != 1 ||
		    enter_timeout(&mine, 1, HANG_MS))
			_exit(2);
		if (strcmp("7 1", next_cqe(&mine)) || byte != 'y')
			_exit(3);
		poll_in(&mine, self->fds[0], 8);
		_exit(uring_submit(&mine) == 1 ? 0 : 4);
	}
	poll_in(ring, self->fds[0], 1);
	ASSERT_EQ(1, uring_submit(ring));
	ASSERT_EQ(0, send_fd(sockets[0], ring->fd));
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	/*
	 * Only the requests of the receiver are cancelled in the end, not those
	 * of this process.
	 */
	ASSERT_EQ(1, write(self->fds[1], "x", 1));
	seen = tally(ring, 2);
	EXPECT_EQ(2, seen.total);
	EXPECT_EQ(1, seen.cancelled);
}

/* A child submits to the inherited ring, and ends in one of several ways. */
TEST_F(kept, requests_of_an_ended_child_are_cancelled)
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
		/* io_uring detects the end of the submitter at an event. */
		ASSERT_EQ(1, write(self->fds[1], "x", 1));
		seen = tally(ring, 3);
		EXPECT_EQ(3, seen.total);
		EXPECT_EQ(3, seen.cancelled) {
			TH_LOG("round %d: a request of a process that is gone goes on", round);
		}
		ASSERT_EQ(1, read(self->fds[0], &status, 1));
	}
}

/* The requests are cancelled even with the ring open, and before the new program runs. */
TEST_F(kept, exec_cancels_requests_on_an_open_ring)
{
	struct uring *ring = &self->ring;
	struct tally seen;
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
		setenv("RING_KEPT_FD", fd, 1);
		execl("/proc/self/exe", "ring_kept", NULL);
		_exit(2);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	ring->sq.filled += 3;
	/* The two requests from before the exec, and the NOP of the new program. */
	seen = tally(ring, 3);
	EXPECT_EQ(3, seen.total);
	EXPECT_EQ(2, seen.cancelled);
}

static void *closes_its_own(void *arg)
{
	struct uring *ring = arg;

	return unshare(CLONE_FILES) || close(ring->fd) ? "no descriptors of its own" : NULL;
}

/* The thread closes its copy of the descriptor; requests of other threads stay. */
TEST_F(kept, requests_survive_a_thread_with_its_own_descriptors)
{
	struct uring *ring = &self->ring;
	pthread_t thread;
	int sockets[2];
	void *failed;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	poll_in(ring, sockets[0], 1);
	ASSERT_EQ(1, uring_submit(ring));
	ASSERT_EQ(0, pthread_create(&thread, NULL, closes_its_own, ring));
	ASSERT_EQ(0, pthread_join(thread, &failed));
	ASSERT_EQ(NULL, failed);
	sleep_ms(20);
	EXPECT_EQ(0, uring_ready(ring));
	ASSERT_EQ(1, write(sockets[1], "x", 1));
	ASSERT_EQ(0, enter_timeout(ring, 1, HANG_MS));
	EXPECT_STREQ("1 1", next_cqe(ring));
	close(sockets[0]);
	close(sockets[1]);
}

/*
 * Number of waiting requests that a search passes, and of rounds in which a
 * request completes meanwhile.
 */
#define SEARCHED 4096
#define SEARCHES 20

struct searcher {
	struct background background;
	struct uring ring;
	unsigned int searches;
	bool failed;
};

/*
 * Loses its only descriptor of the ring again and again: each close searches
 * the waiting requests.
 */
static void *loses_the_ring(void *arg)
{
	struct searcher *searcher = arg;
	int process = syscall(SYS_pidfd_open, getpid(), 0);
	int fd = searcher->ring.fd;

	searcher->failed = process < 0 || unshare(CLONE_FILES) || close(fd);
	while (!searcher->failed && !background_is_over(&searcher->background)) {
		fd = syscall(SYS_pidfd_getfd, process, searcher->ring.fd, 0);
		searcher->failed = fd < 0 || close(fd);
		__atomic_add_fetch(&searcher->searches, 1, __ATOMIC_RELAXED);
	}
	return NULL;
}

/* Takes @nr completions. Returns whether that of request 3 comes before that of @last. */
static bool drained_comes_before(struct uring *ring, unsigned int nr, unsigned int last)
{
	bool drained = false, before = false;

	for (unsigned int i = 0; i < nr; i++) {
		struct io_uring_cqe *cqe;

		if (!uring_ready(ring))
			enter_timeout(ring, 1, HANG_MS);
		cqe = uring_peek(ring);
		if (!cqe)
			return false;
		drained |= cqe->user_data == 3;
		before |= cqe->user_data == last && drained;
		uring_advance(ring, 1);
	}
	return before;
}

/*
 * Request 1 completes while a search has the requests behind it. Request 2 waits for its file, 3
 * for 2, and all later requests for 3. The last request is submitted after 1 has completed.
 */
TEST_F_TIMEOUT(kept, drained_request_holds_up_the_last_during_a_search, 600)
{
	static struct searcher searcher;
	struct uring *ring = &searcher.ring;
	int first[2], second[2];
	char byte;

	ASSERT_EQ(0, uring_open(ring, SEARCHED));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, first));
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, second));
	background_start(&searcher.background, loses_the_ring, &searcher);
	for (int round = 0; round < SEARCHES; round++) {
		poll_in(ring, first[0], 1)->flags = IOSQE_IO_DRAIN;
		poll_in(ring, second[0], 2);
		for (int i = 3; i <= SEARCHED; i++)
			uring_nop(ring, i)->flags = i == 3 ? IOSQE_IO_DRAIN : 0;
		ASSERT_EQ(SEARCHED, uring_submit(ring));
		ASSERT_EQ(1, write(first[1], "x", 1));
		ASSERT_STREQ("1 1", wait_next_cqe(ring));
		uring_nop(ring, SEARCHED + 1);
		ASSERT_EQ(1, uring_submit(ring));
		ASSERT_EQ(1, write(second[1], "x", 1));
		ASSERT_TRUE(drained_comes_before(ring, SEARCHED, SEARCHED + 1)) {
			TH_LOG("round %d, after %u searches", round,
			       __atomic_load_n(&searcher.searches, __ATOMIC_RELAXED));
		}
		ASSERT_EQ(1, read(first[0], &byte, 1));
		ASSERT_EQ(1, read(second[0], &byte, 1));
	}
	background_stop(&searcher.background);
	EXPECT_FALSE(searcher.failed);
	EXPECT_LT(0, searcher.searches);
	uring_close(ring);
	for (int i = 0; i < 2; i++) {
		close(first[i]);
		close(second[i]);
	}
}

/*
 * Cycles of files: a request of the ring holds a file that holds the ring. The process may close
 * its descriptors of both. Both must be freed when the process ends. Otherwise a timeout ends
 * the cycle later, for later tests.
 */
static struct io_uring_sqe *prep_late(struct uring *ring)
{
	static const struct __kernel_timespec ts = { .tv_sec = 60 };

	return prep_timeout(ring, &ts, 0, 0, 1);
}

static bool through(struct io_uring_sqe *(*about)(struct uring *, int, unsigned long long),
		    struct uring *ring, bool closes_all)
{
	int sockets[2];

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		return false;
	prep_late(ring)->flags = IOSQE_IO_HARDLINK;
	about(ring, sockets[1], 2);
	if (uring_submit(ring) != 2 || send_fd(sockets[0], ring->fd))
		return false;
	if (closes_all) {
		close(sockets[0]);
		close(sockets[1]);
	}
	return true;
}

static bool through_a_socket(struct uring *ring, bool closes_all)
{
	return through(poll_in, ring, closes_all);
}

static struct io_uring_sqe *message_to(struct uring *ring, int fd, unsigned long long user_data)
{
	return prep(ring, IORING_OP_MSG_RING, fd, user_data);
}

/* A message request holds its target from the start. */
static bool through_a_message(struct uring *ring, bool closes_all)
{
	return through(message_to, ring, closes_all);
}

/*
 * The process that makes the cycle ends. Another process shares its descriptors
 * until then.
 */
static bool through_shared_descriptors(struct uring *ring, bool closes_all)
{
	pid_t parent = getpid();
	long pid = syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);

	if (!pid) {
		while (getppid() == parent)
			sleep_ms(1);
		sleep_ms(20);
		_exit(0);
	}
	return pid > 0 && through_a_socket(ring, closes_all);
}

static bool through_an_io_uring(struct uring *ring, bool closes_all)
{
	struct uring other = {};

	if (uring_open_on(URING_IO_URING, &other, 4))
		return false;
	prep_late(ring)->flags = IOSQE_IO_HARDLINK;
	prep_poll(ring, other.fd, POLLOUT, 0, 2);
	if (uring_submit(ring) != 2 ||
	    uring_register(&other, IORING_REGISTER_FILES, &ring->fd, 1))
		return false;
	if (closes_all)
		uring_close(&other);
	return true;
}

static int wait_for_a_time(struct uring *ring)
{
	return enter_timeout(ring, 1, 500) == -ETIME ? 0 : -1;
}

static int wait_for_a_completion(struct uring *ring)
{
	return uring_enter(ring, 0, 1, IORING_ENTER_GETEVENTS);
}

static int wait_for_what_is_in_flight(struct uring *ring)
{
	return uring_register_eventfd(ring, eventfd(0, EFD_CLOEXEC));
}

/*
 * A wait runs task work, here of an io_uring, which closes the only descriptor of the ring. A
 * mapping does not keep the ring open.
 */
FIXTURE(closed_in_a_wait)
{
	struct uring other;
	int fds[2];
};

FIXTURE_VARIANT(closed_in_a_wait)
{
	int (*wait)(struct uring *ring);
	unsigned int model;
	bool in_flight;
};

FIXTURE_VARIANT_ADD(closed_in_a_wait, ioctl)
{
	.wait = wait_for_a_time,
};

FIXTURE_VARIANT_ADD(closed_in_a_wait, short_form)
{
	.wait = wait_for_a_completion,
	.in_flight = true,
};

FIXTURE_VARIANT_ADD(closed_in_a_wait, registration)
{
	.wait = wait_for_what_is_in_flight,
	.model = MINIRING_NOTIFY_QUIESCE,
	.in_flight = true,
};

FIXTURE_SETUP(closed_in_a_wait)
{
	if (on_io_uring())
		SKIP(return, "io_uring does not close its own kind");
	ASSERT_EQ(0, pipe(self->fds));
	ASSERT_EQ(0, uring_open_on(URING_IO_URING, &self->other, 4));
}

FIXTURE_TEARDOWN(closed_in_a_wait)
{
	if (!on_io_uring())
		uring_close(&self->other);
}

TEST_F(closed_in_a_wait, wait_keeps_a_ring_whose_descriptor_is_closed)
{
	static const struct __kernel_timespec ts = { .tv_nsec = 100000000 };
	struct uring ring = { .model = variant->model };
	struct io_uring_sqe *sqe;

	ASSERT_EQ(0, uring_open(&ring, 4));
	if (variant->in_flight) {
		poll_in(&ring, self->fds[0], 1);
		ASSERT_EQ(1, uring_submit(&ring));
	}
	uring_munmap(&ring);
	sqe = prep_timeout(&self->other, &ts, 0, IORING_TIMEOUT_ETIME_SUCCESS, 1);
	sqe->flags = IOSQE_IO_LINK;
	prep(&self->other, IORING_OP_CLOSE, ring.fd, 2)->flags = IOSQE_IO_LINK;
	prep_rw(&self->other, IORING_OP_WRITE, self->fds[1], "x", 1, 0, 3);
	ASSERT_EQ(3, uring_submit(&self->other));
	EXPECT_EQ(0, variant->wait(&ring));
	EXPECT_EQ(-1, fcntl(ring.fd, F_GETFD));
	EXPECT_TRUE(rings_become(0));
}

FIXTURE(cycle)
{
	int held[2];
};

FIXTURE_VARIANT(cycle)
{
	bool (*make)(struct uring *ring, bool closes_all);
	bool closes_all;
};

FIXTURE_VARIANT_ADD(cycle, through_a_socket)
{
	.make = through_a_socket,
};

FIXTURE_VARIANT_ADD(cycle, through_a_closed_socket)
{
	.make = through_a_socket,
	.closes_all = true,
};

FIXTURE_VARIANT_ADD(cycle, through_a_message)
{
	.make = through_a_message,
};

FIXTURE_VARIANT_ADD(cycle, through_shared_descriptors)
{
	.make = through_shared_descriptors,
};

FIXTURE_VARIANT_ADD(cycle, through_an_io_uring)
{
	.make = through_an_io_uring,
};

FIXTURE_VARIANT_ADD(cycle, through_a_closed_io_uring)
{
	.make = through_an_io_uring,
	.closes_all = true,
};

FIXTURE_SETUP(cycle)
{
	if (on_io_uring())
		SKIP(return, "io_uring can be neither sent over a socket nor registered");
	ASSERT_EQ(0, pipe(self->held));
}

FIXTURE_TEARDOWN(cycle)
{
	close(self->held[0]);
	close(self->held[1]);
}

TEST_F_TIMEOUT(cycle, cycle_of_ring_and_file_ends_with_its_process, 120)
{
	int status;
	pid_t pid = fork();

	ASSERT_GE(pid, 0);
	if (!pid) {
		struct uring ring = {};

		close(self->held[1]);
		if (uring_open(&ring, ENTRIES))
			_exit(1);
		poll_in(&ring, self->held[0], 3);
		if (uring_submit(&ring) != 1 || !variant->make(&ring, variant->closes_all))
			_exit(2);
		if (variant->closes_all)
			uring_close(&ring);
		_exit(0);
	}
	close(self->held[0]);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	EXPECT_TRUE(closes(self->held[1]));
	EXPECT_TRUE(rings_become(0));
}

/* The program that a test executes, with a ring to use. */
__attribute__((constructor)) static void executed(void)
{
	const char *given = getenv("RING_KEPT_FD");
	struct uring ring = {}, like = {};

	if (!given)
		return;
	if (uring_open(&like, ENTRIES))
		_exit(1);
	ring = (struct uring){ .fd = atoi(given), .backend = like.backend, .p = like.p };
	uring_close(&like);
	if (uring_mmap(&ring))
		_exit(2);
	if (uring_ready(&ring) != 2)
		_exit(3);
	ring.sq.filled = uring_load(ring.sq.tail);
	uring_nop(&ring, 3);
	_exit(uring_submit(&ring) == 1 ? 0 : 4);
}

TEST_HARNESS_MAIN
