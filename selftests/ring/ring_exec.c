// SPDX-License-Identifier: GPL-2.0
/*
 * The process of a ring executes another program, is killed or is stopped. Its requests and its
 * SQPOLL thread touch no memory and no descriptor of the new program. The ring does not prevent
 * the end of the process.
 */
#define _GNU_SOURCE
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include "ring_ops.h"
#include "ring_test.h"
#include "rings.h"

#define ROUNDS 120

/*
 * The buffer of the program before an exec. The new program keeps a pattern at the same address.
 */
static unsigned char victim[sizeof(struct signalfd_siginfo)] = { 1 };

static bool is_gone(pid_t pid, int *status)
{
	long long start = now_ms();

	while (waitpid(pid, status, WNOHANG) != pid) {
		if (now_ms() - start > HANG_MS)
			return false;
		sleep_ms(5);
	}
	return true;
}

/* Executes this program, which runs executed() for @what. */
static void execute(const char *what)
{
	setenv("RING_EXEC", what, 1);
	execl("/proc/self/exe", "ring_exec", NULL);
	_exit(99);
}

/* A blocked signal, which a signalfd reads. */
static int block_and_open(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	return signalfd(-1, &set, SFD_CLOEXEC);
}

static int keeps_its_memory(void)
{
	for (size_t i = 0; i < sizeof(victim); i++)
		victim[i] = 0xaa;
	kill(getpid(), SIGUSR1);
	sleep_ms(200);
	/* The kernel may have written to the buffer. */
	__asm__ volatile("" : : "r"(victim) : "memory");
	for (size_t i = 0; i < sizeof(victim); i++) {
		if (victim[i] != 0xaa)
			return 1;
	}
	return 0;
}

TEST(signalfd_read_does_not_write_into_an_executed_program)
{
	int status;
	pid_t pid = fork();

	ASSERT_GE(pid, 0);
	if (!pid) {
		struct uring ring = {};
		int fd = block_and_open();

		if (fd < 0 || uring_open(&ring, 4))
			_exit(98);
		fcntl(ring.fd, F_SETFD, 0);
		prep_rw(&ring, IORING_OP_READ, fd, victim, sizeof(victim), 0, 1);
		if (uring_submit(&ring) != 1)
			_exit(97);
		execute("memory");
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
}

struct shared {
	struct uring ring;
	int done[2];
	int executed[2];	/* closed at the exec */
	char got;
};

static char stack[65536];

/* Shares the memory of the process that executes, but not its descriptors. */
static int submits_on(void *arg)
{
	struct shared *s = arg;
	long long start;
	char answer;

	close(s->executed[1]);
	if (read(s->executed[0], &answer, 1))
		_exit(1);
	for (int fd = 3; fd < 12; fd++) {
		prep_rw(&s->ring, IORING_OP_READ, fd, &s->got, 1, 0, fd);
		uring_publish(&s->ring);
		uring_enter(&s->ring, 0, 0, IORING_ENTER_SQ_WAKEUP);
	}
	start = now_ms();
	while (!uring_ready(&s->ring) && now_ms() - start < 500)
		sleep_ms(10);
	answer = uring_ready(&s->ring) ? 'y' : 'n';
	if (write(s->done[1], &answer, 1) != 1)
		_exit(1);
	_exit(0);
}

TEST(sqpoll_submits_nothing_after_exec)
{
	static struct shared s = { .ring.p = {
		.flags = IORING_SETUP_SQPOLL, .sq_thread_idle = 1000,
	} };
	int status;
	pid_t pid;
	char answer;

	ASSERT_EQ(0, pipe2(s.done, O_CLOEXEC));
	ASSERT_EQ(0, pipe2(s.executed, O_CLOEXEC));
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		if (uring_open(&s.ring, 16) ||
		    clone(submits_on, stack + sizeof(stack), CLONE_VM | SIGCHLD, &s) < 0)
			_exit(98);
		execute("sleep");
	}
	close(s.done[1]);
	close(s.executed[1]);
	ASSERT_EQ(1, read(s.done[0], &answer, 1));
	EXPECT_EQ('n', answer);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	EXPECT_TRUE(on_io_uring() || rings_become(0));
}

TEST(timeout_is_cancelled_before_an_executed_program_runs)
{
	int status;
	pid_t pid = fork();

	ASSERT_GE(pid, 0);
	if (!pid) {
		struct uring ring = {};
		char fd[12];

		if (uring_open(&ring, 4))
			_exit(98);
		fcntl(ring.fd, F_SETFD, 0);
		never(&ring, 7);
		if (uring_submit(&ring) != 1)
			_exit(97);
		snprintf(fd, sizeof(fd), "%d", ring.fd);
		setenv("RING_EXEC_FD", fd, 1);
		execute("cqe");
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

/*
 * The timer of a chain's timeout expires at some time of an exec. The linked poll is cancelled at
 * any of them, though it was not in flight before.
 */
TEST(rest_of_a_chain_is_cancelled_if_its_timeout_expires_during_an_exec)
{
	struct uring ring = {};
	int fds[2];

	ASSERT_EQ(0, uring_open(&ring, 4));
	ASSERT_EQ(0, pipe(fds));
	for (int round = 0; round < 60; round++) {
		struct __kernel_timespec ts = { .tv_nsec = round * 100000 };
		struct io_uring_sqe *sqe;
		pid_t pid = fork();
		int status;

		ASSERT_GE(pid, 0);
		if (!pid) {
			sqe = prep_timeout(&ring, &ts, 0, IORING_TIMEOUT_ETIME_SUCCESS, 1);
			sqe->flags = IOSQE_IO_LINK;
			prep_poll(&ring, fds[0], POLLIN, 0, 2);
			if (uring_submit(&ring) != 2)
				_exit(97);
			execute("exit");
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_EQ(0, status);
		ring.sq.filled = uring_load(ring.sq.tail);
		for (int i = 0; i < 2; i++, uring_advance(&ring, 1)) {
			if (!uring_ready(&ring))
				ASSERT_EQ(0, enter_timeout(&ring, 1, HANG_MS)) {
					TH_LOG("after %d completions, %lld us", i,
					       ts.tv_nsec / 1000);
				}
			if (uring_peek(&ring)->user_data == 2)
				EXPECT_EQ(-ECANCELED, uring_peek(&ring)->res);
		}
	}
	uring_close(&ring);
}

/* The inherited ring has "7 -ECANCELED". */
static int has_the_cqe(void)
{
	struct uring like = {}, ring;

	if (uring_open(&like, 4))
		return 1;
	ring = (struct uring){
		.fd = atoi(getenv("RING_EXEC_FD")), .backend = like.backend, .p = like.p,
	};
	if (uring_mmap(&ring))
		return 2;
	return strcmp(next_cqe(&ring), "7 -ECANCELED") ? 3 : 0;
}

/* The program that a test executes. */
__attribute__((constructor)) static void executed(void)
{
	const char *what = getenv("RING_EXEC");

	if (!what)
		return;
	if (!strcmp(what, "memory"))
		_exit(keeps_its_memory());
	if (!strcmp(what, "cqe"))
		_exit(has_the_cqe());
	if (!strcmp(what, "sleep"))
		sleep_ms(1500);
	_exit(0);
}

/* A process with an SQPOLL thread that writes to a full terminal. */
FIXTURE(busy_thread) {
	int master, ready[2], go[2];
	pid_t pid;
};

FIXTURE_VARIANT(busy_thread) {
	bool registers;
};

FIXTURE_VARIANT_ADD(busy_thread, alone) {};

FIXTURE_VARIANT_ADD(busy_thread, with_a_waiter_for_the_mutex) {
	.registers = true,
};

static void write_to_a_terminal(const char *name, int ready, int go, bool registers)
{
	static char data[300000], buffer[4096];
	struct uring ring = { .p.flags = IORING_SETUP_SQPOLL, .p.sq_thread_idle = 100 };
	struct iovec iov = { buffer, sizeof(buffer) };
	int slave = open(name, O_RDWR | O_NOCTTY);
	struct termios t;
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (slave < 0 || tcgetattr(slave, &t))
		_exit(98);
	cfmakeraw(&t);
	tcsetattr(slave, TCSANOW, &t);
	if (uring_open(&ring, 4))
		_exit(97);
	prep_rw(&ring, IORING_OP_WRITE, slave, data, sizeof(data), -1, 1);
	uring_publish(&ring);
	uring_enter(&ring, 0, 0, IORING_ENTER_SQ_WAKEUP);
	if (write(ready, "x", 1) != 1)
		_exit(96);
	/* Waits until the thread is in its write, and holds the mutex. */
	if (read(go, &byte, 1) != 1)
		_exit(95);
	if (registers)
		uring_register(&ring, IORING_REGISTER_BUFFERS, &iov, 1);
	for (;;)
		pause();
}

FIXTURE_SETUP(busy_thread)
{
	long nr = variant->registers ? __NR_ioctl : __NR_pause;
	struct pollfd pfd;
	char byte;

	self->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	ASSERT_LE(0, self->master);
	ASSERT_EQ(0, unlockpt(self->master));
	ASSERT_EQ(0, pipe(self->ready));
	ASSERT_EQ(0, pipe(self->go));
	self->pid = fork();
	ASSERT_GE(self->pid, 0);
	if (!self->pid) {
		char name[64];

		snprintf(name, sizeof(name), "%s", ptsname(self->master));
		close(self->master);
		write_to_a_terminal(name, self->ready[1], self->go[0], variant->registers);
	}
	close(self->ready[1]);
	ASSERT_EQ(1, read(self->ready[0], &byte, 1));
	pfd = (struct pollfd){ .fd = self->master, .events = POLLIN };
	ASSERT_EQ(1, poll(&pfd, 1, HANG_MS));
	ASSERT_EQ(1, write(self->go[1], "x", 1));
	/* io_uring leaves the write to a worker, without the mutex. */
	ASSERT_TRUE(on_io_uring() || until_asleep_in(self->pid, nr));
}

FIXTURE_TEARDOWN(busy_thread)
{
	close(self->master);
	close(self->ready[0]);
	close(self->go[0]);
	close(self->go[1]);
}

TEST_F(busy_thread, busy_thread_does_not_keep_a_killed_process)
{
	int status;

	ASSERT_EQ(0, kill(self->pid, SIGKILL));
	EXPECT_TRUE(is_gone(self->pid, &status));
	EXPECT_TRUE(on_io_uring() || rings_become(0));
}

/* Returns whether @pid is stopped, by /proc. */
static bool becomes_stopped(pid_t pid)
{
	int status;

	return waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status);
}

TEST(stopped_process_does_not_block_the_last_close)
{
	struct uring ring = { .p.flags = IORING_SETUP_SQPOLL, .p.sq_thread_idle = 10 };
	int sockets[2], status;
	pid_t pid, closer;
	char byte;

	/* A thread of the child with the descriptors of this process: both have the ring open. */
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		if (uring_open(&ring, 4))
			_exit(98);
		closer = fork();
		if (!closer) {
			/* Keeps the ring open until the other process is stopped. */
			if (read(sockets[1], &byte, 1) != 1)
				_exit(97);
			uring_close(&ring);
			_exit(write(sockets[1], "c", 1) != 1);
		}
		uring_munmap(&ring);
		close(ring.fd);
		if (write(sockets[1], "r", 1) != 1)
			_exit(96);
		for (;;)
			pause();
	}
	ASSERT_EQ(1, read(sockets[0], &byte, 1));
	ASSERT_EQ(0, kill(pid, SIGSTOP));
	ASSERT_TRUE(becomes_stopped(pid));
	ASSERT_EQ(1, write(sockets[0], "x", 1));
	EXPECT_EQ(1, read(sockets[0], &byte, 1));
	EXPECT_EQ('c', byte);
	ASSERT_EQ(0, kill(pid, SIGCONT));
	ASSERT_EQ(0, kill(pid, SIGKILL));
	EXPECT_TRUE(is_gone(pid, &status));
	EXPECT_TRUE(on_io_uring() || rings_become(0));
}

TEST(sqpoll_thread_counts_against_the_process_limit)
{
	int status;
	pid_t pid = fork();

	ASSERT_GE(pid, 0);
	if (!pid) {
		struct uring ring = { .p.flags = IORING_SETUP_SQPOLL };
		struct rlimit one = { 1, 1 };
		int opened = on_io_uring() ? 0 : chmod(MINIRING_DEVICE, 0666);

		if (opened || setgid(1000) || setuid(1000) || setrlimit(RLIMIT_NPROC, &one))
			_exit(98);
		_exit(uring_open(&ring, 4) == -EAGAIN ? 0 : 1);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	chmod(MINIRING_DEVICE, 0600);
	EXPECT_EQ(0, status);
}

FIXTURE(processes) {};

FIXTURE_SETUP(processes) {}

FIXTURE_TEARDOWN(processes) {}

TEST_F_TIMEOUT(processes, polled_ring_ends_with_its_process_in_each_way, 200)
{
	int status;

	for (int i = 0; i < ROUNDS; i++) {
		pid_t pid = fork();

		ASSERT_GE(pid, 0);
		if (!pid) {
			struct uring ring = {
				.p.flags = IORING_SETUP_SQPOLL, .p.sq_thread_idle = i % 5 * 10,
			};

			if (uring_open(&ring, 4))
				_exit(98);
			uring_nop(&ring, 1);
			uring_publish(&ring);
			if (i % 4 == 0)
				execute("nothing");
			if (i % 4 == 1)
				kill(getpid(), SIGKILL);
			if (i % 4 == 2)
				uring_close(&ring);
			_exit(0);
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_EQ(i % 4 == 1 ? SIGKILL : 0, status);
		EXPECT_TRUE(on_io_uring() || rings_become(0));
	}
}

TEST_HARNESS_MAIN
