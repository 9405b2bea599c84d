// SPDX-License-Identifier: GPL-2.0
/*
 * IORING_SETUP_SQPOLL: a thread submits. When the SQ stays empty, the thread sets a flag and
 * sleeps. The thread acts for the ring's maker, and ends with the maker.
 */
#include <dirent.h>
#include <limits.h>
#include <linux/capability.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "ring_ops.h"
#include "ring_test.h"
#include "rings.h"

#define RACE_MS 1500

FIXTURE(sqpoll)
{
	struct uring ring;
};

FIXTURE_VARIANT(sqpoll)
{
	unsigned int flags;
};

FIXTURE_VARIANT_ADD(sqpoll, plain)
{
	.flags = 0,
};

FIXTURE_VARIANT_ADD(sqpoll, single_issuer)
{
	.flags = IORING_SETUP_SINGLE_ISSUER,
};

static int open_polled(struct uring *ring, unsigned int flags, unsigned int idle_ms)
{
	*ring = (struct uring){
		.p.flags = IORING_SETUP_SQPOLL | flags,
		.p.sq_thread_idle = idle_ms,
	};
	return uring_open(ring, 4);
}

FIXTURE_SETUP(sqpoll)
{
	ASSERT_EQ(0, open_polled(&self->ring, variant->flags, 20));
}

FIXTURE_TEARDOWN(sqpoll)
{
	uring_close(&self->ring);
}

static bool needs_wakeup(struct uring *ring)
{
	return __atomic_load_n(ring->sq.flags, __ATOMIC_SEQ_CST) & IORING_SQ_NEED_WAKEUP;
}

/* As in the manual page: publish, a full barrier, read the flag. */
static void publish(struct uring *ring)
{
	uring_publish(ring);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (needs_wakeup(ring))
		uring_enter(ring, 1, 0, IORING_ENTER_SQ_WAKEUP);
}

static bool until_ready(struct uring *ring, unsigned int nr, unsigned int ms)
{
	long long start = now_ms();

	while (uring_ready(ring) < nr) {
		if (now_ms() - start > ms)
			return false;
		sched_yield();
	}
	return true;
}

static bool until_asleep(struct uring *ring)
{
	long long start = now_ms();

	while (!needs_wakeup(ring)) {
		if (now_ms() - start > HANG_MS)
			return false;
		sleep_ms(1);
	}
	return true;
}

TEST_F(sqpoll, thread_submits)
{
	struct uring *ring = &self->ring;

	for (int i = 0; i < 100; i++) {
		ASSERT_NE(NULL, uring_nop(ring, i));
		publish(ring);
		ASSERT_TRUE(until_ready(ring, 1, HANG_MS));
		uring_reap(ring);
	}
	/* The head may be published after the last completion, but before the thread sleeps. */
	ASSERT_TRUE(until_asleep(ring));
	EXPECT_EQ(100, *ring->sq.head);
}

/*
 * Returns the number of ring threads of this process, and in @last the directory of the last
 * thread in /proc.
 */
static int polling_threads(char *last, size_t size)
{
	const char *dir = "/proc/self/task";
	const char *name = on_io_uring() ? "iou-sqp-%d" : "mr-sqp-%d";
	DIR *tasks = opendir(dir);
	struct dirent *task;
	int nr = 0;

	while (tasks && (task = readdir(tasks))) {
		char path[512], comm[64] = "";
		FILE *file;
		int maker;

		snprintf(path, sizeof(path), "%s/%s/comm", dir, task->d_name);
		file = fopen(path, "r");
		if (file && fgets(comm, sizeof(comm), file) &&
		    sscanf(comm, name, &maker) == 1 && maker == getpid()) {
			nr++;
			if (last)
				snprintf(last, size, "%s/%s", dir, task->d_name);
		}
		if (file)
			fclose(file);
	}
	if (tasks)
		closedir(tasks);
	return nr;
}

/*
 * A thread that has set NEED_WAKEUP checks the SQ once more before it sleeps. A busy host may
 * delay that for any time, so wait until the thread is off its CPU.
 */
static bool until_off_cpu(void)
{
	long long start = now_ms();
	char thread[300], path[320], where[128];

	if (polling_threads(thread, sizeof(thread)) != 1)
		return false;
	snprintf(path, sizeof(path), "%s/wchan", thread);
	do {
		FILE *file = fopen(path, "r");
		bool there = file && fgets(where, sizeof(where), file);

		if (file)
			fclose(file);
		if (!there)
			return false;
		if (strcmp(where, "0"))
			return true;
		sleep_ms(1);
	} while (now_ms() - start < HANG_MS);
	return false;
}

TEST_F(sqpoll, thread_sleeps_until_it_is_woken)
{
	struct uring *ring = &self->ring;

	ASSERT_TRUE(until_asleep(ring));
	ASSERT_TRUE(until_off_cpu());
	ASSERT_NE(NULL, uring_nop(ring, 1));
	uring_publish(ring);
	EXPECT_FALSE(until_ready(ring, 1, 100));
	EXPECT_EQ(1, uring_enter(ring, 1, 0, 0));
	EXPECT_FALSE(until_ready(ring, 1, 100)) {
		TH_LOG("ENTER alone does not wake it");
	}
	EXPECT_EQ(1, uring_enter(ring, 1, 1, IORING_ENTER_SQ_WAKEUP | IORING_ENTER_GETEVENTS));
	EXPECT_STREQ("1 0", next_cqe(ring));
}

TEST_F(sqpoll, enter_returns_any_number_as_consumed)
{
	struct uring *ring = &self->ring;

	EXPECT_EQ(1000, uring_enter(ring, 1000, 0, 0));
	/* The result of an ioctl is an int, and no result here is an error. */
	if (!on_io_uring()) {
		EXPECT_EQ(INT_MAX, uring_enter(ring, INT_MAX, 0, IORING_ENTER_SQ_WAKEUP));
		EXPECT_EQ(INT_MAX, uring_enter(ring, 1U << 31, 0, IORING_ENTER_SQ_WAKEUP));
		EXPECT_EQ(INT_MAX, uring_enter(ring, -ESRCH, 0, IORING_ENTER_SQ_WAKEUP));
		EXPECT_EQ(INT_MAX, uring_enter(ring, -ESRCH, 0, 0));
	}
	EXPECT_EQ(0, uring_enter(ring, 0, 0, IORING_ENTER_SQ_WAKEUP));
	EXPECT_EQ(-ETIME, enter_timeout(ring, 1, 20));
}

/*
 * Each time the thread is at another point between consuming SQEs and
 * publishing the head.
 */
TEST_F_TIMEOUT(sqpoll, sq_wait_returns_when_the_sq_has_room, 120)
{
	struct uring *ring = &self->ring;
	long long end = now_ms() + 20000;

	/* Many rounds, or as many as a busy host makes in the time. */
	for (int i = 0; i < 20000 && (i < 100 || now_ms() < end); i++) {
		while (uring_nop(ring, i))
			;
		uring_publish(ring);
		ASSERT_LE(0, uring_enter(ring, 0, 0,
					 IORING_ENTER_SQ_WAKEUP | IORING_ENTER_SQ_WAIT));
		ASSERT_LT(uring_publish(ring), ring->p.sq_entries);
		uring_reap(ring);
	}
}

TEST_F(sqpoll, wake_up_flag_keeps_the_overflow_flag)
{
	struct uring *ring = &self->ring;
	unsigned int flags;

	for (int i = 0; i < ring->p.cq_entries + 1; i++) {
		while (!uring_nop(ring, i))
			sched_yield();
		publish(ring);
	}
	ASSERT_TRUE(until_asleep(ring));
	flags = uring_load(ring->sq.flags);
	EXPECT_EQ(IORING_SQ_NEED_WAKEUP | IORING_SQ_CQ_OVERFLOW,
		  flags & (IORING_SQ_NEED_WAKEUP | IORING_SQ_CQ_OVERFLOW));
	EXPECT_EQ(ring->p.cq_entries, uring_reap(ring));
	EXPECT_EQ(0, uring_enter(ring, 0, 1, IORING_ENTER_GETEVENTS));
	EXPECT_EQ(1, uring_reap(ring));
	EXPECT_TRUE(needs_wakeup(ring));
}

/* The thread uses the files and the memory of the maker. */
TEST_F(sqpoll, thread_uses_files_and_memory_of_the_maker)
{
	struct uring *ring = &self->ring;
	struct io_uring_sqe *sqe;
	char buffer[8] = "";
	int fds[2];

	ASSERT_EQ(0, pipe(fds));
	sqe = uring_get_sqe(ring);
	sqe->opcode = IORING_OP_POLL_ADD;
	sqe->fd = fds[0];
	sqe->poll32_events = POLLIN;
	sqe->user_data = 1;
	publish(ring);
	EXPECT_FALSE(until_ready(ring, 1, 50));
	ASSERT_EQ(5, write(fds[1], "hello", 5));
	ASSERT_TRUE(until_ready(ring, 1, HANG_MS));
	EXPECT_STREQ("1 1", next_cqe(ring));

	sqe = uring_get_sqe(ring);
	sqe->opcode = IORING_OP_READ;
	sqe->fd = fds[0];
	sqe->addr = (unsigned long)buffer;
	sqe->len = sizeof(buffer);
	sqe->user_data = 2;
	publish(ring);
	ASSERT_TRUE(until_ready(ring, 1, HANG_MS));
	EXPECT_STREQ("2 5", next_cqe(ring));
	EXPECT_STREQ("hello", buffer);

	/* A closed descriptor is not found, and not mistaken for the next file of that number. */
	close(fds[0]);
	sqe = uring_get_sqe(ring);
	sqe->opcode = IORING_OP_READ;
	sqe->fd = fds[0];
	sqe->user_data = 3;
	publish(ring);
	ASSERT_TRUE(until_ready(ring, 1, HANG_MS));
	EXPECT_STREQ("3 -EBADF", next_cqe(ring));
	close(fds[1]);
}

TEST_F(sqpoll, thread_waits_until_the_ring_is_enabled)
{
	struct uring ring;

	ASSERT_EQ(0, open_polled(&ring, variant->flags | IORING_SETUP_R_DISABLED, 5));
	ASSERT_NE(NULL, uring_nop(&ring, 1));
	uring_publish(&ring);
	EXPECT_FALSE(until_ready(&ring, 1, 100));
	EXPECT_EQ(-EBADFD, uring_enter(&ring, 1, 0, IORING_ENTER_SQ_WAKEUP));
	ASSERT_EQ(0, uring_register(&ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0));
	EXPECT_TRUE(until_ready(&ring, 1, HANG_MS));
	uring_close(&ring);
}

/* A lost wake-up shows as a missing completion. */
TEST_F(sqpoll, no_wake_up_is_lost)
{
	unsigned int sleeps = 0, rounds = 0;
	long long start = now_ms();
	struct uring ring;

	ASSERT_EQ(0, open_polled(&ring, variant->flags, 1));
	while (now_ms() - start < RACE_MS || !sleeps) {
		/*
		 * The pause reaches from before the thread sleeps to long after: io_uring counts
		 * in jiffies.
		 */
		unsigned int nth = rounds % 64;
		long long next = now_ns() + (nth < 63 ? 900000 + nth * 4000 : 30000000);

		while (now_ns() < next)
			;
		ASSERT_NE(NULL, uring_nop(&ring, rounds));
		uring_publish(&ring);
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		if (needs_wakeup(&ring)) {
			sleeps++;
			ASSERT_EQ(1, uring_enter(&ring, 1, 0, IORING_ENTER_SQ_WAKEUP));
		}
		ASSERT_TRUE(until_ready(&ring, 1, HANG_MS)) {
			TH_LOG("in round %u, after %u sleeps", rounds, sleeps);
		}
		uring_reap(&ring);
		rounds++;
	}
	uring_close(&ring);
}

/* Drops the capability that lowers an oom_score_adj. Returns 0 or -1. */
static int drop_sys_resource(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &header, data))
		return -1;
	data[CAP_TO_INDEX(CAP_SYS_RESOURCE)].effective &= ~CAP_TO_MASK(CAP_SYS_RESOURCE);
	data[CAP_TO_INDEX(CAP_SYS_RESOURCE)].permitted &= ~CAP_TO_MASK(CAP_SYS_RESOURCE);
	return syscall(SYS_capset, &header, data);
}

/* Returns the result of a write of "-5" to @fd. */
static int lower(struct uring *ring, int fd)
{
	prep_rw(ring, IORING_OP_WRITE, fd, "-5", 2, 0, 0);
	publish(ring);
	return until_ready(ring, 1, HANG_MS) ? uring_peek(ring)->res : -ETIME;
}

/*
 * The thread uses the maker's credentials at SETUP, not its own and not the
 * maker's later credentials.
 */
TEST_F(sqpoll, thread_has_the_makers_credentials_of_setup)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		int fd = open("/proc/self/oom_score_adj", O_RDWR);
		struct uring with, without;

		if (fd < 0 || write(fd, "10", 2) != 2)
			_exit(1);
		if (open_polled(&with, variant->flags, 20) || drop_sys_resource() ||
		    open_polled(&without, variant->flags, 20))
			_exit(2);
		if (lower(&without, fd) != -EACCES)
			_exit(3);
		_exit(lower(&with, fd) == 2 ? 0 : 4);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_TRUE(WIFEXITED(status));
	EXPECT_EQ(0, WEXITSTATUS(status));
}

/* Writes a buffer that is sometimes registered. */
struct busy {
	struct uring *ring;
	int fd;
	struct iovec iov;
	bool stop;
	unsigned long long written, refused, strange;
};

static void *keep_busy(void *arg)
{
	struct busy *b = arg;

	while (!__atomic_load_n(&b->stop, __ATOMIC_ACQUIRE)) {
		struct io_uring_sqe *sqe = uring_get_sqe(b->ring);
		struct io_uring_cqe *cqe;

		if (sqe) {
			sqe->opcode = IORING_OP_WRITE_FIXED;
			sqe->fd = b->fd;
			sqe->addr = (unsigned long)b->iov.iov_base;
			sqe->len = b->iov.iov_len;
			publish(b->ring);
		}
		while ((cqe = uring_peek(b->ring))) {
			if (cqe->res == (int)b->iov.iov_len)
				__atomic_fetch_add(&b->written, 1, __ATOMIC_RELAXED);
			else if (cqe->res == -EFAULT)
				__atomic_fetch_add(&b->refused, 1, __ATOMIC_RELAXED);
			else
				b->strange++;
			uring_advance(b->ring, 1);
		}
		if (*b->ring->sq.flags & IORING_SQ_CQ_OVERFLOW)
			uring_enter(b->ring, 0, 0, IORING_ENTER_GETEVENTS);
	}
	return NULL;
}

/* The maker changes the table that the thread takes buffers from, which the lock protects. */
TEST_F(sqpoll, maker_registers_beside_the_thread)
{
	struct busy busy = { .ring = &self->ring, .iov.iov_len = getpagesize() };
	long long start = now_ms(), lasts = 0;
	pthread_t thread;
	int registered = 0;

	busy.fd = open("/dev/null", O_WRONLY);
	ASSERT_LE(0, busy.fd);
	busy.iov.iov_base = mmap(NULL, busy.iov.iov_len, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, busy.iov.iov_base);
	ASSERT_EQ(0, pthread_create(&thread, NULL, keep_busy, &busy));
	while (lasts < RACE_MS || (lasts < HANG_MS &&
				   (!__atomic_load_n(&busy.written, __ATOMIC_RELAXED) ||
				    !__atomic_load_n(&busy.refused, __ATOMIC_RELAXED)))) {
		ASSERT_EQ(0, uring_register(&self->ring, IORING_REGISTER_BUFFERS, &busy.iov, 1));
		ASSERT_EQ(0, uring_register(&self->ring, IORING_UNREGISTER_BUFFERS, NULL, 0));
		registered++;
		lasts = now_ms() - start;
	}
	__atomic_store_n(&busy.stop, true, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	TH_LOG("registered %d times; %llu written, %llu refused", registered, busy.written,
	       busy.refused);
	EXPECT_LT(0, registered);
	EXPECT_LT(0, busy.written);
	EXPECT_LT(0, busy.refused);
	EXPECT_EQ(0, busy.strange);
	close(busy.fd);
}

TEST_F(sqpoll, single_issuer_with_sqpoll_keeps_the_lock)
{
	struct ring_tally before, after;
	struct uring *ring = &self->ring;

	if (on_io_uring())
		SKIP(return, "io_uring does not count");
	ASSERT_EQ(0, ring_tally(ring->fd, &before));
	for (int i = 0; i < 10; i++) {
		ASSERT_NE(NULL, uring_nop(ring, i));
		publish(ring);
		ASSERT_TRUE(until_ready(ring, i + 1 > 8 ? 8 : i + 1, HANG_MS));
	}
	ASSERT_EQ(0, ring_tally(ring->fd, &after));
	EXPECT_LT(0, after.submits - before.submits);
	EXPECT_EQ(after.submits - before.submits, after.locks - before.locks);
}

static void *register_from_thread(void *arg)
{
	return (void *)(long)uring_unregister_eventfd(arg);
}

static void *enter_from_thread(void *arg)
{
	return (void *)(long)uring_enter(arg, 7, 0, IORING_ENTER_SQ_WAKEUP);
}

static long from_thread(void *(*call)(void *), struct uring *ring)
{
	pthread_t thread;
	void *ret;

	pthread_create(&thread, NULL, call, ring);
	pthread_join(thread, &ret);
	return (long)ret;
}

TEST_F(sqpoll, other_task_may_enter_but_not_register)
{
	EXPECT_EQ(7, from_thread(enter_from_thread, &self->ring));
	EXPECT_EQ(variant->flags ? -EEXIST : -ENXIO,
		  from_thread(register_from_thread, &self->ring));
}

/* Sends the descriptor over a socket. */

static void send_fd(int sock, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = "", byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	sendmsg(sock, &msg, 0);
}

static int receive_fd(int sock)
{
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	int fd = -1;

	if (recvmsg(sock, &msg, 0) == 1 && CMSG_FIRSTHDR(&msg))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(int));
	return fd;
}

TEST_F(sqpoll, thread_ends_with_its_maker)
{
	struct uring ring = { .backend = uring_backend() };
	long long start = now_ms();
	int socks[2], status, ret;
	pid_t pid;

	if (on_io_uring())
		SKIP(return, "io_uring does not let its rings be sent");
	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_DGRAM, 0, socks));
	pid = fork();
	if (!pid) {
		struct uring mine;

		if (open_polled(&mine, variant->flags, 5))
			_exit(1);
		send_fd(socks[1], mine.fd);
		_exit(0);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	ASSERT_EQ(0, status);
	ring.fd = receive_fd(socks[0]);
	ASSERT_LE(0, ring.fd);
	do {
		ret = uring_enter(&ring, 1, 0, IORING_ENTER_SQ_WAKEUP);
	} while (ret == 1 && now_ms() - start < HANG_MS);
	EXPECT_EQ(-EOWNERDEAD, ret);
	/* The flag makes userspace call ENTER, which returns the error. */
	ring.p = self->ring.p;
	ASSERT_EQ(0, uring_mmap(&ring));
	EXPECT_TRUE(needs_wakeup(&ring));
	uring_close(&ring);
}

static void *has_other_descriptors(void *arg)
{
	return unshare(CLONE_FILES) ? "no descriptors of its own" : arg;
}

TEST_F(sqpoll, thread_survives_a_thread_with_its_own_descriptors)
{
	struct uring *ring = &self->ring;
	pthread_t thread;
	void *failed;

	ASSERT_EQ(0, pthread_create(&thread, NULL, has_other_descriptors, NULL));
	ASSERT_EQ(0, pthread_join(thread, &failed));
	ASSERT_EQ(NULL, failed);
	ASSERT_NE(NULL, uring_nop(ring, 1));
	publish(ring);
	ASSERT_TRUE(until_ready(ring, 1, HANG_MS));
	EXPECT_STREQ("1 0", next_cqe(ring));
	EXPECT_EQ(0, uring_enter(ring, 0, 0, IORING_ENTER_SQ_WAKEUP));
}

struct creator {
	struct uring ring;
	unsigned int flags;
	int fd;
};

static void *lacks_a_descriptor(void *arg)
{
	struct creator *c = arg;
	static char byte;

	if (unshare(CLONE_FILES) || open_polled(&c->ring, c->flags, 20) || close(c->fd))
		return "no ring";
	prep_rw(&c->ring, IORING_OP_READ, c->fd, &byte, 1, 0, 1);
	publish(&c->ring);
	if (!until_ready(&c->ring, 1, HANG_MS))
		return "nothing completed";
	return (void *)next_cqe(&c->ring);
}

TEST_F(sqpoll, thread_has_the_makers_files_only)
{
	struct creator c = { .flags = variant->flags, .fd = open("/dev/zero", O_RDONLY) };
	pthread_t thread;
	void *text;

	ASSERT_LE(0, c.fd);
	ASSERT_EQ(0, pthread_create(&thread, NULL, lacks_a_descriptor, &c));
	ASSERT_EQ(0, pthread_join(thread, &text));
	EXPECT_STREQ("1 -EBADF", (const char *)text);
	close(c.fd);
}

static bool polling_threads_become(int nr)
{
	long long start = now_ms();

	while (polling_threads(NULL, 0) != nr) {
		if (now_ms() - start > HANG_MS)
			return false;
		sleep_ms(5);
	}
	return true;
}

TEST_F(sqpoll, thread_ends_with_the_ring)
{
	struct uring ring;

	/* The thread of the fixture stays. */
	ASSERT_EQ(0, open_polled(&ring, variant->flags, 1000));
	EXPECT_TRUE(polling_threads_become(2));
	uring_close(&ring);
	for (int i = 0; i < 50; i++) {
		ASSERT_EQ(0, open_polled(&ring, variant->flags, i % 2 ? 1 : 1000));
		ASSERT_NE(NULL, uring_nop(&ring, 0));
		uring_publish(&ring);
		if (i % 4 == 0)
			sleep_ms(2);
		uring_close(&ring);
	}
	EXPECT_TRUE(polling_threads_become(1)) {
		TH_LOG("%d threads are left", polling_threads(NULL, 0));
	}
}

static int try_setup(unsigned int flags, unsigned int cpu)
{
	struct io_uring_params p = { .flags = flags, .sq_thread_cpu = cpu };
	int fd = uring_setup(uring_backend(), 4, 0, &p);

	if (fd >= 0)
		close(fd);
	return fd < 0 ? fd : 0;
}

TEST(setup_checks_the_sqpoll_flags)
{
	const unsigned int aff = IORING_SETUP_SQPOLL | IORING_SETUP_SQ_AFF;

	EXPECT_EQ(-EINVAL, try_setup(IORING_SETUP_SQ_AFF, 0));
	EXPECT_EQ(0, try_setup(aff, 0));
	EXPECT_EQ(-EINVAL, try_setup(aff, 100000));
	EXPECT_EQ(-EINVAL, try_setup(aff, -1U));
	EXPECT_EQ(-EINVAL, try_setup(IORING_SETUP_SQPOLL | IORING_SETUP_COOP_TASKRUN, 0));
}

/* Returns the last field of the line @name in a thread's status, "" if there is none. */
static const char *status_of(const char *dir, const char *field)
{
	static char value[256];
	char path[576], line[256], name[64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/status", dir);
	file = fopen(path, "r");
	value[0] = '\0';
	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%63[^:]: %255s", name, value) == 2 && !strcmp(name, field))
			break;
		value[0] = '\0';
	}
	if (file)
		fclose(file);
	return value;
}

TEST(thread_runs_on_the_cpu_of_sq_aff)
{
	const long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	for (int cpu = 0; cpu < cpus && cpu < 4; cpu++) {
		struct uring ring = {
			.p.flags = IORING_SETUP_SQPOLL | IORING_SETUP_SQ_AFF,
			.p.sq_thread_cpu = cpu,
			.p.sq_thread_idle = 1,
		};
		char dir[512], expected[16];

		ASSERT_EQ(0, uring_open(&ring, 4));
		ASSERT_NE(NULL, uring_nop(&ring, 1));
		publish(&ring);
		ASSERT_TRUE(until_ready(&ring, 1, HANG_MS));
		ASSERT_TRUE(polling_threads_become(1));
		ASSERT_EQ(1, polling_threads(dir, sizeof(dir)));
		snprintf(expected, sizeof(expected), "%d", cpu);
		EXPECT_STREQ(expected, status_of(dir, "Cpus_allowed_list"));
		uring_close(&ring);
		ASSERT_TRUE(polling_threads_become(0));
	}
}

TEST_HARNESS_MAIN
