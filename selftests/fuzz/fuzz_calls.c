// SPDX-License-Identifier: GPL-2.0
/* Operations that are calls: SETUP, ENTER, REGISTER and polling. */
#include <limits.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include "fuzz_ops.h"

/* SETUP. */

static const unsigned int supported = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP |
	IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN |
	IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_NO_SQARRAY | IORING_SETUP_SQPOLL;

/* Few rings quiesce, because each change of a registration waits for a grace period there. */
static unsigned int notify_model(unsigned int gene)
{
	switch (gene % 32) {
	case 0:
		return number(gene / 32);
	case 1:
		return MINIRING_NOTIFY_QUIESCE;
	default:
		return gene % 2 ? MINIRING_NOTIFY_RCU : MINIRING_NOTIFY_SPINLOCK;
	}
}

void do_setup(struct worker *w, const struct op *op)
{
	struct slot *s = slot_of(w, op);
	unsigned int a = op->gene[0], b = op->gene[1], c = op->gene[2];
	struct io_uring_params p = {
		.flags = a & supported,
		.cq_entries = entries(b >> 8),
		.sq_thread_idle = 1 + b % 4,
	};
	struct miniring_setup setup = {
		.entries = entries(b),
		.notify_model = notify_model(c),
	};
	unsigned long where;
	int ret;

	if (a % 3)
		p.flags &= ~(IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED);
	/* Few rings have a thread, which costs more than a ring. */
	if (b / 4 % 16)
		p.flags &= ~IORING_SETUP_SQPOLL;
	if (a / 3 % 32 == 0)
		p.flags |= 1U << c % 32;
	if (a / 3 % 64 == 1)
		p.resv[c % 3] = number(c);
	if (slot_fd(s) < 0 || c / 64 % 8)
		slot_set(w, s, CALL(w, open(MINIRING_DEVICE, O_RDWR | O_CLOEXEC)));
	where = place(w, c >> 8, &p, sizeof(p));
	setup.params = where;
	if (op->fail)
		arm(w, op->fail);
	ret = result(CALL(w, ioctl(slot_fd(s), MINIRING_IOC_SETUP,
				   c % 128 ? (void *)&setup : (void *)where)));
	expect(w, "SETUP", ret, ALLOWED(EINVAL, EFAULT, EBUSY, ENOMEM));
	if (w->faulty)
		arm(w, 0);
	if (ret)
		return;
	if (where == (unsigned long)w->arena + PAGE)
		memcpy(&s->p, (void *)where, sizeof(p));
	else
		memset(&s->p, 0, sizeof(s->p));
	if (c / 512 % 8)
		do_map(w, op);
}

static const int allowed_of_register[] = {
	EINVAL, EBADFD, EEXIST, EBUSY, ENXIO, EFAULT, EBADF, ENOMEM, EINTR, 0,
};

static const int allowed_of_buffers[] = {
	EINVAL, EBADFD, EEXIST, EBUSY, ENXIO, EFAULT, ENOMEM, EOVERFLOW, EOPNOTSUPP, 0,
};

/* ENTER. */

/* A ring is closed after this number of entries, to free what its requests keep. */
#define SUBMITTED_MAX 50000

/* The task that made the ring may have ended, and another task submits. */
static const int allowed_of_enter[] = {
	EINVAL, EBADFD, EEXIST, EAGAIN, EINTR, ETIME, EFAULT, EOWNERDEAD, 0,
};

static long enter(struct worker *w, struct slot *s, const struct miniring_enter *enter)
{
	/* The library would truncate it to an int. */
	long ret = CALL(w, syscall(SYS_ioctl, slot_fd(s), MINIRING_IOC_ENTER, enter));

	expect(w, "ENTER", ret < 0 ? -errno : 0, allowed_of_enter);
	if (ret > 0) {
		/* A ring with SQPOLL returns any number, if it fits an int. */
		if (ret > enter->to_submit ||
		    (ret > 32768 && ret != enter->to_submit && ret != INT_MAX))
			expect(w, "ENTER consumed too much", -ERANGE, ALLOWED(EINVAL));
		s->submitted += ret;
		if (s->submitted > SUBMITTED_MAX)
			slot_set(w, s, -1);
	}
	return ret;
}

void do_submit(struct worker *w, const struct op *op)
{
	struct miniring_enter args = {
		.to_submit = op->gene[0] % 8 ? op->gene[0] / 8 % 12 : number(op->gene[0] / 8),
		.flags = op->gene[1] % 4 ? 0 : IORING_ENTER_GETEVENTS,
	};
	struct slot *s = slot_of(w, op);

	if (s->p.flags & IORING_SETUP_SQPOLL)
		args.flags |= op->gene[2] % 8 ? IORING_ENTER_SQ_WAKEUP : IORING_ENTER_SQ_WAIT;
	enter(w, s, &args);
}

/*
 * The signals for long calls and for unwritable frames must be deliverable: such a signal ends the
 * process if the thread blocks it.
 */
static unsigned long signal_mask(unsigned int gene)
{
	return (gene * 0x9e3779b97f4a7c15UL) &
	       ~(1UL << (SIGUSR1 - 1) | 1UL << (SIGSEGV - 1) | 1UL << (SIGBUS - 1));
}

/* Calls ENTER by value, and at times a seek, which a ring refuses. */
void do_short_submit(struct worker *w, const struct op *op)
{
	unsigned int to_submit = number(op->gene[0]);
	unsigned int min_complete = op->gene[1] % 4 ? 0 : number(op->gene[1] / 4);
	int fd = slot_fd(slot_of(w, op));
	long ret;

	if (op->gene[2] % 8 == 0) {
		ret = CALL(w, lseek(fd, MINIRING_SUBMIT(to_submit, min_complete),
				    op->gene[2] / 8 % 6));
		expect(w, "seeking", ret < 0 ? -errno : -ERANGE, ALLOWED(ESPIPE, EINVAL));
		return;
	}
	ret = CALL(w, ioctl(fd, MINIRING_IOC_SUBMIT, MINIRING_SUBMIT(to_submit, min_complete)));
	expect(w, "SUBMIT", ret < 0 ? -errno : 0,
	       ALLOWED(EBADFD, EEXIST, EAGAIN, EINTR, EOWNERDEAD));
	if (ret > to_submit)
		expect(w, "SUBMIT consumed too much", -ERANGE, ALLOWED(EINVAL));
}

/* Makes the cheapest calls, several times. */
void do_burst(struct worker *w, const struct op *op)
{
	struct miniring_enter args = { .to_submit = op->gene[0] % 6 };
	struct op next = *op;
	long ret;

	for (unsigned int i = 1 + op->gene[2] % 16; i; i--, next.gene[1]++) {
		do_prepare(w, &next);
		if (op->fail)
			arm(w, op->fail);
		ret = enter(w, slot_of(w, op), &args);
		if (w->faulty)
			arm(w, 0);
		if (ret < 0)
			break;
		do_reap(w, &next);
	}
}

void do_wait(struct worker *w, const struct op *op)
{
	unsigned int a = op->gene[0], b = op->gene[1], c = op->gene[2];
	struct __kernel_timespec ts = {
		.tv_nsec = a % 8 ? a / 8 % 50000 : (int)number(a / 8) * 1000LL,
		.tv_sec = b % 64 ? 0 : (int)number(b / 64) * (b / 128 % 2 ? 1LL : 1LL << 33),
	};
	unsigned long mask = signal_mask(c);
	struct io_uring_getevents_arg arg = {
		.ts = b % 32 == 1 ? place(w, c, &ts, sizeof(ts)) : (unsigned long)&ts,
		.sigmask_sz = 8,
	};
	struct miniring_enter args = {
		.to_submit = b % 8 ? 0 : number(b / 8),
		.min_complete = a % 16 ? 1 + a / 16 % 4 : number(a / 16),
		.flags = IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG,
		.argsz = sizeof(arg),
	};

	if (b / 64 % 4 == 0)
		arg.sigmask = (unsigned long)&mask;
	if (c % 64 == 0)
		arg.min_wait_usec = number(c / 64);
	if (c % 64 == 1)
		arg.sigmask_sz = number(c / 64);
	if (c % 32 == 2)
		args.flags |= IORING_ENTER_ABS_TIMER;
	if (c % 64 == 3)
		arg.ts = 0;
	args.arg = c / 32 % 16 ? (unsigned long)&arg : place(w, c / 512, &arg, sizeof(arg));
	enter(w, slot_of(w, op), &args);
}

void do_enter_oddly(struct worker *w, const struct op *op)
{
	unsigned int a = op->gene[0], b = op->gene[1], c = op->gene[2];
	unsigned long mask = signal_mask(c);
	struct miniring_enter args = {
		.to_submit = number(a),
		.min_complete = number(b),
		.flags = a / 64 % 4 ? a / 256 % 2 : number(a / 256),
		.resv = c % 32 ? 0 : number(c / 32),
		/* Not from the memory of a ring, which might block the signals of the fuzzer. */
		.arg = b / 64 % 2 && c / 4 % 64 != 7 ? place(w, c / 4, &mask, sizeof(mask)) : 0,
		.argsz = b / 128 % 4 ? 8 : number(b / 512),
	};
	struct slot *s = slot_of(w, op);
	unsigned long where;

	if (c % 128) {
		enter(w, s, &args);
		return;
	}
	where = place(w, b, &args, sizeof(args));
	expect(w, "ENTER", result(CALL(w, ioctl(slot_fd(s), MINIRING_IOC_ENTER, where))),
	       allowed_of_enter);
}

/* REGISTER and the eventfds. */

static void register_(struct worker *w, struct slot *s, unsigned int opcode, unsigned long arg,
		      unsigned int nr_args)
{
	struct miniring_register reg = { .opcode = opcode, .nr_args = nr_args, .arg = arg };
	bool buffers = opcode == IORING_REGISTER_BUFFERS ||
		       opcode == IORING_REGISTER_CLONE_BUFFERS;

	expect(w, "REGISTER", result(CALL(w, ioctl(slot_fd(s), MINIRING_IOC_REGISTER, &reg))),
	       buffers ? allowed_of_buffers : allowed_of_register);
}

static void register_value(struct worker *w, struct slot *s, unsigned int opcode, int value)
{
	long ret = CALL(w, ioctl(slot_fd(s), MINIRING_IOC_EVENTFD,
			   MINIRING_REGISTER(opcode, value)));

	expect(w, "REGISTER by value", ret < 0 ? -errno : 0, allowed_of_register);
}

void do_register(struct worker *w, const struct op *op)
{
	static const unsigned int opcodes[] = {
		IORING_REGISTER_EVENTFD, IORING_REGISTER_EVENTFD, IORING_REGISTER_EVENTFD,
		IORING_REGISTER_EVENTFD, IORING_REGISTER_EVENTFD_ASYNC, IORING_UNREGISTER_EVENTFD,
		IORING_UNREGISTER_EVENTFD, IORING_UNREGISTER_EVENTFD,
	};
	unsigned int a = op->gene[0], opcode = opcodes[a / 32 % ARRAY_LEN(opcodes)];
	struct slot *s = slot_of(w, op);
	int fd = w->eventfds[op->gene[1] % EVENTFDS];

	if (a % 32 == 0)
		fd = op->gene[1] % 64 ? slot_fd(s) : (int)number(op->gene[2]);
	if (a / 256 % 2 == 0)
		register_value(w, s, opcode, opcode == IORING_UNREGISTER_EVENTFD ? 0 : fd);
	else if (opcode == IORING_UNREGISTER_EVENTFD)
		register_(w, s, opcode, 0, 0);
	else
		register_(w, s, opcode, (unsigned long)&fd, 1);
}

void do_register_oddly(struct worker *w, const struct op *op)
{
	unsigned int a = op->gene[0], b = op->gene[1];
	int fd = w->eventfds[b % EVENTFDS];
	static const unsigned int likely[] = {
		IORING_REGISTER_EVENTFD, IORING_REGISTER_EVENTFD_ASYNC,
		IORING_UNREGISTER_EVENTFD, IORING_REGISTER_ENABLE_RINGS,
	};
	unsigned int opcode = a % 4 ? likely[a / 4 % ARRAY_LEN(likely)] : number(a / 4);

	register_(w, slot_of(w, op), opcode, b / 4 % 4 ? place(w, b / 16, &fd, sizeof(fd)) : 0,
		  op->gene[2] % 4 ? op->gene[2] / 4 % 2 : number(op->gene[2] / 4));
}

/* Registers buffers: new buffers, or those of another ring. */
void do_buffers(struct worker *w, const struct op *op)
{
	struct io_uring_clone_buffers clone = {
		.src_fd = slot_fd(slot_of(w, &(struct op){ .slot = op->gene[1] % 256 })),
		.flags = op->gene[1] / 256 % 4 ? IORING_REGISTER_DST_REPLACE : number(op->gene[1]),
		.src_off = op->gene[2] % 8 ? 0 : number(op->gene[2] / 8),
		.dst_off = op->gene[2] / 64 % 8 ? 0 : number(op->gene[2] / 512),
		.nr = op->gene[2] / 16 % 8 ? op->gene[2] / 8 % VECTORS : number(op->gene[2] / 128),
	};
	struct miniring_register reg = {};
	unsigned int a = op->gene[0];

	switch (a % 8) {
	case 0 ... 3:
		reg.opcode = IORING_REGISTER_BUFFERS;
		/* The first buffer is empty, and takes a slot. */
		reg.arg = a / 8 % 16 ? (unsigned long)w->vectors :
				       place(w, a / 128, w->vectors,
					     VECTORS * sizeof(w->vectors[0]));
		reg.nr_args = a / 4096 % 8 ? 1 + a / 8 % VECTORS : number(a / 4096);
		break;
	case 4:
		reg.opcode = IORING_UNREGISTER_BUFFERS;
		break;
	default:
		reg.opcode = IORING_REGISTER_CLONE_BUFFERS;
		reg.arg = a / 8 % 16 ? (unsigned long)&clone :
				       place(w, a / 128, &clone, sizeof(clone));
		reg.nr_args = 1;
	}
	expect(w, "BUFFERS", result(CALL(w, ioctl(slot_fd(slot_of(w, op)), MINIRING_IOC_REGISTER,
						  &reg))), allowed_of_buffers);
}

void do_enable(struct worker *w, const struct op *op)
{
	register_(w, slot_of(w, op), IORING_REGISTER_ENABLE_RINGS, 0, 0);
}

void do_eventfd(struct worker *w, const struct op *op)
{
	int *fd = &w->eventfds[op->gene[1] % EVENTFDS];
	unsigned long long value = op->gene[2] % 8 ? 1 : -2ULL - op->gene[2] / 8 % 3;

	switch (op->gene[0] % 8) {
	case 0 ... 3:
		CALL(w, read(*fd, &value, sizeof(value)));
		break;
	case 4 ... 6:
		CALL(w, write(*fd, &value, sizeof(value)));
		break;
	default:
		if (op->gene[0] / 8 % 8)
			break;
		CALL(w, close(*fd));
		*fd = CALL(w, eventfd(0, EFD_CLOEXEC | (op->gene[2] % 16 ? EFD_NONBLOCK : 0) |
				      (op->gene[2] / 16 % 8 ? 0 : EFD_SEMAPHORE)));
	}
}

/* Polling. */

void do_poll(struct worker *w, const struct op *op)
{
	struct pollfd fds[] = {
		{ .fd = slot_fd(slot_of(w, op)), .events = op->gene[0] },
		{ .fd = w->eventfds[op->gene[1] % EVENTFDS], .events = POLLIN },
		{ .fd = w->epoll, .events = POLLIN },
	};

	CALL(w, poll(fds, 1 + op->gene[2] % 3, op->gene[2] / 4 % 64 ? 0 : 1));
}

void do_epoll(struct worker *w, const struct op *op)
{
	unsigned int a = op->gene[0];
	struct epoll_event event = {
		.events = op->gene[1] % 4 ? EPOLLIN | (op->gene[1] & EPOLLET) : op->gene[1],
	};
	int fd = a / 8 % 4 ? slot_fd(slot_of(w, op)) : w->eventfds[op->gene[2] % EVENTFDS];

	switch (a % 8) {
	case 0 ... 2:
		CALL(w, epoll_ctl(w->epoll, EPOLL_CTL_ADD, fd, &event));
		break;
	case 3:
		CALL(w, epoll_ctl(w->epoll, EPOLL_CTL_MOD, fd, &event));
		break;
	case 4:
		CALL(w, epoll_ctl(w->epoll, EPOLL_CTL_DEL, fd, NULL));
		break;
	default:
		CALL(w, epoll_wait(w->epoll, &event, 1, op->gene[2] % 64 ? 0 : 1));
	}
}
