// SPDX-License-Identifier: GPL-2.0
/*
 * Processes and threads make rings, put requests in flight, and close, send, inherit, execute and
 * kill at random, for a bounded time. All of them get descriptors of a ring that stays, and
 * submit to it. That ring completes each request exactly once, and no other ring remains.
 * EXIT_SECONDS in the environment is the duration.
 */
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include "ring_fds.h"
#include "ring_ops.h"
#include "ring_test.h"
#include "rings.h"

#define SECONDS 5
#define PROCESSES 2
#define SUBMITTERS 2
#define REQUESTS_MAX 200000

/* Shared by all processes. */
struct shared {
	int stop;
	pthread_mutex_t lock;		/* of the submission queue */
	unsigned int filled;		/* its tail, under the lock */
	unsigned int submitted;		/* requests, with user data from 0 */
	unsigned long long rings, lost, failed;
	unsigned char completed[REQUESTS_MAX];
};

static struct shared *shared;
static struct uring stays;
/* A pipe that stays empty until the end. */
static int pipes[2];

static bool stopped(void)
{
	return __atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE);
}

static void count(unsigned long long *what)
{
	__atomic_add_fetch(what, 1, __ATOMIC_RELAXED);
}

/* Submits a few requests to the ring that stays. With @patient they wait. */
static void submit_some(unsigned int *seed, bool patient)
{
	static const struct __kernel_timespec soon = { .tv_nsec = 500000 };
	unsigned int nr = 0;

	pthread_mutex_lock(&shared->lock);
	stays.sq.filled = shared->filled;
	for (unsigned int left = 1 + rand_r(seed) % 4; left; left--) {
		unsigned int id = shared->submitted + nr;

		if (id >= REQUESTS_MAX)
			break;
		switch (rand_r(seed) % (patient ? 6 : 4)) {
		case 0:
			prep_timeout(&stays, &soon, 0, 0, id);
			break;
		case 1:
			uring_nop(&stays, id)->flags = IOSQE_ASYNC;
			break;
		case 2:
			prep_poll(&stays, pipes[1], POLLOUT, 0, id);
			break;
		case 3:
			uring_nop(&stays, id);
			break;
		case 4:
			poll_in(&stays, pipes[0], id);
			break;
		default:
			read_byte(&stays, pipes[0], id)->flags = rand_r(seed) % 2 ?
				IOSQE_ASYNC : 0;
		}
		nr++;
	}
	if (uring_submit(&stays) != nr)
		count(&shared->failed);
	shared->submitted += nr;
	shared->filled = stays.sq.filled;
	pthread_mutex_unlock(&shared->lock);
}

static void *submitter(void *arg)
{
	unsigned int seed = (unsigned long)arg;

	while (!stopped()) {
		submit_some(&seed, false);
		sleep_ms(1);
	}
	return NULL;
}

/* Returns the number of completions. */
static unsigned int take(void)
{
	struct io_uring_cqe *cqe;
	unsigned int nr = 0;

	while ((cqe = uring_peek(&stays))) {
		if (cqe->user_data >= REQUESTS_MAX || shared->completed[cqe->user_data]++)
			count(&shared->lost);
		uring_advance(&stays, 1);
		nr++;
	}
	return nr;
}

/* Passes a ring to a process or a socket, which then has the last reference. */
static void give_away(struct uring *ring, unsigned int *seed)
{
	int sockets[2], fd, status;
	pid_t pid;

	switch (rand_r(seed) % 4) {
	case 0:
		if (on_io_uring() || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
			break;
		if (send_fd(sockets[0], ring->fd))
			count(&shared->failed);
		close(ring->fd);
		ring->fd = -1;
		if (rand_r(seed) % 2) {
			fd = recv_fd(sockets[1]);
			close(fd);
		}
		close(sockets[0]);
		close(sockets[1]);
		break;
	case 1:
		fd = dup(ring->fd);
		close(ring->fd);
		ring->fd = fd;
		break;
	case 2:
		pid = fork();
		if (!pid) {
			if (rand_r(seed) % 2)
				execl("/proc/self/exe", "", NULL);
			if (rand_r(seed) % 2)
				uring_enter(ring, 0, 1000, IORING_ENTER_GETEVENTS);
			_exit(0);
		}
		if (pid < 0)
			break;
		close(ring->fd);
		ring->fd = -1;
		sleep_ms(rand_r(seed) % 3);
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
	}
}

static void *wait_until_killed(void *ring)
{
	for (;;)
		uring_enter(ring, 0, 1000, IORING_ENTER_GETEVENTS);
	return NULL;
}

/* A process with its own ring and the ring that stays. Its end is random. */
static void live(unsigned int seed)
{
	static const unsigned int flags[] = {
		0, 0, IORING_SETUP_SINGLE_ISSUER, IORING_SETUP_SQPOLL,
	};
	struct uring ring = { .p.flags = flags[seed % 4], .p.sq_thread_idle = 1 };
	pthread_t thread;

	if (uring_open(&ring, 16)) {
		count(&shared->failed);
		_exit(1);
	}
	count(&shared->rings);
	fill(&ring, pipes[0]);
	uring_enter(&ring, uring_publish(&ring), 0, ring.p.flags & IORING_SETUP_SQPOLL ?
						    IORING_ENTER_SQ_WAKEUP : 0);
	submit_some(&seed, true);
	if (rand_r(&seed) % 4 == 0)
		close(stays.fd);
	if (rand_r(&seed) % 2)
		give_away(&ring, &seed);
	switch (rand_r(&seed) % 5) {
	case 0:
		uring_close(&ring);
		break;
	case 1:
		close(ring.fd);
		break;
	case 2:
		pthread_create(&thread, NULL, wait_until_killed, &ring);
		sleep_ms(rand_r(&seed) % 3);
		raise(SIGKILL);
		break;
	case 3:
		execl("/proc/self/exe", "", NULL);
	}
	_exit(0);
}

static void breed(unsigned int seed)
{
	do {
		unsigned int next = rand_r(&seed);
		pid_t pid = fork();
		int status;

		if (!pid)
			live(next);
		if (pid < 0 || waitpid(pid, &status, 0) != pid)
			count(&shared->failed);
	} while (!stopped());
	_exit(0);
}

FIXTURE(rings)
{
	int before;
};

FIXTURE_SETUP(rings)
{
	if (!on_io_uring())
		self->before = rings_now();
	ASSERT_GE(self->before, 0);
}

FIXTURE_TEARDOWN(rings)
{
}

TEST_F_TIMEOUT(rings, lost_rings_are_freed_beside_one_that_stays, 600)
{
	const char *given = getenv("EXIT_SECONDS");
	long long end = now_ms() + (given ? atoi(given) : SECONDS) * 1000LL;
	pthread_mutexattr_t attr;
	pthread_t threads[SUBMITTERS];
	pid_t pids[PROCESSES];
	unsigned int taken = 0;
	int status;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		      -1, 0);
	ASSERT_NE(MAP_FAILED, shared);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&shared->lock, &attr);
	ASSERT_EQ(0, pipe(pipes));
	stays.p.flags = IORING_SETUP_CQSIZE;
	stays.p.cq_entries = 1024;
	ASSERT_EQ(0, uring_open(&stays, 16));

	for (int i = 0; i < PROCESSES; i++) {
		pids[i] = fork();
		ASSERT_GE(pids[i], 0);
		if (!pids[i])
			breed(i + 1);
	}
	for (int i = 0; i < SUBMITTERS; i++)
		ASSERT_EQ(0, pthread_create(&threads[i], NULL, submitter, (void *)(i + 100UL)));
	while (now_ms() < end) {
		enter_timeout(&stays, 1, 10);
		taken += take();
	}
	__atomic_store_n(&shared->stop, 1, __ATOMIC_RELEASE);
	for (int i = 0; i < SUBMITTERS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < PROCESSES; i++) {
		ASSERT_EQ(pids[i], waitpid(pids[i], &status, 0));
		EXPECT_EQ(0, status);
	}

	/*
	 * io_uring detects the end of a poll's submitter only at an event,
	 * which comes now.
	 */
	ASSERT_EQ(1, write(pipes[1], "x", 1));
	for (end = now_ms() + HANG_MS; taken < shared->submitted && now_ms() < end;) {
		enter_timeout(&stays, 1, 100);
		taken += take();
	}
	sleep_ms(50);
	taken += take();
	TH_LOG("%llu rings, %u requests", shared->rings, shared->submitted);
	EXPECT_LT(0, shared->rings);
	EXPECT_EQ(shared->submitted, taken);
	EXPECT_EQ(0, shared->lost) {
		TH_LOG("requests completed twice, or never were");
	}
	EXPECT_EQ(0, shared->failed);
	if (!on_io_uring())
		EXPECT_TRUE(rings_become(self->before + 1)) {
			TH_LOG("%d rings are left", rings_now());
		}
	uring_close(&stays);
}

/* The program when it is executed without a name. */
__attribute__((constructor)) static void executed(int argc, char **argv)
{
	if (argc && !*argv[0])
		_exit(0);
}

TEST_HARNESS_MAIN
