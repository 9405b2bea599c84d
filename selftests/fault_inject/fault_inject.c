// SPDX-License-Identifier: GPL-2.0
/*
 * Failed allocations and faulting addresses, in every ioctl of the device and in the other
 * operations of its files.
 */
#include <poll.h>
#include <sys/epoll.h>
#include "fault_inject.h"

/* Opening and SETUP. */

static int open_device(struct state *s)
{
	s->fd = open(MINIRING_DEVICE, O_RDWR | O_CLOEXEC);
	return s->fd < 0 ? -errno : 0;
}

static void close_device(struct state *s)
{
	close(s->fd);
	s->fd = -1;
}

TEST_F(fault, open_survives_faults)
{
	FAIL_EACH(&self->state, (&(struct call){ .make = open_device, .undo = close_device }));
	EXPECT_LT(0, self->state.count.nomem);
}

static int ioctl_on(int fd, unsigned long cmd, void *arg)
{
	return ioctl(fd, cmd, arg) ? -errno : 0;
}

static int setup(struct state *s)
{
	struct miniring_setup setup = {
		.entries = ENTRIES,
		.notify_model = s->model,
		.params = (unsigned long)&s->p,
	};

	memset(&s->p, 0, sizeof(s->p));
	s->p.flags = s->setup_flags;
	return ioctl_on(s->fd, MINIRING_IOC_SETUP, &setup);
}

static const char *became_a_ring(struct state *s)
{
	struct miniring_enter enter = {};

	if (s->p.sq_entries || s->p.features)
		return "the parameters were written";
	if (ioctl_on(s->fd, MINIRING_IOC_ENTER, &enter) != -EBADFD)
		return "the file is a ring";
	return NULL;
}

static void set_up_anew(struct state *s)
{
	close(s->fd);
	open_device(s);
}

static const struct call setup_call = {
	.make = setup, .changed = became_a_ring, .undo = set_up_anew,
};

static void fail_setup(struct __test_metadata *_metadata, struct state *s, unsigned int model,
		       unsigned int flags)
{
	s->model = model;
	s->setup_flags = flags;
	ASSERT_EQ(0, open_device(s));
	FAIL_EACH(s, &setup_call);
	EXPECT_LT(0, s->count.nomem);
	/* The ioctl's structure, the parameters there and back. */
	EXPECT_EQ(3, s->count.fault);
}

TEST_F(fault, setup_rcu_survives_faults)
{
	fail_setup(_metadata, &self->state, MINIRING_NOTIFY_RCU, 0);
}

TEST_F(fault, setup_spinlock_survives_faults)
{
	fail_setup(_metadata, &self->state, MINIRING_NOTIFY_SPINLOCK, 0);
}

TEST_F(fault, setup_quiesce_survives_faults)
{
	fail_setup(_metadata, &self->state, MINIRING_NOTIFY_QUIESCE, 0);
}

TEST_F(fault, setup_single_issuer_survives_faults)
{
	fail_setup(_metadata, &self->state, MINIRING_NOTIFY_RCU, IORING_SETUP_SINGLE_ISSUER);
}

TEST_F(fault, setup_no_sqarray_survives_faults)
{
	fail_setup(_metadata, &self->state, MINIRING_NOTIFY_RCU, IORING_SETUP_NO_SQARRAY);
}

/* Memory of a ring. */

static int map_rings(struct state *s)
{
	s->map = mmap(NULL, uring_map_len(&s->ring.p), PROT_READ | PROT_WRITE, MAP_SHARED,
		      s->ring.fd, IORING_OFF_SQ_RING);
	return s->map == MAP_FAILED ? -errno : 0;
}

static void unmap_rings(struct state *s)
{
	munmap(s->map, uring_map_len(&s->ring.p));
}

static int map_sqes(struct state *s)
{
	s->map = mmap(NULL, s->ring.sqes_len, PROT_READ | PROT_WRITE, MAP_SHARED, s->ring.fd,
		      IORING_OFF_SQES);
	return s->map == MAP_FAILED ? -errno : 0;
}

static void unmap_sqes(struct state *s)
{
	munmap(s->map, s->ring.sqes_len);
}

TEST_F(fault, mmap_survives_faults)
{
	ASSERT_EQ(0, uring_open(&self->state.ring, ENTRIES));
	FAIL_EACH(&self->state, (&(struct call){ .make = map_rings, .undo = unmap_rings }));
	FAIL_EACH(&self->state, (&(struct call){ .make = map_sqes, .undo = unmap_sqes }));
	EXPECT_LT(0, self->state.count.nomem);
}

/* ENTER. */

/* By a structure: uring.h may pass the value. */
static int enter(struct state *s, unsigned int to_submit)
{
	struct miniring_enter enter = { .to_submit = to_submit };
	int ret = ioctl(s->ring.fd, MINIRING_IOC_ENTER, &enter);

	return ret < 0 ? -errno : ret;
}

static const char *sq_moved(struct state *s)
{
	return uring_load(s->ring.sq.head) != s->head ? "entries were consumed" : NULL;
}

/* Reaps the completions, which come in the order of submission. */
static const char *take_completions(struct state *s)
{
	const struct io_uring_cqe *cqe;

	while ((cqe = uring_peek(&s->ring))) {
		if (cqe->user_data != s->seen || cqe->res)
			return "a completion is missing";
		s->seen++;
		uring_advance(&s->ring, 1);
	}
	return NULL;
}

/* One NOP, in a ring of a CQ with room. */
static int submit(struct state *s)
{
	s->head = uring_load(s->ring.sq.head);
	if (s->ring.sq.filled == s->head)
		uring_nop(&s->ring, s->head);
	uring_publish(&s->ring);
	return enter(s, 1);
}

static const char *completed_one(struct state *s, int ret)
{
	unsigned long long before = s->seen;
	const char *what = take_completions(s);

	if (ret != 1)
		return "did not submit one entry";
	return what ?: s->seen != before + 1 ? "did not complete" : NULL;
}

TEST_F(fault, enter_survives_faults)
{
	ASSERT_EQ(0, uring_open(&self->state.ring, ENTRIES));
	FAIL_EACH(&self->state, (&(struct call){
		.make = submit, .changed = sq_moved, .wrong = completed_one,
	}));
	EXPECT_EQ(1, self->state.count.fault);
}

/* A request that completes later, and a request linked to it. */
static int submit_chain(struct state *s)
{
	struct io_uring_sqe *sqe;

	s->head = uring_load(s->ring.sq.head);
	if (s->ring.sq.filled == s->head) {
		sqe = uring_get_sqe(&s->ring);
		sqe->opcode = IORING_OP_TIMEOUT;
		sqe->addr = 1000;
		sqe->len = 1;
		sqe->timeout_flags = IORING_TIMEOUT_IMMEDIATE_ARG |
			IORING_TIMEOUT_ETIME_SUCCESS;
		sqe->flags = IOSQE_IO_LINK;
		uring_nop(&s->ring, 1);
	}
	return enter(s, uring_publish(&s->ring));
}

/* Without memory for the second request, each of the two is a separate chain. */
static const char *completed_chain(struct state *s, int ret)
{
	unsigned int seen = 0;

	if (ret == 1 && uring_submit(&s->ring) != 1)
		return "did not submit the rest";
	if (ret != 1 && ret != 2)
		return "did not submit";
	for (int i = 0; i < 2; i++) {
		struct io_uring_cqe *cqe;

		for (int ms = 0; ms < HANG_MS && !uring_ready(&s->ring); ms++)
			usleep(1000);
		cqe = uring_peek(&s->ring);
		if (!cqe || cqe->user_data > 1 || cqe->res != (cqe->user_data ? 0 : -ETIME))
			return "a completion is missing";
		seen |= 1U << cqe->user_data;
		uring_advance(&s->ring, 1);
	}
	return seen != 3 || uring_ready(&s->ring) ? "a completion is wrong" : NULL;
}

TEST_F_TIMEOUT(fault, chain_survives_faults, 240)
{
	ASSERT_EQ(0, uring_open(&self->state.ring, ENTRIES));
	FAIL_EACH(&self->state, (&(struct call){
		.make = submit_chain, .changed = sq_moved, .wrong = completed_chain,
		.fallback = -EAGAIN,
	}));
	EXPECT_LT(0, self->state.count.fallback);
}

/* As many NOPs as the SQ has room for. */
static void fill_sq(struct state *s)
{
	while (uring_nop(&s->ring, s->ring.sq.filled))
		;
	uring_publish(&s->ring);
	s->head = uring_load(s->ring.sq.head);
}

static int submit_all(struct state *s)
{
	fill_sq(s);
	return enter(s, ENTRIES);
}

static int short_submit_all(struct state *s)
{
	int ret;

	fill_sq(s);
	ret = ioctl(s->ring.fd, MINIRING_IOC_SUBMIT, MINIRING_SUBMIT(ENTRIES, 0));
	return ret < 0 ? -errno : ret;
}

/*
 * Entries that were not consumed stay. Consumed entries complete, in order,
 * with the next calls.
 */
static const char *lost_none(struct state *s, int ret)
{
	const char *what;

	if (!ret || s->head + ret != uring_load(s->ring.sq.head))
		return "the number of consumed entries is wrong";
	do {
		what = take_completions(s);
		if (what)
			return what;
		if (uring_enter(&s->ring, 0, 0, IORING_ENTER_GETEVENTS))
			return "waiting failed";
	} while (uring_ready(&s->ring));
	if (s->seen != uring_load(s->ring.sq.head))
		return "a completion was lost";
	/* With a full CQ the next call needs memory for each completion. */
	while (uring_ready(&s->ring) < s->ring.p.cq_entries)
		if (submit_all(s) <= 0)
			return "cannot fill the CQ";
	/* Less than a whole batch: after a batch the memory is prepared at once. */
	fill_sq(s);
	if (enter(s, 16) != 16)
		return "cannot overflow the CQ";
	return NULL;
}

TEST_F_TIMEOUT(fault, enter_with_a_full_cq_survives_faults, 240)
{
	struct state *s = &self->state;
	static const struct call call = {
		.make = submit_all, .changed = sq_moved, .wrong = lost_none, .fallback = -EAGAIN,
	};

	ASSERT_EQ(0, uring_open(&s->ring, ENTRIES));
	ASSERT_EQ(ENTRIES, submit_all(s));
	ASSERT_EQ(NULL, lost_none(s, ENTRIES));
	FAIL_EACH(s, &call);
	/* A stock with one entry fewer does not stop the submission. */
	EXPECT_EQ(1, self->state.count.fault);
	EXPECT_LT(0, self->state.count.tolerated);
	EXPECT_EQ(0, self->state.count.nomem);
}

TEST_F_TIMEOUT(fault, short_submit_with_a_full_cq_survives_faults, 240)
{
	struct state *s = &self->state;
	static const struct call call = {
		.make = short_submit_all, .changed = sq_moved, .wrong = lost_none,
		.fallback = -EAGAIN,
	};

	ASSERT_EQ(0, uring_open(&s->ring, ENTRIES));
	ASSERT_EQ(ENTRIES, submit_all(s));
	ASSERT_EQ(NULL, lost_none(s, ENTRIES));
	FAIL_EACH(s, &call);
	EXPECT_EQ(0, self->state.count.fault);
	EXPECT_LT(0, self->state.count.tolerated);
	EXPECT_EQ(0, self->state.count.nomem);
}

/* Everything that a wait reads from the user. */
static int wait_call(struct state *s, unsigned int to_submit)
{
	unsigned long mask = 0;
	struct __kernel_timespec ts = { .tv_nsec = 1000 };
	struct io_uring_getevents_arg arg = {
		.ts = (unsigned long)&ts,
		.sigmask = (unsigned long)&mask,
		.sigmask_sz = sizeof(mask),
	};
	int ret = uring_enter_arg(&s->ring, to_submit, 4 * ENTRIES, IORING_ENTER_GETEVENTS |
				  IORING_ENTER_EXT_ARG, &arg, sizeof(arg));

	return ret == -ETIME ? 0 : ret;
}

static int wait_only(struct state *s)
{
	return wait_call(s, 0);
}

static int submit_and_wait(struct state *s)
{
	s->head = uring_load(s->ring.sq.head);
	if (s->ring.sq.filled == s->head)
		uring_nop(&s->ring, s->head);
	uring_publish(&s->ring);
	return wait_call(s, 1);
}

TEST_F(fault, wait_survives_faults)
{
	ASSERT_EQ(0, uring_open(&self->state.ring, ENTRIES));
	FAIL_EACH(&self->state, (&(struct call){ .make = wait_only }));
	/* The ioctl's structure, the argument, the time and the mask. */
	EXPECT_EQ(4, self->state.count.fault);
}

TEST_F(fault, submit_and_wait_survives_faults)
{
	ASSERT_EQ(0, uring_open(&self->state.ring, ENTRIES));
	FAIL_EACH(&self->state, (&(struct call){
		.make = submit_and_wait, .changed = sq_moved, .wrong = completed_one,
	}));
	/* A submission comes before a later error. */
	EXPECT_EQ(1, self->state.count.fault);
	EXPECT_EQ(3, self->state.count.tolerated);
}

/* REGISTER. */

static int register_eventfd(struct state *s)
{
	return uring_register(&s->ring, IORING_REGISTER_EVENTFD, &s->eventfd, 1);
}

static int register_eventfd_short(struct state *s)
{
	return uring_register_eventfd(&s->ring, s->eventfd);
}

static int register_eventfd_async(struct state *s)
{
	return uring_register(&s->ring, IORING_REGISTER_EVENTFD_ASYNC, &s->eventfd, 1);
}

static int unregister_eventfd(struct state *s)
{
	return uring_register(&s->ring, IORING_UNREGISTER_EVENTFD, NULL, 0);
}

static const char *is_registered(struct state *s)
{
	return unregister_eventfd(s) != -ENXIO ? "an eventfd is registered" : NULL;
}

static const char *is_unregistered(struct state *s)
{
	return register_eventfd(s) != -EBUSY ? "no eventfd is registered" : NULL;
}

static void take_back_register(struct state *s)
{
	unregister_eventfd(s);
}

static void take_back_unregister(struct state *s)
{
	register_eventfd(s);
}

/* An eventfd that is registered is signalled. */
static const char *is_silent(struct state *s, int ret)
{
	unsigned long long count;

	if (ret)
		return "returned a number";
	if (submit(s) != 1)
		return "submitting failed";
	uring_reap(&s->ring);
	return read(s->eventfd, &count, sizeof(count)) < 0 ? "there was no signal" : NULL;
}

static const char *is_signalled(struct state *s, int ret)
{
	return is_silent(s, ret) ? NULL : "there was a signal";
}

static const struct call register_call = {
	.make = register_eventfd, .changed = is_registered, .wrong = is_silent,
	.undo = take_back_register,
};

static const struct call register_short_call = {
	.make = register_eventfd_short, .changed = is_registered, .wrong = is_silent,
	.undo = take_back_register,
};

static const struct call register_async_call = {
	.make = register_eventfd_async, .changed = is_registered, .wrong = is_signalled,
	.undo = take_back_register,
};

static const struct call unregister_call = {
	.make = unregister_eventfd, .changed = is_unregistered, .wrong = is_signalled,
	.undo = take_back_unregister,
};

static void fail_register(struct __test_metadata *_metadata, struct state *s, unsigned int model)
{
	int nomem;

	s->ring.model = model;
	ASSERT_EQ(0, uring_open(&s->ring, ENTRIES));
	FAIL_EACH(s, &register_call);
	EXPECT_LT(0, s->count.nomem);
	/* The ioctl's structure, and the number of the eventfd. */
	EXPECT_EQ(2, s->count.fault);
	nomem = s->count.nomem;
	FAIL_EACH(s, &register_short_call);
	/* The same allocations, without a structure. */
	EXPECT_EQ(2 * nomem, s->count.nomem);
	EXPECT_EQ(2, s->count.fault);
	FAIL_EACH(s, &register_async_call);
	EXPECT_EQ(4, s->count.fault);
	ASSERT_EQ(0, register_eventfd(s));
	FAIL_EACH(s, &unregister_call);
	EXPECT_EQ(5, s->count.fault);
}

TEST_F(fault, register_rcu_survives_faults)
{
	fail_register(_metadata, &self->state, MINIRING_NOTIFY_RCU);
}

TEST_F(fault, register_spinlock_survives_faults)
{
	fail_register(_metadata, &self->state, MINIRING_NOTIFY_SPINLOCK);
}

TEST_F(fault, register_quiesce_survives_faults)
{
	fail_register(_metadata, &self->state, MINIRING_NOTIFY_QUIESCE);
}

static int enable(struct state *s)
{
	return uring_register(&s->ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

static const char *is_enabled(struct state *s)
{
	return uring_enter(&s->ring, 0, 0, 0) != -EBADFD ? "the ring is enabled" : NULL;
}

static const char *is_disabled(struct state *s, int ret)
{
	return ret || uring_enter(&s->ring, 0, 0, 0) ? "the ring is not enabled" : NULL;
}

static void disabled_ring(struct state *s)
{
	if (s->ring.map)
		uring_close(&s->ring);
	s->ring = (struct uring){
		.p.flags = IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER,
	};
	if (uring_open(&s->ring, ENTRIES))
		s->ring.map = NULL;
}

TEST_F(fault, enable_rings_survives_faults)
{
	disabled_ring(&self->state);
	ASSERT_NE(NULL, self->state.ring.map);
	FAIL_EACH(&self->state, (&(struct call){
		.make = enable, .changed = is_enabled, .wrong = is_disabled, .undo = disabled_ring,
	}));
	EXPECT_EQ(1, self->state.count.fault);
}

static int unknown_opcode(struct state *s)
{
	int ret = uring_register(&s->ring, IORING_REGISTER_LAST, NULL, 0);

	return ret == -EINVAL ? 0 : ret;
}

TEST_F(fault, unknown_opcode_survives_faults)
{
	ASSERT_EQ(0, uring_open(&self->state.ring, ENTRIES));
	FAIL_EACH(&self->state, (&(struct call){ .make = unknown_opcode }));
	EXPECT_EQ(1, self->state.count.fault);
}

/* Other operations of a ring's file. */

static int poll_ring(struct state *s)
{
	struct pollfd fd = { .fd = s->ring.fd, .events = POLLOUT };
	int ret = poll(&fd, 1, 0);

	return ret < 0 ? -errno : ret;
}

static int epoll_add(struct state *s)
{
	struct epoll_event event = { .events = EPOLLIN };

	return epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->ring.fd, &event) ? -errno : 0;
}

static void epoll_del(struct state *s)
{
	epoll_ctl(s->epoll, EPOLL_CTL_DEL, s->ring.fd, NULL);
}

TEST_F(fault, poll_survives_faults)
{
	struct state *s = &self->state;

	ASSERT_EQ(0, uring_open(&s->ring, ENTRIES));
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_LE(0, s->epoll);
	FAIL_EACH(&self->state, (&(struct call){ .make = poll_ring }));
	FAIL_EACH(&self->state, (&(struct call){ .make = epoll_add, .undo = epoll_del }));
	EXPECT_LT(0, self->state.count.points);
}

int main(int argc, char **argv)
{
	return fault_main(argc, argv);
}
