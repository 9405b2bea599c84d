// SPDX-License-Identifier: GPL-2.0
/*
 * A signalfd shows each task its own signals. A request on a signalfd is about the signals of
 * its submitter, in any state of that task.
 */
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "ring_test.h"

static struct io_uring_sqe *prep_poll(struct uring *ring, int fd, unsigned int flags,
				      unsigned long long user_data)
{
	struct io_uring_sqe *sqe = uring_get_sqe(ring);

	sqe->opcode = IORING_OP_POLL_ADD;
	sqe->fd = fd;
	sqe->poll32_events = POLLIN;
	sqe->len = flags;
	sqe->user_data = user_data;
	return sqe;
}

static struct io_uring_sqe *prep_read(struct uring *ring, int fd, void *buf, unsigned int len,
				      unsigned long long user_data)
{
	struct io_uring_sqe *sqe = uring_get_sqe(ring);

	sqe->opcode = IORING_OP_READ;
	sqe->fd = fd;
	sqe->addr = (unsigned long)buf;
	sqe->len = len;
	sqe->user_data = user_data;
	return sqe;
}

static struct io_uring_sqe *prep_cancel(struct uring *ring, unsigned long long target,
					unsigned long long user_data)
{
	struct io_uring_sqe *sqe = uring_get_sqe(ring);

	sqe->opcode = IORING_OP_ASYNC_CANCEL;
	sqe->fd = -1;
	sqe->addr = target;
	sqe->user_data = user_data;
	return sqe;
}

/* Waits for a completion without a system call. */
static const char *watch_cqe(struct uring *ring)
{
	long long start = now_ms();

	while (!uring_ready(ring) && now_ms() - start < HANG_MS)
		;
	return next_cqe(ring);
}

static int take_signal(int fd)
{
	struct signalfd_siginfo info;

	return read(fd, &info, sizeof(info)) == sizeof(info) ? info.ssi_signo : -errno;
}

FIXTURE(signalfd)
{
	struct uring ring;
	int fd;
};

FIXTURE_SETUP(signalfd)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	sigaddset(&mask, SIGRTMIN);
	ASSERT_EQ(0, sigprocmask(SIG_BLOCK, &mask, NULL));
	sigdelset(&mask, SIGRTMIN);
	self->fd = signalfd(-1, &mask, SFD_NONBLOCK);
	ASSERT_LE(0, self->fd);
	ASSERT_EQ(0, uring_open(&self->ring, 8));
}

FIXTURE_TEARDOWN(signalfd)
{
	uring_close(&self->ring);
	close(self->fd);
}

TEST_F(signalfd, poll_of_a_signalfd_completes)
{
	prep_poll(&self->ring, self->fd, 0, 1);
	ASSERT_EQ(1, uring_submit(&self->ring));
	sleep_ms(5);
	EXPECT_EQ(0, uring_ready(&self->ring));
	kill(getpid(), SIGUSR1);
	EXPECT_STREQ("1 1", wait_next_cqe(&self->ring));
	EXPECT_EQ(SIGUSR1, take_signal(self->fd));
	/* A signal that is already pending. */
	kill(getpid(), SIGUSR1);
	prep_poll(&self->ring, self->fd, 0, 2);
	ASSERT_EQ(1, uring_submit(&self->ring));
	EXPECT_STREQ("2 1", next_cqe(&self->ring));
}

TEST_F(signalfd, poll_of_a_signalfd_completes_without_a_system_call)
{
	prep_poll(&self->ring, self->fd, 0, 1);
	ASSERT_EQ(1, uring_submit(&self->ring));
	kill(getpid(), SIGUSR1);
	EXPECT_STREQ("1 1", watch_cqe(&self->ring));
}

/* Every signal wakes the queue of the signalfd. */
TEST_F(signalfd, poll_of_a_signalfd_ignores_other_signals)
{
	prep_poll(&self->ring, self->fd, 0, 1);
	ASSERT_EQ(1, uring_submit(&self->ring));
	for (int i = 0; i < 300; i++) {
		kill(getpid(), SIGRTMIN);
		if (i % 10 == 0)
			sleep_ms(1);
	}
	EXPECT_EQ(0, uring_ready(&self->ring));
	kill(getpid(), SIGUSR1);
	EXPECT_STREQ("1 1", wait_next_cqe(&self->ring));
}

TEST_F(signalfd, multishot_poll_of_a_signalfd_reports_each_signal)
{
	prep_poll(&self->ring, self->fd, IORING_POLL_ADD_MULTI, 1);
	ASSERT_EQ(1, uring_submit(&self->ring));
	for (int i = 0; i < 20; i++) {
		kill(getpid(), SIGUSR1);
		EXPECT_STREQ("1 1", wait_next_cqe(&self->ring));
		ASSERT_EQ(SIGUSR1, take_signal(self->fd));
		sleep_ms(1);
		ASSERT_EQ(0, uring_ready(&self->ring));
	}
	prep_cancel(&self->ring, 1, 2);
	ASSERT_EQ(1, uring_submit_and_wait(&self->ring, 2));
	EXPECT_STREQ("2 0", next_cqe(&self->ring));
	EXPECT_STREQ("1 -ECANCELED", next_cqe(&self->ring));
}

TEST_F(signalfd, poll_of_a_signalfd_issued_by_a_worker_completes)
{
	prep_poll(&self->ring, self->fd, 0, 1)->flags = IOSQE_ASYNC;
	ASSERT_EQ(1, uring_submit(&self->ring));
	sleep_ms(5);
	EXPECT_EQ(0, uring_ready(&self->ring));
	kill(getpid(), SIGUSR1);
	EXPECT_STREQ("1 1", wait_next_cqe(&self->ring));
}

TEST_F(signalfd, linked_poll_of_a_signalfd_completes)
{
	struct __kernel_timespec ts = { .tv_nsec = 5000000 };
	struct io_uring_sqe *sqe = uring_get_sqe(&self->ring);

	sqe->opcode = IORING_OP_TIMEOUT;
	sqe->addr = (unsigned long)&ts;
	sqe->len = 1;
	sqe->flags = IOSQE_IO_HARDLINK;
	sqe->user_data = 1;
	prep_poll(&self->ring, self->fd, 0, 2)->flags = IOSQE_IO_LINK;
	uring_nop(&self->ring, 3);
	ASSERT_EQ(3, uring_submit(&self->ring));
	EXPECT_STREQ("1 -ETIME", wait_next_cqe(&self->ring));
	sleep_ms(5);
	EXPECT_EQ(0, uring_ready(&self->ring));
	kill(getpid(), SIGUSR1);
	EXPECT_STREQ("2 1", wait_next_cqe(&self->ring));
	EXPECT_STREQ("3 0", wait_next_cqe(&self->ring));
}

static void *kill_later(void *data)
{
	sleep_ms(50);
	kill(getpid(), (long)data);
	return NULL;
}

/* The wait ends only with its completion, after any number of other wake-ups. */
TEST_F(signalfd, wait_ends_only_with_a_polled_signal)
{
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, kill_later, (void *)SIGUSR1));
	prep_poll(&self->ring, self->fd, 0, 1);
	EXPECT_EQ(1, uring_submit_and_wait(&self->ring, 1));
	EXPECT_STREQ("1 1", next_cqe(&self->ring));
	pthread_join(thread, NULL);
	EXPECT_EQ(SIGUSR1, take_signal(self->fd));

	ASSERT_EQ(0, pthread_create(&thread, NULL, kill_later, (void *)SIGUSR1));
	prep_poll(&self->ring, self->fd, 0, 1);
	ASSERT_EQ(1, uring_submit(&self->ring));
	EXPECT_EQ(0, enter_timeout(&self->ring, 1, HANG_MS));
	EXPECT_STREQ("1 1", next_cqe(&self->ring));
	pthread_join(thread, NULL);
	EXPECT_EQ(SIGUSR1, take_signal(self->fd));

	ASSERT_EQ(0, pthread_create(&thread, NULL, kill_later, (void *)(long)SIGRTMIN));
	prep_poll(&self->ring, self->fd, 0, 1);
	ASSERT_EQ(1, uring_submit(&self->ring));
	EXPECT_EQ(-ETIME, enter_timeout(&self->ring, 1, 200));
	pthread_join(thread, NULL);
}

/* A request of one thread does not see the signals of another. */
struct polling {
	struct uring *ring;
	int fd;
	pid_t tid;
	atomic_bool stop;
};

static void *poll_and_stay(void *data)
{
	struct polling *polling = data;

	prep_poll(polling->ring, polling->fd, 0, 1);
	if (uring_submit(polling->ring) == 1)
		__atomic_store_n(&polling->tid, gettid(), __ATOMIC_RELEASE);
	else
		__atomic_store_n(&polling->tid, -1, __ATOMIC_RELEASE);
	while (!polling->stop)
		sleep_ms(1);
	return NULL;
}

TEST_F(signalfd, poll_of_a_signalfd_sees_signals_of_its_own_thread)
{
	struct polling polling = { .ring = &self->ring, .fd = self->fd };
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, poll_and_stay, &polling));
	while (!__atomic_load_n(&polling.tid, __ATOMIC_ACQUIRE))
		sleep_ms(1);
	ASSERT_LT(0, polling.tid);
	/* To this thread, not to the polling thread. */
	ASSERT_EQ(0, syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1));
	sleep_ms(20);
	EXPECT_EQ(0, uring_ready(&self->ring));
	ASSERT_EQ(0, syscall(SYS_tgkill, getpid(), polling.tid, SIGUSR1));
	EXPECT_STREQ("1 1", wait_next_cqe(&self->ring));
	polling.stop = true;
	pthread_join(thread, NULL);
}

TEST_F(signalfd, poll_of_a_signalfd_of_an_ended_thread_is_cancelled)
{
	struct polling polling = { .ring = &self->ring, .fd = self->fd, .stop = true };
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, poll_and_stay, &polling));
	pthread_join(thread, NULL);
	ASSERT_LT(0, polling.tid);
	kill(getpid(), SIGUSR1);
	EXPECT_STREQ("1 -ECANCELED", wait_next_cqe(&self->ring));
}

/* The submitter exits with the request in flight. */
TEST_F(signalfd, poll_of_an_ending_process_is_reported_or_cancelled)
{
	int reported = 0, cancelled = 0;

	for (int round = 0; round < 12; round++) {
		struct uring ring = {};
		int status;
		pid_t pid;

		ASSERT_EQ(0, uring_open(&ring, 8));
		pid = fork();
		ASSERT_GE(pid, 0);
		if (!pid) {
			prep_poll(&ring, self->fd, round % 2 ? IORING_POLL_ADD_MULTI : 0, 1);
			if (uring_submit(&ring) != 1)
				_exit(1);
			kill(getpid(), SIGUSR1);
			if (round % 4 > 1)
				kill(getpid(), SIGKILL);
			_exit(0);
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		ASSERT_TRUE(!status || WTERMSIG(status) == SIGKILL);
		for (bool more = true; more;) {
			struct io_uring_cqe *cqe;

			cqe = uring_peek(&ring);
			for (; !cqe; cqe = uring_peek(&ring))
				ASSERT_EQ(0, enter_timeout(&ring, 1, HANG_MS));
			ASSERT_TRUE(cqe->res == POLLIN || cqe->res == -ECANCELED);
			more = cqe->flags & IORING_CQE_F_MORE;
			reported += cqe->res == POLLIN;
			cancelled += cqe->res == -ECANCELED;
			uring_advance(&ring, 1);
		}
		sleep_ms(1);
		EXPECT_EQ(0, uring_ready(&ring));
		uring_close(&ring);
	}
	TH_LOG("%d reported, %d were cancelled", reported, cancelled);
}

/* The submitter does not run: no event is reported, and the ring can be freed. */
TEST_F(signalfd, ring_can_go_while_its_submitter_is_stopped)
{
	int status;
	pid_t pid = fork();

	ASSERT_GE(pid, 0);
	if (!pid) {
		prep_poll(&self->ring, self->fd, 0, 1);
		if (uring_submit(&self->ring) != 1)
			_exit(1);
		raise(SIGSTOP);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, WUNTRACED));
	ASSERT_TRUE(WIFSTOPPED(status));
	kill(pid, SIGUSR1);
	sleep_ms(20);
	if (!on_io_uring()) {
		/* In io_uring only the submitter can cancel the request. */
		self->ring.sq.filled = uring_load(self->ring.sq.tail);
		prep_cancel(&self->ring, 1, 2);
		ASSERT_EQ(1, uring_submit(&self->ring));
		EXPECT_STREQ("2 0", wait_next_cqe(&self->ring));
		EXPECT_EQ(0, uring_ready(&self->ring));
	}
	uring_close(&self->ring);
	kill(pid, SIGCONT);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	ASSERT_EQ(0, uring_open(&self->ring, 8));
}

TEST_F(signalfd, read_of_a_signalfd_returns_the_signal)
{
	struct signalfd_siginfo info = {};
	int fd = signalfd(-1, &(sigset_t){ .__val = { 1UL << (SIGUSR1 - 1) } }, 0);

	/* So many wake-ups that a worker would block in another file. */
	prep_read(&self->ring, fd, &info, sizeof(info), 1);
	ASSERT_EQ(1, uring_submit(&self->ring));
	for (int i = 0; i < 150; i++) {
		kill(getpid(), SIGRTMIN);
		sleep_ms(1);
	}
	ASSERT_EQ(0, uring_ready(&self->ring));
	kill(getpid(), SIGUSR1);
	EXPECT_STREQ("1 128", wait_next_cqe(&self->ring));
	EXPECT_EQ(SIGUSR1, info.ssi_signo);
	info.ssi_signo = 0;

	prep_read(&self->ring, fd, &info, sizeof(info), 2)->flags = IOSQE_ASYNC;
	ASSERT_EQ(1, uring_submit(&self->ring));
	sleep_ms(10);
	kill(getpid(), SIGUSR1);
	EXPECT_STREQ("2 128", wait_next_cqe(&self->ring));
	EXPECT_EQ(SIGUSR1, info.ssi_signo);

	prep_read(&self->ring, fd, &info, sizeof(info), 3);
	ASSERT_EQ(1, uring_submit(&self->ring));
	prep_cancel(&self->ring, 3, 4);
	ASSERT_EQ(1, uring_submit_and_wait(&self->ring, 2));
	EXPECT_STREQ("4 0", next_cqe(&self->ring));
	EXPECT_STREQ("3 -ECANCELED", next_cqe(&self->ring));
	close(fd);
}

TEST_F(signalfd, poll_of_a_signalfd_by_sqpoll_completes)
{
	struct uring ring = { .p.flags = IORING_SETUP_SQPOLL, .p.sq_thread_idle = 1000 };

	ASSERT_EQ(0, uring_open(&ring, 4));
	prep_poll(&ring, self->fd, 0, 1);
	uring_publish(&ring);
	ASSERT_LE(0, uring_enter(&ring, 0, 0, IORING_ENTER_SQ_WAKEUP));
	sleep_ms(20);
	EXPECT_EQ(0, uring_ready(&ring));
	kill(getpid(), SIGUSR1);
	EXPECT_STREQ("1 1", wait_next_cqe(&ring));
	uring_close(&ring);
}

/* A task that polls the ring is also woken. */
TEST_F(signalfd, completion_for_a_signal_wakes_poll_of_the_ring)
{
	struct pollfd ring = { .fd = self->ring.fd, .events = POLLIN };
	pthread_t thread;
	int ret;

	prep_poll(&self->ring, self->fd, 0, 1);
	ASSERT_EQ(1, uring_submit(&self->ring));
	ASSERT_EQ(0, pthread_create(&thread, NULL, kill_later, (void *)SIGUSR1));
	do {
		ret = poll(&ring, 1, HANG_MS);
	} while (ret < 0 && errno == EINTR);
	EXPECT_EQ(1, ret);
	EXPECT_STREQ("1 1", next_cqe(&self->ring));
	pthread_join(thread, NULL);
}

static void *kill_often(void *data)
{
	atomic_bool *stop = data;

	while (!*stop) {
		kill(getpid(), SIGUSR1);
		for (int i = 0; i < 2000; i++)
			__asm__ volatile("");
	}
	return NULL;
}

/*
 * Polls are cancelled, removed and closed while signals come. No result is lost or reported twice.
 */
TEST_F(signalfd, polls_of_a_signalfd_complete_once_amid_races)
{
	long long start = now_ms();
	atomic_bool stop = false;
	unsigned int rounds = 0;
	pthread_t thread;

	ASSERT_EQ(0, pthread_create(&thread, NULL, kill_often, &stop));
	for (; now_ms() - start < 1500; rounds++) {
		struct uring ring = {};
		int ends = 0, wanted = 4;

		ASSERT_EQ(0, uring_open(&ring, 16));
		for (int i = 0; i < 4; i++)
			prep_poll(&ring, self->fd, i & 1 ? IORING_POLL_ADD_MULTI : 0, 1);
		ASSERT_EQ(4, uring_submit(&ring));
		take_signal(self->fd);
		if (rounds % 3 == 0)
			goto closed;
		prep_cancel(&ring, 1, 2)->cancel_flags = IORING_ASYNC_CANCEL_ALL;
		ASSERT_EQ(1, uring_submit(&ring));
		while (ends < wanted) {
			struct io_uring_cqe *cqe;

			while (!(cqe = uring_peek(&ring))) {
				ASSERT_EQ(0, enter_timeout(&ring, 1, HANG_MS)) {
					TH_LOG("round %u: %d ended", rounds, ends);
				}
			}
			if (cqe->user_data == 1 && !(cqe->flags & IORING_CQE_F_MORE))
				ends++;
			uring_advance(&ring, 1);
		}
		if (rounds % 3 == 1)
			ASSERT_EQ(0, enter_timeout(&ring, 0, 1));
		while (uring_ready(&ring)) {
			EXPECT_EQ(2, uring_peek(&ring)->user_data);
			uring_advance(&ring, 1);
		}
closed:
		uring_close(&ring);
	}
	stop = true;
	pthread_join(thread, NULL);
	TH_LOG("%u rounds", rounds);
}

TEST_HARNESS_MAIN
