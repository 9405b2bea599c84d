// SPDX-License-Identifier: GPL-2.0
/* Runs a program of the differential fuzzer, and writes its transcript. */
#include <sys/eventfd.h>
#include <sys/uio.h>
#include "differ.h"
#include "ring_ops.h"
#include "ring_base.h"

#define EXPIRE_MS 400

struct state {
	unsigned int tail, backlog;
};

struct run {
	const struct program *program;
	const struct transcript *guide;
	struct transcript *out;
	struct patience patience;
	unsigned int step;
	struct uring ring;
	unsigned int seen;		/* tail up to which completions are written down */
	int in[FILES], out_fd[FILES];
	unsigned int timers;		/* short timeouts without a completion so far */
	bool is_timer[MAX_REQUESTS];
	bool reads_much[MAX_REQUESTS];
	unsigned char written;		/* makes every byte that is written another */
	char buffers[MAX_REQUESTS][8];
	struct iovec vectors[MAX_REQUESTS];
};

static const struct __kernel_timespec forever = { .tv_sec = 1000 };
static const struct __kernel_timespec soon = { .tv_nsec = 3000000 };
static const struct __kernel_timespec later = { .tv_nsec = 15000000 };

static char much[1 << 20];

static struct entry *add(struct run *run, enum entry_kind kind)
{
	struct transcript *out = run->out;
	/* Entries without room overwrite the last entry. */
	struct entry *entry = &out->entries[out->nr < MAX_ENTRIES ? out->nr++ : MAX_ENTRIES - 1];

	*entry = (struct entry){ .kind = kind, .step = run->step };
	return entry;
}

/* Returns the number of completions that wait for room in the CQ. */
static unsigned int backlog(struct uring *ring)
{
	char path[64], line[256];
	unsigned int nr = 0;
	bool counted = false;
	FILE *file;

	if (!(uring_load(ring->sq.flags) & IORING_SQ_CQ_OVERFLOW))
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", ring->fd);
	file = fopen(path, "r");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file)) {
		if (counted)
			nr += !!strstr(line, "user_data=");
		counted |= !strncmp(line, "CqOverflowList:", 15);
	}
	fclose(file);
	return nr;
}

static struct state state_of(struct uring *ring)
{
	return (struct state){ uring_load(ring->cq.tail), backlog(ring) };
}

static bool same(struct state one, struct state other)
{
	return one.tail == other.tail && one.backlog == other.backlog;
}

static void pause_us(unsigned int us)
{
	struct timespec ts = { .tv_nsec = us * 1000L };

	while (nanosleep(&ts, &ts) && errno == EINTR)
		;
}

/* Reads the state at the end of this step from the guide. */
static bool guided(struct run *run, struct state *state)
{
	for (unsigned int i = 0; run->guide && i < run->guide->nr; i++) {
		const struct entry *entry = &run->guide->entries[i];

		if (entry->kind == ENTRY_STATE && entry->step == run->step) {
			*state = (struct state){ entry->res, entry->data };
			return true;
		}
	}
	return false;
}

static void note_completions(struct run *run)
{
	struct uring *ring = &run->ring;

	for (; run->seen != uring_load(ring->cq.tail); run->seen++) {
		struct io_uring_cqe *cqe = &ring->cq.cqes[run->seen & (ring->p.cq_entries - 1)];
		struct entry *entry = add(run, ENTRY_CQE);

		if (cqe->user_data < MAX_REQUESTS && run->is_timer[cqe->user_data]) {
			run->is_timer[cqe->user_data] = false;
			run->timers--;
		}
		entry->user_data = cqe->user_data;
		entry->res = cqe->res;
		entry->flags = cqe->flags;
		/* A preempted read is short, so its length is not compared. */
		if (cqe->user_data < MAX_REQUESTS && run->reads_much[cqe->user_data]) {
			entry->res = cqe->res > 0 ? 1 : cqe->res;
			continue;
		}
		if (cqe->user_data < MAX_REQUESTS && cqe->res > 0)
			for (int i = 0; i < 8; i++)
				entry->data = entry->data * 31 + run->buffers[cqe->user_data][i];
	}
}

/*
 * Waits until the step has settled. The guide has the number of its completions. Without a
 * guide, a step of io_uring without workers and timers has settled when the call returns.
 */
static void settle(struct run *run)
{
	long long end = now_ms() + run->patience.guide_ms;
	unsigned int quiet_us, calm = 0;
	struct state state, last, wanted;

	if (guided(run, &wanted)) {
		while (!same(state_of(&run->ring), wanted) && now_ms() < end)
			pause_us(100);
	}
	note_completions(run);
	quiet_us = run->patience.quiet_us + (run->timers ? run->patience.timer_us : 0);
	for (last = state_of(&run->ring); quiet_us && calm < 4; last = state) {
		pause_us(quiet_us / 4);
		state = state_of(&run->ring);
		calm = same(state, last) ? calm + 1 : 0;
	}
	note_completions(run);
}

static void note_state(struct run *run)
{
	struct entry *entry = add(run, ENTRY_STATE);
	struct state state = state_of(&run->ring);

	entry->res = state.tail;
	entry->data = state.backlog;
	entry->flags = uring_load(run->ring.sq.flags) & IORING_SQ_CQ_OVERFLOW;
	entry->user_data = (unsigned long long)uring_load(run->ring.cq.overflow) << 32 |
			   uring_load(run->ring.sq.dropped);
}

static int file_of(struct run *run, const struct op *op)
{
	bool out = op->kind == OP_WRITE || (op->kind == OP_POLL && op->events & POLLOUT);

	return op->file == NO_FILE ? -1 : out ? run->out_fd[op->file] : run->in[op->file];
}

static unsigned long time_of(const struct op *op)
{
	return (unsigned long)(!op->events ? &forever : op->events == 1 ? &soon : &later);
}

static void fill_transfer(struct run *run, const struct op *op, struct io_uring_sqe *sqe)
{
	char *buffer = run->buffers[op->user_data];
	struct iovec *vector = &run->vectors[op->user_data];
	bool write = op->kind == OP_WRITE;

	sqe->opcode = write ? IORING_OP_WRITE : IORING_OP_READ;
	sqe->fd = file_of(run, op);
	sqe->addr = (unsigned long)buffer;
	sqe->len = op->len;
	run->reads_much[op->user_data] = op->how == READ_MUCH;
	if (op->how == READ_MUCH) {
		sqe->addr = (unsigned long)much;
		sqe->len = sizeof(much);
	}
	if (op->how == BY_VECTOR) {
		sqe->opcode = write ? IORING_OP_WRITEV : IORING_OP_READV;
		*vector = (struct iovec){ buffer, op->len };
		sqe->addr = (unsigned long)vector;
		sqe->len = 1;
	}
	if (write)
		memset(buffer, ++run->written, sizeof(run->buffers[0]));
}

/*
 * Notes a short timeout, which expires in this step, or in the step in which
 * its chain issues it.
 */
static void note_timer(struct run *run, const struct op *op)
{
	run->is_timer[op->user_data] = op->events == 1;
	run->timers += op->events == 1;
}

static void fill_sqe(struct run *run, const struct op *op, struct io_uring_sqe *sqe)
{
	sqe->flags = op->flags;
	sqe->user_data = op->user_data;
	sqe->fd = file_of(run, op);
	switch (op->kind) {
	case OP_NOP:
		sqe->opcode = IORING_OP_NOP;
		sqe->nop_flags = op->how | (op->res ? IORING_NOP_INJECT_RESULT : 0);
		sqe->len = op->res;
		break;
	case OP_POLL:
		sqe->opcode = IORING_OP_POLL_ADD;
		sqe->poll32_events = op->events;
		sqe->len = op->how;
		break;
	case OP_POLL_REMOVE:
		sqe->opcode = IORING_OP_POLL_REMOVE;
		sqe->addr = op->target;
		sqe->len = op->how;
		if (op->how & IORING_POLL_UPDATE_EVENTS)
			sqe->poll32_events = op->events;
		if (op->how & IORING_POLL_UPDATE_USER_DATA)
			sqe->off = OF_UPDATE + op->user_data;
		break;
	case OP_CANCEL:
		sqe->opcode = IORING_OP_ASYNC_CANCEL;
		sqe->addr = op->target;
		sqe->cancel_flags = op->how;
		sqe->len = op->len;
		break;
	case OP_TIMEOUT:
		sqe->opcode = IORING_OP_TIMEOUT;
		sqe->addr = time_of(op);
		sqe->len = 1;
		sqe->off = op->len;
		sqe->timeout_flags = op->how;
		note_timer(run, op);
		break;
	case OP_TIMEOUT_REMOVE:
		sqe->opcode = IORING_OP_TIMEOUT_REMOVE;
		sqe->addr = op->target;
		sqe->timeout_flags = op->how;
		if (op->how)
			sqe->addr2 = time_of(op);
		break;
	case OP_READ:
	case OP_WRITE:
		fill_transfer(run, op, sqe);
		break;
	case OP_MESSAGE:
		sqe->opcode = IORING_OP_MSG_RING;
		sqe->fd = run->ring.fd;
		sqe->len = op->res;
		sqe->off = OF_MESSAGE + op->user_data;
		sqe->msg_ring_flags = op->how;
		break;
	case OP_BAD:
		sqe->opcode = 200;
		break;
	}
}

/* Calls ENTER to wait for @min completions, at most @ms. */
static int enter(struct run *run, unsigned int submit, unsigned int min, unsigned int ms,
		 bool min_wait)
{
	struct __kernel_timespec ts = { .tv_nsec = ms * 1000000L };
	struct io_uring_getevents_arg arg = {
		.ts = (unsigned long)&ts,
		.min_wait_usec = min_wait ? 1000 : 0,
	};
	int ret;

	ret = uring_enter_arg(&run->ring, submit, min,
			      IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, sizeof(arg));
	add(run, ENTRY_ENTER)->res = ret;
	return ret;
}

static void submit(struct run *run, const struct step *step)
{
	struct uring *ring = &run->ring;
	unsigned int left;

	for (int i = 0; i < step->nr; i++) {
		struct io_uring_sqe *sqe = uring_get_sqe(ring);

		if (sqe)
			fill_sqe(run, &step->ops[i], sqe);
	}
	left = uring_publish(ring);
	if (step->kind == STEP_SUBMIT && step->arg)
		enter(run, left, step->arg, 10, step->min_wait);
	/* An invalid SQE ends a submission. The next call takes the SQEs behind it. */
	for (int tries = 0; tries <= MAX_OPS && (left = uring_publish(ring)); tries++)
		add(run, ENTRY_ENTER)->res = uring_enter(ring, left, 0, 0);
}

static void read_all(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char bytes[8];

	while (poll(&pfd, 1, 0) == 1 && pfd.revents & POLLIN &&
	       read(fd, bytes, sizeof(bytes)) > 0)
		;
}

static void write_some(struct run *run, const struct step *step)
{
	unsigned long long one = 1;
	char bytes[8];

	memset(bytes, ++run->written, sizeof(bytes));
	if (step->file == EVENTFD)
		memcpy(bytes, &one, sizeof(one));
	add(run, ENTRY_ENTER)->res = write(run->out_fd[step->file], bytes,
					   step->file == EVENTFD ? 8 : step->arg);
}

/* Waits for more completions than come. Only a timeout ends the wait before EXPIRE_MS. */
static void expire(struct run *run, const struct step *step)
{
	long long start;

	submit(run, step);
	start = now_ms();
	enter(run, 0, uring_ready(&run->ring) + 10, EXPIRE_MS, step->min_wait);
	add(run, ENTRY_EXPIRE)->res = now_ms() - start < EXPIRE_MS / 2;
}

static void run_step(struct run *run, const struct step *step)
{
	struct uring *ring = &run->ring;
	unsigned int ready = uring_ready(ring);

	switch (step->kind) {
	case STEP_SUBMIT:
		submit(run, step);
		break;
	case STEP_WAIT:
		enter(run, 0, ready + step->arg, 3, step->min_wait);
		break;
	case STEP_WRITE:
		write_some(run, step);
		break;
	case STEP_READ:
		read_all(run->in[step->file]);
		break;
	case STEP_REAP:
		uring_advance(ring, step->arg < ready ? step->arg : ready);
		break;
	case STEP_EXPIRE:
		expire(run, step);
		break;
	}
	settle(run);
	note_state(run);
}

static bool open_files(struct run *run)
{
	int *in = run->in, *out = run->out_fd;

	for (int i = 0; i < PIPES; i++) {
		int fds[2];

		if (pipe2(fds, O_CLOEXEC | (i == PIPE_NONBLOCK ? O_NONBLOCK : 0)))
			return false;
		in[i] = fds[0];
		out[i] = fds[1];
	}
	in[EVENTFD] = eventfd(0, EFD_CLOEXEC);
	in[ZERO] = open("/dev/zero", O_RDWR | O_CLOEXEC);
	in[MEMFD] = memfd_create("differ", MFD_CLOEXEC);
	in[NO_FILE] = -1;
	for (int i = PIPES; i < FILES; i++)
		out[i] = in[i];
	return in[EVENTFD] >= 0 && in[ZERO] >= 0 && in[MEMFD] >= 0;
}

static void close_files(struct run *run)
{
	for (int i = 0; i < NO_FILE; i++) {
		close(run->in[i]);
		if (i < PIPES)
			close(run->out_fd[i]);
	}
}

void program_run(const struct program *program, enum uring_backend backend,
		 const struct transcript *guide, struct patience patience,
		 struct transcript *transcript)
{
	static struct run run;
	struct io_uring_params *p = &run.ring.p;

	memset(&run, 0, sizeof(run));
	memset(transcript, 0, sizeof(*transcript));
	run.program = program;
	run.guide = guide;
	run.out = transcript;
	run.patience = patience;
	p->flags = program->setup_flags | IORING_SETUP_CQSIZE;
	p->cq_entries = program->cq_entries;
	if (!open_files(&run)) {
		transcript->error = -errno;
		return;
	}
	transcript->error = uring_open_on(backend, &run.ring, program->sq_entries);
	for (run.step = 0; !transcript->error && run.step < program->nr; run.step++)
		run_step(&run, &program->steps[run.step]);
	if (!transcript->error)
		uring_close(&run.ring);
	close_files(&run);
}
