// SPDX-License-Identifier: GPL-2.0
/* Polling files through the ring: one-shot, multishot, removed, changed. */
#include <pthread.h>
#include <pty.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "ring_ops.h"
#include "ring_test.h"

static struct io_uring_sqe *prep_remove(struct uring *ring, unsigned long long target,
					unsigned long long user_data)
{
	return prep_undo(ring, IORING_OP_POLL_REMOVE, target, user_data);
}

/* Waits for a completion, and returns it with its flags: "user_data result [MORE]". */
static const char *wait_cqe(struct uring *ring)
{
	static char text[80];
	struct io_uring_cqe *cqe;

	if (!uring_ready(ring))
		enter_timeout(ring, 1, HANG_MS);
	cqe = uring_peek(ring);
	if (!cqe)
		return "none";
	snprintf(text, sizeof(text), "%llu %s%s", cqe->user_data, result_name(cqe->res),
		 cqe->flags == IORING_CQE_F_MORE ? " MORE" : cqe->flags ? " ?" : "");
	uring_advance(ring, 1);
	return text;
}

FIXTURE(poll)
{
	struct uring ring;
	int fds[2];
};

FIXTURE_SETUP(poll)
{
	ASSERT_EQ(0, uring_open(&self->ring, 8));
	ASSERT_EQ(0, pipe(self->fds));
}

FIXTURE_TEARDOWN(poll)
{
	close(self->fds[0]);
	close(self->fds[1]);
	uring_close(&self->ring);
}

TEST_F(poll, poll_completes_at_an_event)
{
	prep_poll(&self->ring, self->fds[0], POLLIN, 0, 1);
	ASSERT_EQ(1, uring_submit(&self->ring));
	sleep_ms(5);
	EXPECT_EQ(0, uring_ready(&self->ring));
	ASSERT_EQ(1, write(self->fds[1], "x", 1));
	EXPECT_STREQ("1 1", wait_cqe(&self->ring));
	ASSERT_EQ(1, write(self->fds[1], "x", 1));
	sleep_ms(5);
	EXPECT_EQ(0, uring_ready(&self->ring));
}

TEST_F(poll, poll_completes_before_the_triggering_call_returns)
{
	char byte;

	for (int i = 0; i < 100; i++) {
		prep_poll(&self->ring, self->fds[0], POLLIN, 0, i);
		ASSERT_EQ(1, uring_submit(&self->ring));
		ASSERT_EQ(0, uring_ready(&self->ring));
		ASSERT_EQ(1, write(self->fds[1], "x", 1));
		ASSERT_EQ(1, uring_ready(&self->ring));
		uring_advance(&self->ring, 1);
		ASSERT_EQ(1, read(self->fds[0], &byte, 1));
	}
}

/* Reads @total bytes after the ring reports some. Returns the number of bytes read. */
struct drain {
	struct uring *ring;
	int fd;
	size_t total;
};

static void *drain(void *arg)
{
	struct drain *drain = arg;
	char bytes[4096];
	size_t got = 0;
	ssize_t ret;

	if (strcmp(wait_cqe(drain->ring), "1 1"))
		return NULL;
	while (got < drain->total) {
		ret = read(drain->fd, bytes, sizeof(bytes));
		if (ret <= 0)
			break;
		got += ret;
	}
	return (void *)got;
}

/* The event comes with the first bytes, and no reader makes room before the completion. */
TEST_F(poll, poll_completes_though_the_triggering_call_blocks)
{
	const size_t total = 1 << 20;
	struct drain reader = { .ring = &self->ring, .fd = self->fds[0], .total = total };
	char *bytes = calloc(1, total);
	pthread_t thread;
	void *got;

	ASSERT_NE(NULL, bytes);
	prep_poll(&self->ring, self->fds[0], POLLIN, 0, 1);
	ASSERT_EQ(1, uring_submit(&self->ring));
	ASSERT_EQ(0, pthread_create(&thread, NULL, drain, &reader));
	sleep_ms(5);
	for (size_t sent = 0; sent < total;) {
		ssize_t ret = write(self->fds[1], bytes + sent, total - sent);

		/* io_uring interrupts the write for the completion, as a signal would. */
		ASSERT_LT(0, ret);
		sent += ret;
	}
	pthread_join(thread, &got);
	EXPECT_EQ(total, (size_t)got);
	free(bytes);
}

TEST_F(poll, poll_of_a_ready_file_completes_at_once)
{
	ASSERT_EQ(1, write(self->fds[1], "x", 1));
	prep_poll(&self->ring, self->fds[0], POLLIN, 0, 1);
	prep_poll(&self->ring, self->fds[1], POLLOUT, 0, 2);
	ASSERT_EQ(2, uring_submit(&self->ring));
	EXPECT_STREQ("1 1", next_cqe(&self->ring));
	EXPECT_STREQ("2 4", next_cqe(&self->ring));
}

TEST_F(poll, poll_always_reports_hang_up)
{
	prep_poll(&self->ring, self->fds[0], 0, 0, 1);
	ASSERT_EQ(1, uring_submit(&self->ring));
	close(self->fds[1]);
	EXPECT_STREQ("1 16", wait_cqe(&self->ring));
	self->fds[1] = -1;
}

TEST_F(poll, multishot_poll_reports_each_event)
{
	char byte;

	prep_poll(&self->ring, self->fds[0], POLLIN, IORING_POLL_ADD_MULTI, 1);
	ASSERT_EQ(1, uring_submit(&self->ring));
	for (int i = 0; i < 10; i++) {
		ASSERT_EQ(1, write(self->fds[1], "x", 1));
		EXPECT_STREQ("1 1 MORE", wait_cqe(&self->ring));
		ASSERT_EQ(1, read(self->fds[0], &byte, 1));
	}
	EXPECT_EQ(0, uring_ready(&self->ring));
	prep_remove(&self->ring, 1, 2);
	ASSERT_EQ(1, uring_submit_and_wait(&self->ring, 2));
	EXPECT_STREQ("2 0", wait_cqe(&self->ring));
	EXPECT_STREQ("1 -ECANCELED", wait_cqe(&self->ring));
}

TEST_F(poll, multishot_poll_reports_an_earlier_event)
{
	ASSERT_EQ(1, write(self->fds[1], "x", 1));
	prep_poll(&self->ring, self->fds[0], POLLIN, IORING_POLL_ADD_MULTI, 1);
	ASSERT_EQ(1, uring_submit(&self->ring));
	EXPECT_STREQ("1 1 MORE", wait_cqe(&self->ring));
	sleep_ms(5);
	EXPECT_EQ(0, uring_ready(&self->ring));
}

TEST_F(poll, multishot_poll_ends_when_the_cq_is_full)
{
	struct uring ring = { .p.flags = IORING_SETUP_CQSIZE, .p.cq_entries = 4 };
	int efd = eventfd(0, EFD_NONBLOCK);
	unsigned long long one = 1;

	ASSERT_EQ(0, uring_open(&ring, 2));
	prep_poll(&ring, efd, POLLIN, IORING_POLL_ADD_MULTI, 1);
	ASSERT_EQ(1, uring_submit(&ring));
	for (int i = 0; i < 5; i++) {
		ASSERT_EQ(8, write(efd, &one, 8));
		for (int ms = 0; ms < HANG_MS && uring_ready(&ring) < i + 1 && i < 4; ms++)
			enter_timeout(&ring, i + 1, 1);
	}
	for (int ms = 0; ms < HANG_MS && !(uring_load(ring.sq.flags) & IORING_SQ_CQ_OVERFLOW); ms++)
		enter_timeout(&ring, 5, 1);
	for (int i = 0; i < 4; i++)
		EXPECT_STREQ("1 1 MORE", wait_cqe(&ring));
	EXPECT_STREQ("1 1", wait_cqe(&ring));
	ASSERT_EQ(8, write(efd, &one, 8));
	sleep_ms(5);
	EXPECT_EQ(0, uring_ready(&ring));
	uring_close(&ring);
	close(efd);
}

TEST_F(poll, removed_poll_is_cancelled)
{
	prep_poll(&self->ring, self->fds[0], POLLIN, 0, 1);
	prep_remove(&self->ring, 1, 2);
	ASSERT_EQ(2, uring_submit_and_wait(&self->ring, 2));
	EXPECT_STREQ("2 0", next_cqe(&self->ring));
	EXPECT_STREQ("1 -ECANCELED", next_cqe(&self->ring));
	prep_remove(&self->ring, 1, 3);
	ASSERT_EQ(1, uring_submit_and_wait(&self->ring, 1));
	EXPECT_STREQ("3 -ENOENT", next_cqe(&self->ring));
	ASSERT_EQ(1, write(self->fds[1], "x", 1));
	sleep_ms(5);
	EXPECT_EQ(0, uring_ready(&self->ring));
}

TEST_F(poll, update_changes_the_events_of_a_poll)
{
	struct io_uring_sqe *sqe;

	prep_poll(&self->ring, self->fds[1], POLLPRI, 0, 1);
	ASSERT_EQ(1, uring_submit(&self->ring));
	sqe = prep_remove(&self->ring, 1, 2);
	sqe->len = IORING_POLL_UPDATE_EVENTS;
	sqe->poll32_events = POLLOUT;
	ASSERT_EQ(1, uring_submit_and_wait(&self->ring, 2));
	EXPECT_STREQ("2 0", next_cqe(&self->ring));
	EXPECT_STREQ("1 4", next_cqe(&self->ring));
}

TEST_F(poll, update_changes_the_user_data_of_a_poll)
{
	struct io_uring_sqe *sqe;

	prep_poll(&self->ring, self->fds[0], POLLIN, 0, 1);
	ASSERT_EQ(1, uring_submit(&self->ring));
	sqe = prep_remove(&self->ring, 1, 2);
	sqe->len = IORING_POLL_UPDATE_USER_DATA;
	sqe->off = 77;
	ASSERT_EQ(1, uring_submit_and_wait(&self->ring, 1));
	EXPECT_STREQ("2 0", next_cqe(&self->ring));
	prep_remove(&self->ring, 1, 3);
	ASSERT_EQ(1, uring_submit_and_wait(&self->ring, 1));
	EXPECT_STREQ("3 -ENOENT", next_cqe(&self->ring));
	ASSERT_EQ(1, write(self->fds[1], "x", 1));
	EXPECT_STREQ("77 1", wait_cqe(&self->ring));
}

static struct io_uring_sqe *prep_update(struct uring *ring, unsigned long long target,
					unsigned long long user_data)
{
	struct io_uring_sqe *sqe = prep_remove(ring, target, user_data);

	sqe->len = IORING_POLL_UPDATE_EVENTS | IORING_POLL_ADD_MULTI;
	sqe->poll32_events = POLLIN;
	return sqe;
}

TEST_F(poll, multishot_poll_reports_after_the_submitted_batch)
{
	ASSERT_EQ(1, write(self->fds[1], "x", 1));
	prep_poll(&self->ring, self->fds[0], POLLIN, IORING_POLL_ADD_MULTI, 1);
	uring_nop(&self->ring, 2);
	ASSERT_EQ(2, uring_submit(&self->ring));
	EXPECT_STREQ("2 0", wait_cqe(&self->ring));
	EXPECT_STREQ("1 1 MORE", wait_cqe(&self->ring));
	prep_update(&self->ring, 1, 3);
	uring_nop(&self->ring, 4);
	/* A report is still to come. */
	prep_update(&self->ring, 1, 5);
	ASSERT_EQ(3, uring_submit(&self->ring));
	EXPECT_STREQ("3 0", wait_cqe(&self->ring));
	EXPECT_STREQ("4 0", wait_cqe(&self->ring));
	EXPECT_STREQ("5 -EALREADY", wait_cqe(&self->ring));
	EXPECT_STREQ("1 1 MORE", wait_cqe(&self->ring));
	sleep_ms(5);
	EXPECT_EQ(0, uring_ready(&self->ring));
}

#define UPDATED 16

/* Starts on command, triggers the event of each poll, and reports that. */
struct trigger {
	int start, done;
	int events[UPDATED];
};

static void *trigger_each(void *arg)
{
	struct trigger *trigger = arg;
	long failures = 0;
	eventfd_t value;

	failures += !!eventfd_read(trigger->start, &value);
	for (int i = 0; i < UPDATED; i++)
		failures += !!eventfd_write(trigger->events[i], 1);
	failures += !!eventfd_write(trigger->done, 1);
	return (void *)failures;
}

/*
 * An event during a submission is reported after the whole submission. Otherwise a later
 * update of a poll that has reported would find the same event again.
 */
TEST_F_TIMEOUT(poll, update_does_not_repeat_an_event_that_came_meanwhile, 120)
{
	struct uring ring = { .p.flags = IORING_SETUP_CQSIZE, .p.cq_entries = 16384 };
	const eventfd_t one = 1;
	struct trigger trigger = { .start = eventfd(0, 0), .done = eventfd(0, EFD_NONBLOCK) };
	int rounds = 0, in_time = 0;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP(return, "takes two CPUs");
	ASSERT_EQ(0, uring_open(&ring, 4096));
	for (int i = 0; i < UPDATED; i++) {
		trigger.events[i] = eventfd(0, 0);
		prep_poll(&ring, trigger.events[i], POLLIN, IORING_POLL_ADD_MULTI, i);
	}
	ASSERT_EQ(UPDATED, uring_submit(&ring));
	for (; in_time < 20 && rounds < 1000; rounds++) {
		unsigned int reports[UPDATED] = {}, submitted = 4000 + UPDATED, done = 0;
		bool all_before = false;
		eventfd_t value;
		pthread_t thread;
		void *failures;

		ASSERT_EQ(0, pthread_create(&thread, NULL, trigger_each, &trigger));
		prep_rw(&ring, IORING_OP_WRITE, trigger.start, &one, sizeof(one), 0, 100);
		for (int i = 0; i < 3998; i++)
			uring_nop(&ring, 101);
		prep_rw(&ring, IORING_OP_READ, trigger.done, &value, sizeof(value), 0, 102);
		for (int i = 0; i < UPDATED; i++)
			prep_update(&ring, i, 103);
		ASSERT_EQ(submitted, uring_submit(&ring));
		ASSERT_EQ(0, pthread_join(thread, &failures));
		ASSERT_EQ(NULL, failures);
		while (done < submitted + UPDATED) {
			struct io_uring_cqe *cqe;

			if (!uring_ready(&ring))
				ASSERT_EQ(0, enter_timeout(&ring, 1, HANG_MS));
			cqe = uring_peek(&ring);
			if (cqe->user_data < UPDATED) {
				ASSERT_EQ(POLLIN, cqe->res);
				ASSERT_EQ(IORING_CQE_F_MORE, cqe->flags);
				done += !reports[cqe->user_data]++;
			} else {
				if (cqe->user_data == 102)
					all_before = cqe->res == sizeof(value);
				done++;
			}
			uring_advance(&ring, 1);
		}
		if (all_before) {
			in_time++;
			for (int i = 0; i < UPDATED; i++) {
				ASSERT_EQ(1, reports[i]) {
					TH_LOG("round %d, poll %d", rounds, i);
				}
			}
			ASSERT_EQ(0, uring_ready(&ring));
		} else {
			ASSERT_EQ(0, eventfd_read(trigger.done, &value));
		}
		for (int i = 0; i < UPDATED; i++)
			ASSERT_EQ(0, eventfd_read(trigger.events[i], &value));
		uring_advance(&ring, uring_ready(&ring));
	}
	TH_LOG("%d of %d rounds in time", in_time, rounds);
	EXPECT_EQ(20, in_time);
	for (int i = 0; i < UPDATED; i++)
		close(trigger.events[i]);
	close(trigger.start);
	close(trigger.done);
	uring_close(&ring);
}

TEST_F(poll, poll_refuses_bad_arguments)
{
	struct io_uring_sqe *sqe;

	prep_poll(&self->ring, -1, POLLIN, 0, 1);
	ASSERT_EQ(1, uring_submit_and_wait(&self->ring, 1));
	EXPECT_STREQ("1 -EBADF", next_cqe(&self->ring));
	prep_poll(&self->ring, self->fds[0], POLLIN, IORING_POLL_ADD_LEVEL, 1);
	ASSERT_EQ(1, uring_submit_and_wait(&self->ring, 1));
	EXPECT_STREQ("1 -EINVAL", next_cqe(&self->ring));
	prep_poll(&self->ring, self->fds[0], POLLIN, 0, 1)->off = 1;
	ASSERT_EQ(1, uring_submit_and_wait(&self->ring, 1));
	EXPECT_STREQ("1 -EINVAL", next_cqe(&self->ring));
	prep_poll(&self->ring, self->fds[0], POLLIN, IORING_POLL_ADD_MULTI, 1)->flags =
		IOSQE_CQE_SKIP_SUCCESS;
	ASSERT_EQ(1, uring_submit_and_wait(&self->ring, 1));
	EXPECT_STREQ("1 -EINVAL", next_cqe(&self->ring));
	sqe = prep_poll(&self->ring, 0, POLLIN, 0, 1);
	sqe->flags = IOSQE_FIXED_FILE;
	ASSERT_EQ(1, uring_submit_and_wait(&self->ring, 1));
	EXPECT_STREQ("1 -EBADF", next_cqe(&self->ring));
	prep_remove(&self->ring, 1, 1)->len = IORING_POLL_ADD_MULTI;
	ASSERT_EQ(1, uring_submit_and_wait(&self->ring, 1));
	EXPECT_STREQ("1 -EINVAL", next_cqe(&self->ring));
	prep_remove(&self->ring, 1, 1)->off = 1;
	ASSERT_EQ(1, uring_submit_and_wait(&self->ring, 1));
	EXPECT_STREQ("1 -EINVAL", next_cqe(&self->ring));
}

TEST_F(poll, poll_of_a_file_without_poll_operation_is_ready)
{
	int fd = open("/proc/self/exe", O_RDONLY);

	ASSERT_GE(fd, 0);
	prep_poll(&self->ring, fd, POLLIN, 0, 1);
	ASSERT_EQ(1, uring_submit_and_wait(&self->ring, 1));
	EXPECT_STREQ("1 1", wait_cqe(&self->ring));
	close(fd);
}

TEST_F(poll, poll_waits_on_both_wait_queues_of_a_file)
{
	const char *text;
	bool removed = false, cancelled = false;
	int master, slave;

	ASSERT_EQ(0, openpty(&master, &slave, NULL, NULL, NULL));
	prep_poll(&self->ring, slave, POLLIN, 0, 1);
	ASSERT_EQ(1, uring_submit(&self->ring));
	sleep_ms(5);
	EXPECT_EQ(0, uring_ready(&self->ring));
	ASSERT_EQ(2, write(master, "x\n", 2));
	EXPECT_STREQ("1 1", wait_cqe(&self->ring));
	prep_poll(&self->ring, master, POLLIN, IORING_POLL_ADD_MULTI, 2);
	ASSERT_EQ(1, uring_submit(&self->ring));
	EXPECT_STREQ("2 1 MORE", wait_cqe(&self->ring));
	prep_remove(&self->ring, 2, 3);
	ASSERT_EQ(1, uring_submit(&self->ring));
	/*
	 * A terminal may wake the poll more than once for the same data, also during the removal.
	 */
	while (!removed || !cancelled) {
		text = wait_cqe(&self->ring);
		if (!removed && !strcmp("3 0", text))
			removed = true;
		else if (!cancelled && !strcmp("2 -ECANCELED", text))
			cancelled = true;
		else
			ASSERT_STREQ("2 1 MORE", text);
	}
	EXPECT_EQ(0, uring_ready(&self->ring));
	close(slave);
	close(master);
}

static bool filling_ends;

static void *fill_and_drain(void *arg)
{
	const int *fds = arg;
	char c = 0;

	while (!__atomic_load_n(&filling_ends, __ATOMIC_RELAXED))
		if (write(fds[1], &c, 1) != 1 || read(fds[0], &c, 1) != 1)
			return "the pipe failed";
	return NULL;
}

/* A worker that polls the file during the removal does not touch it afterwards. */
TEST_F(poll, poll_removed_amid_events_ends_once)
{
	struct uring *ring = &self->ring;
	pthread_t thread;
	void *failed;

	filling_ends = false;
	ASSERT_EQ(0, pthread_create(&thread, NULL, fill_and_drain, self->fds));
	for (int i = 0; i < 300; i++) {
		bool removed = false, absent = false, ended = false, full = false;

		prep_poll(ring, self->fds[0], POLLIN, IORING_POLL_ADD_MULTI, 1);
		ASSERT_EQ(1, uring_submit(ring));
		while (!(removed || absent) || !ended) {
			const char *text;

			if (!removed && !absent && !uring_ready(ring)) {
				prep_remove(ring, 1, 2);
				ASSERT_EQ(1, uring_submit(ring));
			}
			text = wait_cqe(ring);
			if (!ended && !strcmp("1 1 MORE", text))
				continue;
			full |= !strcmp("1 1", text);
			if (!strcmp("1 1", text) || !strcmp("1 -ECANCELED", text))
				ended = true;
			else if (!strcmp("2 0", text))
				removed = true;
			else if (!strcmp("2 -ENOENT", text))
				absent = true;
			else if (!on_io_uring() || strcmp("2 -EALREADY", text))
				ASSERT_STREQ("2 0", text);
		}
		/*
		 * Only a full CQ ends the poll earlier. The end is reported
		 * before or after -ENOENT.
		 */
		ASSERT_LE(absent, full);
	}
	__atomic_store_n(&filling_ends, true, __ATOMIC_RELAXED);
	ASSERT_EQ(0, pthread_join(thread, &failed));
	EXPECT_EQ(NULL, failed);
}

/* The wait queue of a signalfd is freed with its process: wake_up_pollfree(). */
TEST_F(poll, poll_of_a_signalfd_ends_with_its_process)
{
	struct uring *ring = &self->ring;
	int socks[2];
	pid_t pid;

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		struct uring own = {};
		sigset_t mask;
		int fd;

		sigemptyset(&mask);
		sigaddset(&mask, SIGUSR1);
		sigprocmask(SIG_BLOCK, &mask, NULL);
		fd = signalfd(-1, &mask, 0);
		/* The inherited ring, and a ring that is closed now. */
		prep_poll(ring, fd, POLLIN, 0, 1);
		if (fd < 0 || uring_submit(ring) != 1 || uring_open(&own, 8))
			_exit(1);
		prep_poll(&own, fd, POLLIN, IORING_POLL_ADD_MULTI, 2);
		_exit(uring_submit(&own) != 1);
	}
	int status;

	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
	sleep_ms(20);
	EXPECT_STREQ("1 -ECANCELED", wait_cqe(ring));
	close(socks[0]);
	close(socks[1]);
}

TEST_F(poll, poll_of_the_rings_own_eventfd_completes)
{
	int efd = eventfd(0, EFD_NONBLOCK);

	ASSERT_EQ(0, uring_register_eventfd(&self->ring, efd));
	prep_poll(&self->ring, efd, POLLIN, IORING_POLL_ADD_MULTI, 1);
	ASSERT_EQ(1, uring_submit(&self->ring));
	uring_nop(&self->ring, 2);
	ASSERT_EQ(1, uring_submit(&self->ring));
	EXPECT_STREQ("2 0", wait_cqe(&self->ring));
	/* The last report: this CQE would cause another report. */
	EXPECT_STREQ("1 1", wait_cqe(&self->ring));
	sleep_ms(10);
	EXPECT_EQ(0, uring_ready(&self->ring));
	close(efd);
}

TEST_F(poll, poll_of_another_ring_completes)
{
	struct uring other = {};

	ASSERT_EQ(0, uring_open(&other, 8));
	prep_poll(&self->ring, other.fd, POLLIN, 0, 1);
	ASSERT_EQ(1, uring_submit(&self->ring));
	uring_nop(&other, 2);
	ASSERT_EQ(1, uring_submit(&other));
	EXPECT_STREQ("1 1", wait_cqe(&self->ring));
	uring_close(&other);
}

TEST_F(poll, all_polls_of_one_file_complete)
{
	struct uring ring = { .p.flags = IORING_SETUP_CQSIZE, .p.cq_entries = 4096 };
	unsigned long long seen = 0;

	ASSERT_EQ(0, uring_open(&ring, 128));
	for (int round = 0; round < 8; round++) {
		for (int i = 0; i < 128; i++)
			prep_poll(&ring, self->fds[0], POLLIN, 0, round * 128 + i);
		ASSERT_EQ(128, uring_submit(&ring));
	}
	ASSERT_EQ(1, write(self->fds[1], "x", 1));
	for (int i = 0; i < 1024; i++) {
		if (!uring_ready(&ring))
			ASSERT_EQ(0, enter_timeout(&ring, 1, HANG_MS));
		ASSERT_EQ(POLLIN, uring_peek(&ring)->res);
		seen += uring_peek(&ring)->user_data;
		uring_advance(&ring, 1);
	}
	EXPECT_EQ(1023 * 1024 / 2, seen);
	uring_close(&ring);
}

/* The wait queue of a file wakes the last poll first. */
TEST_F(poll, polls_complete_in_the_order_of_their_wake_ups)
{
	for (int i = 0; i < 8; i++)
		prep_poll(&self->ring, self->fds[0], POLLIN, 0, i);
	ASSERT_EQ(8, uring_submit(&self->ring));
	ASSERT_EQ(1, write(self->fds[1], "x", 1));
	ASSERT_EQ(8, uring_ready(&self->ring));
	for (int i = 7; i >= 0; i--, uring_advance(&self->ring, 1))
		EXPECT_EQ(i, uring_peek(&self->ring)->user_data);
}

/*
 * Each completion wakes all polls of the ring. Visiting those already queued would take minutes in
 * the kernel.
 */
TEST_F_TIMEOUT(poll, many_polls_of_their_own_ring_complete_in_time, 120)
{
	struct uring ring = { .p.flags = IORING_SETUP_CQSIZE, .p.cq_entries = 32768 };
	unsigned int seen = 0;

	ASSERT_EQ(0, uring_open(&ring, 1024));
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < 1024; i++)
			prep_poll(&ring, ring.fd, POLLIN, 0, i);
		ASSERT_EQ(1024, uring_submit(&ring));
	}
	ASSERT_NE(NULL, uring_nop(&ring, 0));
	ASSERT_EQ(1, uring_submit(&ring));
	while (seen < 20 * 1024 + 1) {
		if (!uring_ready(&ring))
			ASSERT_EQ(0, enter_timeout(&ring, 1, HANG_MS));
		seen++;
		uring_advance(&ring, 1);
	}
	uring_close(&ring);
}

TEST_HARNESS_MAIN
