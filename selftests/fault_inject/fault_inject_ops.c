// SPDX-License-Identifier: GPL-2.0
/*
 * Failed allocations and faulting addresses, in requests and in REGISTER of buffers. The rules of
 * faults.h apply to the result of a request as to that of a call.
 */
#include <sched.h>
#include <sys/uio.h>
#include "fault_inject.h"
#include "file_in_parts.h"
#include "ring_ops.h"

#define LEN 512

/* A request, whose completion has the user_data OURS. */
struct request {
	void (*prepare)(struct state *s);
	int result;
	bool reads;	/* from the pipe */
};

enum { OURS = 7, PENDING };

static const struct request *request;
static struct uring other;	/* which messages go to, or buffers come from */
static char data[LEN], back[LEN];
static struct iovec iov;
static int pipe_fds[2];		/* of a pipe that honours NOWAIT: not with a worker */

/* Reaps the completion of OURS, if it comes in time. Nothing fails here. */
static int take_ours(struct state *s)
{
	long long end = now_ms() + HANG_MS;

	do {
		struct io_uring_cqe *cqe = uring_peek(&s->ring);
		unsigned long long user_data;
		int res;

		if (!cqe) {
			sched_yield();
			continue;
		}
		user_data = cqe->user_data;
		res = cqe->res;
		uring_advance(&s->ring, 1);
		if (user_data == OURS)
			return res;
	} while (now_ms() < end);
	return -ETIME;
}

/* Submits the request, or SQEs left by an earlier call, and waits for it. */
static int submit_one(struct state *s)
{
	struct miniring_enter enter = { .to_submit = 1 };

	s->head = uring_load(s->ring.sq.head);
	if (s->ring.sq.filled == s->head)
		request->prepare(s);
	uring_publish(&s->ring);
	if (ioctl(s->ring.fd, MINIRING_IOC_ENTER, &enter) < 0)
		return -errno;
	return take_ours(s);
}

static const char *wrong_result(struct state *s, int ret)
{
	if (uring_ready(&s->ring))
		return "there is one more completion";
	return ret == request->result ? NULL : "the result is wrong";
}

/* Writes the data to read, unless the pipe has data: not while a fault is due. */
static void fill_pipe(void)
{
	struct pollfd pfd = { .fd = pipe_fds[0], .events = POLLIN };
	char text[LEN];

	memset(text, 'x', LEN);
	if (!poll(&pfd, 1, 0) && write(pipe_fds[1], text, LEN) != LEN)
		close(pipe_fds[1]);
}

static void fail_request(struct __test_metadata *_metadata, struct state *s,
			 const struct request *r, const char *(*wrong)(struct state *s, int ret))
{
	request = r;
	memset(data, 'x', sizeof(data));
	ASSERT_EQ(0, pipe(pipe_fds));
	if (r->reads)
		fill_pipe();
	ASSERT_EQ(0, uring_open(&s->ring, 8));
	iov = (struct iovec){ data, LEN };
	ASSERT_EQ(0, uring_register(&s->ring, IORING_REGISTER_BUFFERS, &iov, 1));
	/* Without memory for the first SQE, nothing is consumed. */
	FAIL_EACH(s, (&(struct call){
		.make = submit_one, .wrong = wrong, .fallback = -EAGAIN,
	}));
	EXPECT_LT(0, s->count.fault);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

static void prepare_read(struct state *s)
{
	prep_rw(&s->ring, IORING_OP_READ, pipe_fds[0], back, LEN, 0, OURS);
}

static const char *wrong_read(struct state *s, int ret)
{
	const char *wrong = wrong_result(s, ret) ?: memcmp(data, back, LEN) ?
		"something else was read" : NULL;

	memset(back, 0, LEN);
	fill_pipe();
	return wrong;
}

TEST_F(fault, read_survives_faults)
{
	fail_request(_metadata, &self->state, &(struct request){ prepare_read, LEN, true },
		     wrong_read);
	/* The ioctl's structure, and the data. */
	EXPECT_EQ(2, self->state.count.fault);
}

static void prepare_write(struct state *s)
{
	prep_rw(&s->ring, IORING_OP_WRITE, pipe_fds[1], data, LEN, 0, OURS);
}

static const char *wrong_write(struct state *s, int ret)
{
	const char *wrong = wrong_result(s, ret);

	struct pollfd pfd = { .fd = pipe_fds[0], .events = POLLIN };

	if (wrong)
		return wrong;
	memset(back, 0, LEN);
	if (read(pipe_fds[0], back, LEN) != LEN || memcmp(data, back, LEN))
		return "something else was written";
	return poll(&pfd, 1, 0) ? "too much was written" : NULL;
}

TEST_F(fault, write_survives_faults)
{
	fail_request(_metadata, &self->state, &(struct request){ prepare_write, LEN, false },
		     wrong_write);
	EXPECT_EQ(2, self->state.count.fault);
}

static void prepare_readv(struct state *s)
{
	static struct iovec parts[2] = { { back, 100 }, { back + 100, LEN - 100 } };

	prep_rw(&s->ring, IORING_OP_READV, pipe_fds[0], parts, 2, 0, OURS);
}

TEST_F(fault, readv_survives_faults)
{
	fail_request(_metadata, &self->state, &(struct request){ prepare_readv, LEN, true },
		     wrong_read);
	EXPECT_LE(2, self->state.count.fault);
}

static void prepare_writev(struct state *s)
{
	/* More vectors than the request has room for. */
	static struct iovec parts[64];

	for (int i = 0; i < 64; i++)
		parts[i] = (struct iovec){ data + i * (LEN / 64), LEN / 64 };
	prep_rw(&s->ring, IORING_OP_WRITEV, pipe_fds[1], parts, 64, 0, OURS);
}

TEST_F(fault, writev_survives_faults)
{
	fail_request(_metadata, &self->state, &(struct request){ prepare_writev, LEN, false },
		     wrong_write);
	EXPECT_LT(0, self->state.count.nomem);
}

static void prepare_read_fixed(struct state *s)
{
	prep_rw(&s->ring, IORING_OP_READ_FIXED, pipe_fds[0], data, LEN, 0, OURS);
}

static const char *wrong_read_fixed(struct state *s, int ret)
{
	const char *wrong = wrong_result(s, ret) ?:
		data[0] != 'x' || memcmp(data, data + 1, LEN - 1) ?
		"something else was read" : NULL;

	memset(data, 0, LEN);
	fill_pipe();
	return wrong;
}

TEST_F(fault, read_fixed_survives_faults)
{
	fail_request(_metadata, &self->state, &(struct request){ prepare_read_fixed, LEN, true },
		     wrong_read_fixed);
}

static void prepare_write_fixed(struct state *s)
{
	prep_rw(&s->ring, IORING_OP_WRITE_FIXED, pipe_fds[1], data, LEN, 0, OURS);
}

TEST_F(fault, write_fixed_survives_faults)
{
	fail_request(_metadata, &self->state, &(struct request){ prepare_write_fixed, LEN, false },
		     wrong_write);
}

/* The part transferred at once is the result if the rest cannot be waited for. */

static unsigned int parts;

static void prepare_in_parts(struct state *s)
{
	prep_rw(&s->ring, IORING_OP_READ, s->fd, back, LEN, -1, OURS);
}

static const char *has_moved(struct state *s)
{
	return lseek(s->fd, 0, SEEK_CUR) ? "the file is elsewhere" : NULL;
}

static const char *wrong_in_parts(struct state *s, int ret)
{
	const char *wrong = NULL;

	if (uring_ready(&s->ring))
		wrong = "there is one more completion";
	else if (ret != LEN && ret != IN_PARTS_AT_ONCE)
		wrong = "the result is wrong";
	else if (memcmp(data, back, ret))
		wrong = "something else was read";
	else if (lseek(s->fd, 0, SEEK_CUR) != ret)
		wrong = "the file is elsewhere";
	parts += ret == IN_PARTS_AT_ONCE;
	memset(back, 0, LEN);
	lseek(s->fd, 0, SEEK_SET);
	return wrong;
}

TEST_F(fault, in_parts_survives_faults)
{
	static const struct request read = { prepare_in_parts, LEN, false };
	struct state *s = &self->state;

	request = &read;
	for (int i = 0; i < LEN; i++)
		data[i] = i * 7 + i / 256;
	s->fd = open_in_parts();
	ASSERT_LE(0, s->fd);
	ASSERT_EQ(LEN, pwrite(s->fd, data, LEN, 0));
	ASSERT_EQ(0, uring_open(&s->ring, 8));
	FAIL_EACH(s, (&(struct call){
		.make = submit_one, .changed = has_moved, .wrong = wrong_in_parts,
		.fallback = -EAGAIN,
	}));
	EXPECT_LT(0, parts);
	EXPECT_EQ(0, close_in_parts(s->fd));
	s->fd = -1;
}

static void prepare_poll(struct state *s)
{
	prep_poll(&s->ring, s->eventfd, POLLOUT, 0, OURS);
}

TEST_F(fault, poll_add_survives_faults)
{
	fail_request(_metadata, &self->state, &(struct request){ prepare_poll, POLLOUT, false },
		     wrong_result);
}

/* A request that waits. Its rest after a failure is removed first. */
static void prepare_cancel(struct state *s)
{
	prep_undo(&s->ring, IORING_OP_ASYNC_CANCEL, PENDING, OURS);
}

/* The two completions come in any order. */
static const char *wrong_cancel(struct state *s, int ret)
{
	uring_reap(&s->ring);
	if (ret)
		return "the result is wrong";
	poll_in(&s->ring, s->eventfd, PENDING);
	return uring_submit(&s->ring) != 1 || uring_ready(&s->ring) ? "does not wait" : NULL;
}

TEST_F(fault, async_cancel_survives_faults)
{
	struct state *s = &self->state;
	static const struct request cancel = { prepare_cancel, 0, false };

	request = &cancel;
	ASSERT_EQ(0, uring_open(&s->ring, 8));
	ASSERT_EQ(NULL, wrong_cancel(s, 0));
	FAIL_EACH(s, (&(struct call){
		.make = submit_one, .wrong = wrong_cancel, .fallback = -EAGAIN,
	}));
	EXPECT_EQ(1, s->count.fault);
}

static void prepare_message(struct state *s)
{
	prep(&s->ring, IORING_OP_MSG_RING, other.fd, OURS)->off = 3;
}

static const char *was_sent(struct state *s)
{
	(void)s;
	return uring_ready(&other) ? "a message came" : NULL;
}

static const char *wrong_message(struct state *s, int ret)
{
	struct io_uring_cqe *cqe = uring_peek(&other);

	if (!cqe || cqe->user_data != 3)
		return "no message came";
	return uring_reap(&other) != 1 ? "a message too many" : wrong_result(s, ret);
}

static void fail_message(struct __test_metadata *_metadata, struct state *s)
{
	static const struct request message = { prepare_message, 0, false };

	request = &message;
	ASSERT_EQ(0, uring_open(&s->ring, 8));
	other = (struct uring){};
	ASSERT_EQ(0, uring_open(&other, 8));
	FAIL_EACH(s, (&(struct call){
		.make = submit_one, .changed = was_sent, .wrong = wrong_message,
		.fallback = -EAGAIN,
	}));
	EXPECT_EQ(1, s->count.fault);
	uring_close(&other);
}

TEST_F(fault, message_survives_faults)
{
	fail_message(_metadata, &self->state);
}

/* The thread of SQPOLL. */

static int set_up_polled(struct state *s)
{
	struct miniring_setup setup = { .entries = 8, .params = (unsigned long)&s->p };

	s->p = (struct io_uring_params){ .flags = IORING_SETUP_SQPOLL };
	return ioctl(s->fd, MINIRING_IOC_SETUP, &setup) ? -errno : 0;
}

static const char *became_a_ring(struct state *s)
{
	struct miniring_enter enter = {};

	if (ioctl(s->fd, MINIRING_IOC_ENTER, &enter) != -1 || errno != EBADFD)
		return "the file is a ring";
	return NULL;
}

static void set_up_anew(struct state *s)
{
	close(s->fd);
	s->fd = open(MINIRING_DEVICE, O_RDWR | O_CLOEXEC);
}

TEST_F(fault, setup_sqpoll_survives_faults)
{
	static const struct call polled = {
		.make = set_up_polled, .changed = became_a_ring, .undo = set_up_anew,
	};
	struct state *s = &self->state;
	unsigned int before;

	s->fd = open(MINIRING_DEVICE, O_RDWR | O_CLOEXEC);
	ASSERT_LE(0, s->fd);
	FAIL_EACH(s, (&polled));
	EXPECT_LT(0, s->count.nomem);
	/*
	 * The number of allocations of a new thread varies, so a copy behind the allocations
	 * may fail twice, or never. So the test runs once more without failing allocations that
	 * may sleep.
	 */
	before = s->count.fault;
	put(DEBUGFS "failslab/ignore-gfp-wait", "Y");
	FAIL_EACH(s, (&polled));
	put(DEBUGFS "failslab/ignore-gfp-wait", "N");
	EXPECT_EQ(before + 3, s->count.fault);
}

/* Buffers. */

#define BUFFERS 3

static int register_buffers(struct state *s)
{
	struct iovec iovs[BUFFERS];

	for (int i = 0; i < BUFFERS; i++)
		iovs[i] = (struct iovec){ s->map, (i + 1) * getpagesize() };
	return uring_register(&s->ring, IORING_REGISTER_BUFFERS, iovs, BUFFERS);
}

static int unregister_buffers(struct state *s)
{
	return uring_register(&s->ring, IORING_UNREGISTER_BUFFERS, NULL, 0);
}

static const char *are_registered(struct state *s)
{
	return unregister_buffers(s) != -ENXIO ? "buffers are registered" : NULL;
}

static const char *are_unregistered(struct state *s)
{
	return register_buffers(s) != -EBUSY ? "no buffers are registered" : NULL;
}

static const char *wrong_table(struct state *s, int ret)
{
	return ret ? "returned a number" : are_unregistered(s);
}

static const char *wrong_no_table(struct state *s, int ret)
{
	return ret ? "returned a number" : are_registered(s);
}

static void take_back(struct state *s)
{
	unregister_buffers(s);
}

static void give_back(struct state *s)
{
	register_buffers(s);
}

static void open_with_memory(struct __test_metadata *_metadata, struct state *s)
{
	ASSERT_EQ(0, uring_open(&s->ring, 8));
	s->map = mmap(NULL, BUFFERS * getpagesize(), PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	ASSERT_NE(MAP_FAILED, s->map);
}

TEST_F(fault, register_buffers_survives_faults)
{
	struct state *s = &self->state;

	open_with_memory(_metadata, s);
	FAIL_EACH(s, (&(struct call){
		.make = register_buffers, .changed = are_registered, .wrong = wrong_table,
		.undo = take_back,
	}));
	EXPECT_LE(BUFFERS, s->count.nomem);
	/* The ioctl's structure, and what each buffer is. */
	EXPECT_EQ(1 + BUFFERS, s->count.fault);
}

TEST_F(fault, unregister_buffers_survives_faults)
{
	struct state *s = &self->state;

	open_with_memory(_metadata, s);
	ASSERT_EQ(0, register_buffers(s));
	FAIL_EACH(s, (&(struct call){
		.make = unregister_buffers, .changed = are_unregistered, .wrong = wrong_no_table,
		.undo = give_back,
	}));
	EXPECT_EQ(1, s->count.fault);
}

static int clone_buffers(struct state *s)
{
	struct io_uring_clone_buffers arg = { .src_fd = other.fd };

	return uring_register(&s->ring, IORING_REGISTER_CLONE_BUFFERS, &arg, 1);
}

TEST_F(fault, clone_buffers_survives_faults)
{
	struct state *s = &self->state;
	struct uring ring;

	open_with_memory(_metadata, s);
	ASSERT_EQ(0, register_buffers(s));
	other = s->ring;
	ring = (struct uring){};
	ASSERT_EQ(0, uring_open(&ring, 8));
	s->ring = ring;
	FAIL_EACH(s, (&(struct call){
		.make = clone_buffers, .changed = are_registered, .wrong = wrong_table,
		.undo = take_back,
	}));
	/* The table can use another kind of memory. */
	EXPECT_LT(0, s->count.nomem + s->count.tolerated);
	/* The ioctl's structure, and the argument. */
	EXPECT_EQ(2, s->count.fault);
	uring_close(&other);
}

#define PROBED 64

static struct {
	struct io_uring_probe probe;
	struct io_uring_probe_op ops[PROBED];
} probed;

static int probe(struct state *s)
{
	memset(&probed, 0, sizeof(probed));
	return uring_register(&s->ring, IORING_REGISTER_PROBE, &probed, PROBED);
}

static const char *wrong_probe(struct state *s, int ret)
{
	(void)s;
	return ret || !probed.probe.last_op || !probed.ops[IORING_OP_NOP].flags ?
		"says nothing" : NULL;
}

TEST_F(fault, probe_survives_faults)
{
	ASSERT_EQ(0, uring_open(&self->state.ring, 8));
	FAIL_EACH(&self->state, (&(struct call){ .make = probe, .wrong = wrong_probe }));
	/* The ioctl's structure, the fields that must be zero, and the answer. */
	EXPECT_EQ(3, self->state.count.fault);
}

int main(int argc, char **argv)
{
	return fault_main(argc, argv);
}
