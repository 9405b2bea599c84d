// SPDX-License-Identifier: GPL-2.0
/*
 * The operations that programs are made of, and what they work on: a thread's
 * own files and those that all threads share. Each result is compared with what
 * the interface allows.
 */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include "fuzz.h"

#define PAGE 4096UL

/* After so many entries a ring is closed, for what it may have kept of them. */
#define SUBMITTED_MAX 50000

/* How often the parent is interrupted before its child has to end. */
#define CHILD_TICKS 25

static const unsigned int supported = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP |
	IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN |
	IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_NO_SQARRAY;

__thread struct worker *self;

/* Counts a call and lets it be seen that it begins. */
static void begin(struct worker *w)
{
	w->calls++;
	__atomic_fetch_add(&w->beat, 1, __ATOMIC_RELAXED);
}

#define CALL(w, call) (begin(w), (call))

/* A number that is often small, or near where something ends. */
static unsigned int number(unsigned int gene)
{
	unsigned int rest = gene >> 4;

	switch (gene & 15) {
	case 0 ... 9:
		return rest % 17;
	case 10:
		return 1U << rest % 32;
	case 11:
		return (1U << rest % 32) - 1;
	case 12:
		return -(rest % 17);
	case 13:
		return 0x80000000 - rest % 3;
	case 14:
		return rest % 300;
	default:
		return rest * 0x9e3779b1;
	}
}

/* How many entries to ask for: large rings cost too much to have many of them. */
static unsigned int entries(unsigned int gene)
{
	if (gene % 1024)
		return gene / 1024 % 65;
	return number(gene / 1024);
}

/* Where @size bytes with the value of @obj are, or should not be. */
static unsigned long place(struct worker *w, unsigned int gene, const void *obj, size_t size)
{
	char *none = w->arena + 2 * PAGE, *place;

	switch (gene % 64) {
	case 0:
		return 0;
	case 1:
		return (unsigned long)none;
	case 2:
		return (unsigned long)none - size / 2;
	case 3:
		return 0x800000000000;
	case 4:
		return 0xffff888000000000;
	case 5:
		return -8UL;
	case 6:
		return (unsigned long)w->arena;
	case 7:
		return (unsigned long)w->slots[gene / 64 % LOCAL_SLOTS].window[gene % REGIONS];
	case 8:
		place = none - size;
		break;
	default:
		place = w->arena + PAGE;
	}
	memcpy(place, obj, size);
	return (unsigned long)place;
}

static struct slot *slot_of(struct worker *w, const struct op *op)
{
	unsigned int slot = op->slot % (LOCAL_SLOTS + SHARED_SLOTS);

	return slot < LOCAL_SLOTS ? &w->slots[slot] : &w->shared[slot - LOCAL_SLOTS];
}

static int slot_fd(const struct slot *s)
{
	return __atomic_load_n(&s->fd, __ATOMIC_RELAXED);
}

static void slot_set(struct worker *w, struct slot *s, int fd)
{
	fd = __atomic_exchange_n(&s->fd, fd, __ATOMIC_RELAXED);
	s->submitted = 0;
	if (fd >= 0)
		CALL(w, close(fd));
}

#define ALLOWED(...) ((const int[]){ __VA_ARGS__, 0 })

/* Complains of a result that is an error, other than those that are @allowed. */
static void expect(struct worker *w, const char *what, int ret, const int *allowed)
{
	if (ret >= 0)
		return;
	/* Another thread may have closed the file, or put another in its place. */
	if (ret == -EBADF || ret == -ENOTTY)
		return;
	if (w->program->ops[w->pc].fail && (ret == -ENOMEM || ret == -EFAULT))
		return;
	for (; *allowed; allowed++)
		if (ret == -*allowed)
			return;
	if (w->unexpected++ < 10) {
		printf("# %s: unexpected %s (%d)\n", what, strerror(-ret), ret);
		op_print(&w->program->ops[w->pc]);
	}
}

static int result(long ret)
{
	return ret < 0 ? -errno : ret;
}

/* Has the @nth allocation or user copy of what this thread does next fail; 0 for none. */
static void arm(struct worker *w, unsigned int nth)
{
	char text[12];

	if (w->fail_nth < 0)
		return;
	snprintf(text, sizeof(text), "%u", nth);
	/* Set from before to after: the delivery of a signal may be what fails. */
	w->armed = true;
	w->faulty = true;
	CALL(w, pwrite(w->fail_nth, text, strlen(text), 0));
	w->armed = nth;
	w->faulty = nth;
}

/* Files. */

static void do_open(struct worker *w, const struct op *op)
{
	static const int flags[] = {
		O_RDWR, O_RDWR, O_RDWR | O_NONBLOCK, O_RDONLY, O_WRONLY, O_PATH,
	};
	int fd = CALL(w, open(MINIRING_DEVICE, O_CLOEXEC | flags[op->gene[0] % ARRAY_LEN(flags)]));

	if (fd >= 0)
		slot_set(w, slot_of(w, op), fd);
}

static void do_close(struct worker *w, const struct op *op)
{
	slot_set(w, slot_of(w, op), -1);
}

static void do_dup(struct worker *w, const struct op *op)
{
	struct slot *from = slot_of(w, op);
	struct slot *to = slot_of(w, &(struct op){ .slot = op->gene[0] % 256 });
	int fd = CALL(w, dup(slot_fd(from)));

	if (fd < 0)
		return;
	to->p = from->p;
	slot_set(w, to, fd);
}

/* By way of a socket, where a file may be when the last descriptor of it goes. */
static void do_pass(struct worker *w, const struct op *op)
{
	struct slot *s = slot_of(w, op);
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = {};
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);
	int fd = slot_fd(s);

	if (op->gene[0] % 2) {
		cmsg->cmsg_level = SOL_SOCKET;
		cmsg->cmsg_type = SCM_RIGHTS;
		cmsg->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(cmsg), &fd, sizeof(fd));
		if (CALL(w, sendmsg(w->sockets[0], &msg, MSG_DONTWAIT)) == 1 &&
		    op->gene[1] % 4 == 0)
			slot_set(w, s, -1);
		return;
	}
	if (CALL(w, recvmsg(w->sockets[1], &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC)) != 1)
		return;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (cmsg && cmsg->cmsg_type == SCM_RIGHTS) {
		memcpy(&fd, CMSG_DATA(cmsg), sizeof(fd));
		slot_set(w, s, fd);
	}
}

/* What the device does not have, or leaves to others. */
static void do_other(struct worker *w, const struct op *op)
{
	struct slot *s = slot_of(w, op);
	int fd = slot_fd(s);

	switch (op->gene[0] % 8) {
	case 0:
		CALL(w, read(fd, w->arena + PAGE, 64));
		break;
	case 1:
		CALL(w, write(fd, w->arena + PAGE, 64));
		break;
	case 2:
		CALL(w, lseek(fd, op->gene[1], SEEK_SET));
		break;
	case 3:
		CALL(w, fsync(fd));
		break;
	case 4:
		CALL(w, fcntl(fd, F_SETFL, op->gene[1] % 2 ? O_NONBLOCK | O_ASYNC : 0));
		break;
	case 5:
		CALL(w, ioctl(fd, number(op->gene[1]), op->gene[2]));
		break;
	case 6:
		CALL(w, ioctl(fd, _IOWR(MINIRING_IOC_MAGIC, op->gene[1] % 8, char[24]), w->arena));
		break;
	default:
		CALL(w, madvise(s->window[op->gene[1] % REGIONS], PAGE,
				op->gene[2] % 2 ? MADV_DONTNEED : MADV_DONTFORK));
	}
}

/* SETUP and the memory of a ring. */

/* Few quiesce: each change of a registration waits for a grace period there. */
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

static size_t region_len(const struct slot *s, int region)
{
	size_t len = region == REGION_SQES ? s->p.sq_entries * sizeof(struct io_uring_sqe) :
					     uring_map_len(&s->p);

	return len && len <= WINDOW ? len : PAGE;
}

/* Whatever is in the window of a region goes, and nothing can come. */
static bool reserve(struct slot *s, int region)
{
	char *window = s->window[region];

	s->mapped &= ~(1U << region);
	return mmap(window, WINDOW, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED |
		    MAP_NORESERVE, -1, 0) == window;
}

static void map(struct worker *w, struct slot *s, int region, size_t len, int prot, int flags)
{
	static const unsigned long long offsets[] = {
		IORING_OFF_SQ_RING, IORING_OFF_CQ_RING, IORING_OFF_SQES,
	};
	void *p = CALL(w, mmap(s->window[region], len, prot, flags | MAP_FIXED, slot_fd(s),
			       offsets[region]));

	if (p == MAP_FAILED) {
		expect(w, "mmap", -errno, ALLOWED(EINVAL, EBADFD, EPERM, EACCES, ENOMEM, EAGAIN));
		reserve(s, region);
		return;
	}
	s->mapped |= 1U << region;
}

/* As a program would do it, so that the rest has something to work with. */
static void do_map(struct worker *w, const struct op *op)
{
	struct slot *s = slot_of(w, op);

	map(w, s, REGION_SQ, region_len(s, REGION_SQ), PROT_READ | PROT_WRITE, MAP_SHARED);
	map(w, s, REGION_SQES, region_len(s, REGION_SQES), PROT_READ | PROT_WRITE, MAP_SHARED);
}

static void do_setup(struct worker *w, const struct op *op)
{
	struct slot *s = slot_of(w, op);
	unsigned int a = op->gene[0], b = op->gene[1], c = op->gene[2];
	struct io_uring_params p = {
		.flags = a & supported,
		.cq_entries = entries(b >> 8),
	};
	struct miniring_setup setup = {
		.entries = entries(b),
		.notify_model = notify_model(c),
	};
	unsigned long where;
	int ret;

	if (a % 3)
		p.flags &= ~(IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED);
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

static void do_map_oddly(struct worker *w, const struct op *op)
{
	struct slot *s = slot_of(w, op);
	unsigned int a = op->gene[0], b = op->gene[1];
	int region = a % REGIONS;
	size_t len = region_len(s, region);
	int prot = PROT_READ | PROT_WRITE, flags = MAP_SHARED;

	if (b % 4 == 0)
		len = (1 + number(b / 4) % (WINDOW / PAGE)) * PAGE;
	if (a / 4 % 8 == 0)
		prot = a / 32 % 8;
	if (a / 256 % 8 == 0)
		flags = MAP_PRIVATE;
	if (a / 2048 % 16 == 0)
		flags |= MAP_POPULATE;
	if (b / 256 % 8 == 0) {
		void *p = CALL(w, mmap(s->window[region], len, prot, flags | MAP_FIXED, slot_fd(s),
				       (unsigned long long)op->gene[2] << 12));

		if (p == MAP_FAILED)
			reserve(s, region);
		return;
	}
	map(w, s, region, len, prot, flags);
	if (b / 2048 % 4 == 0)
		CALL(w, mprotect(s->window[region], PAGE, b / 8192 % 8));
}

static void do_unmap(struct worker *w, const struct op *op)
{
	struct slot *s = slot_of(w, op);
	int region = op->gene[0] % REGIONS;

	w->calls++;
	reserve(s, region);
}

/*
 * Has @write write to a ring, which may go away meanwhile. No fault may be due: if
 * the signal for a stray write cannot be delivered, the process ends.
 */
static void poke(struct worker *w, const struct op *op,
		 void (*write)(struct slot *s, const struct op *op))
{
	if (!(slot_of(w, op)->mapped & (1U << REGION_SQ)))
		return;
	if (!sigsetjmp(w->jump, 0)) {
		__atomic_store_n(&w->may_fault, true, __ATOMIC_SEQ_CST);
		write(slot_of(w, op), op);
	}
	__atomic_store_n(&w->may_fault, false, __ATOMIC_SEQ_CST);
}

static unsigned int *word(struct slot *s, unsigned int offset)
{
	return (unsigned int *)(s->window[REGION_SQ] + offset % WINDOW / 4 * 4);
}

/* A request that may wait, for whatever file that number is, or about one that does. */
static void fill_waiting(struct io_uring_sqe *sqe, struct rng *rng)
{
	static const unsigned char opcodes[] = {
		IORING_OP_POLL_ADD, IORING_OP_POLL_ADD, IORING_OP_POLL_REMOVE,
		IORING_OP_TIMEOUT, IORING_OP_TIMEOUT, IORING_OP_TIMEOUT_REMOVE,
		IORING_OP_ASYNC_CANCEL, IORING_OP_MSG_RING, IORING_OP_NOP,
	};
	static const struct __kernel_timespec soon = { .tv_nsec = 100000 };
	unsigned char opcode = opcodes[rng_below(rng, sizeof(opcodes))];

	*sqe = (struct io_uring_sqe){
		.opcode = opcode,
		.fd = rng_below(rng, REQUEST_FDS),
		.user_data = rng_below(rng, 8),
	};
	if (!rng_below(rng, 3))
		sqe->flags = 1U << rng_below(rng, 8);
	switch (opcode) {
	case IORING_OP_POLL_ADD:
		sqe->poll32_events = rng_next(rng);
		sqe->len = rng_below(rng, 2);
		break;
	case IORING_OP_TIMEOUT:
		sqe->addr = (unsigned long)&soon;
		sqe->len = 1;
		sqe->off = rng_below(rng, 4);
		sqe->timeout_flags = rng_below(rng, 2) ? 0 : 1U << rng_below(rng, 8);
		break;
	case IORING_OP_POLL_REMOVE:
		sqe->addr = rng_below(rng, 8);
		sqe->len = rng_below(rng, 8);
		break;
	case IORING_OP_TIMEOUT_REMOVE:
		sqe->addr = rng_below(rng, 8);
		sqe->addr2 = rng_below(rng, 2) ? (unsigned long)&soon : 0;
		sqe->timeout_flags = sqe->addr2 ? IORING_TIMEOUT_UPDATE : 0;
		break;
	case IORING_OP_ASYNC_CANCEL:
		sqe->addr = rng_below(rng, 8);
		sqe->cancel_flags = rng_below(rng, 64);
		break;
	case IORING_OP_MSG_RING:
		sqe->off = rng_below(rng, 8);
		sqe->msg_ring_flags = rng_below(rng, 3);
		break;
	case IORING_OP_NOP:
		sqe->nop_flags = rng_below(rng, 64);
	}
}

static void fill(struct io_uring_sqe *sqe, struct rng *rng)
{
	struct io_uring_sqe new = {
		.opcode = IORING_OP_NOP,
		.user_data = rng_next(rng),
	};

	switch (rng_below(rng, 16)) {
	case 0:
		new.rw_flags = IORING_NOP_INJECT_RESULT;
		new.len = number(rng_next(rng));
		break;
	case 1:
		new.rw_flags = IORING_NOP_INJECT_RESULT;
		new.len = number(rng_next(rng));
		new.flags = IOSQE_CQE_SKIP_SUCCESS;
		break;
	case 2:
		new.flags = IOSQE_CQE_SKIP_SUCCESS;
		break;
	case 3:
		new.flags = 1U << rng_below(rng, 8);
		break;
	case 4:
		switch (rng_below(rng, 4)) {
		case 0:
			new.opcode = rng_next(rng);
			break;
		case 1:
			new.ioprio = 1;
			break;
		case 2:
			new.personality = 1;
			break;
		default:
			new.rw_flags = number(rng_next(rng));
		}
		break;
	case 5:
		for (int i = 0; i < sizeof(new) / 8; i++)
			((unsigned long long *)&new)[i] = rng_next(rng);
		break;
	case 6 ... 10:
		fill_waiting(&new, rng);
	}
	*sqe = new;
}

/* Fills entries at the tail and moves it, like a program, but for what is in them. */
static void prepare(struct slot *s, const struct op *op)
{
	unsigned int *tail = word(s, s->p.sq_off.tail), at;
	unsigned int entries = s->p.sq_entries;
	struct rng rng = { .state = op->gene[1] };
	struct io_uring_sqe *sqes = (void *)s->window[REGION_SQES];

	if (!entries || entries > WINDOW / sizeof(struct io_uring_sqe) ||
	    !(s->mapped & (1U << REGION_SQES)))
		return;
	at = uring_load(tail);
	for (unsigned int i = op->gene[0] % 6; i; i--, at++) {
		unsigned int slot = at & (entries - 1);

		fill(&sqes[slot], &rng);
		if (!(s->p.flags & IORING_SETUP_NO_SQARRAY))
			*word(s, s->p.sq_off.array + 4 * slot) = rng_one_in(&rng, 32) ?
				number(rng_next(&rng)) : slot;
	}
	uring_store(tail, at);
}

static void do_prepare(struct worker *w, const struct op *op)
{
	poke(w, op, prepare);
}

static void reap(struct slot *s, const struct op *op)
{
	uring_store(word(s, s->p.cq_off.head), uring_load(word(s, s->p.cq_off.tail)) -
		    (op->gene[0] % 4 ? 0 : op->gene[1] % 3));
}

static void do_reap(struct worker *w, const struct op *op)
{
	poke(w, op, reap);
}

static void scribble(struct slot *s, const struct op *op)
{
	struct rng rng = { .state = op->gene[1] };

	for (unsigned int i = 1 + op->gene[0] % 6; i; i--) {
		unsigned int value = number(rng_next(&rng));
		const unsigned int words[] = {
			s->p.sq_off.head, s->p.sq_off.tail, s->p.cq_off.head, s->p.cq_off.tail,
			s->p.cq_off.tail + 4, s->p.cq_off.flags, s->p.sq_off.flags,
			s->p.sq_off.tail, s->p.cq_off.head, s->p.cq_off.flags,
			s->p.sq_off.ring_mask, s->p.cq_off.ring_entries,
			s->p.sq_off.array + 4 * (value % 16), s->p.cq_off.cqes,
			rng_below(&rng, 4096),
		};
		unsigned int *at = word(s, words[rng_below(&rng, ARRAY_LEN(words))]);

		if (rng_one_in(&rng, 4))
			value = uring_load(at) + value;
		if (rng_one_in(&rng, 8) && s->mapped & (1U << REGION_SQES))
			at = (unsigned int *)s->window[REGION_SQES] + rng_below(&rng, 256);
		uring_store(at, value);
	}
}

static void do_scribble(struct worker *w, const struct op *op)
{
	poke(w, op, scribble);
}

/* ENTER. */

static int enter(struct worker *w, struct slot *s, const struct miniring_enter *enter)
{
	int ret = result(CALL(w, ioctl(slot_fd(s), MINIRING_IOC_ENTER, enter)));

	expect(w, "ENTER", ret, ALLOWED(EINVAL, EBADFD, EEXIST, EAGAIN, EINTR, ETIME, EFAULT));
	if (ret > 0) {
		if (ret > enter->to_submit || ret > 32768)
			expect(w, "ENTER consumed too much", -ERANGE, ALLOWED(EINVAL));
		s->submitted += ret;
		if (s->submitted > SUBMITTED_MAX)
			slot_set(w, s, -1);
	}
	return ret;
}

static void do_submit(struct worker *w, const struct op *op)
{
	struct miniring_enter args = {
		.to_submit = op->gene[0] % 8 ? op->gene[0] / 8 % 12 : number(op->gene[0] / 8),
		.flags = op->gene[1] % 4 ? 0 : IORING_ENTER_GETEVENTS,
	};

	enter(w, slot_of(w, op), &args);
}

/* The signal that ends what takes long must get through. */
static unsigned long signal_mask(unsigned int gene)
{
	return (gene * 0x9e3779b97f4a7c15UL) & ~(1UL << (SIGUSR1 - 1));
}

/* The short form of ENTER, whose argument is all there is to it. */
static void do_short_submit(struct worker *w, const struct op *op)
{
	unsigned int to_submit = number(op->gene[0]);
	unsigned int min_complete = op->gene[1] % 4 ? 0 : number(op->gene[1] / 4);
	int whence = op->gene[2] % 8 ? SEEK_SET : op->gene[2] / 8 % 6;
	int ret = result(CALL(w, lseek(slot_fd(slot_of(w, op)),
				       MINIRING_SUBMIT(to_submit, min_complete), whence)));

	if (whence) {
		expect(w, "seeking", ret, ALLOWED(ESPIPE, EINVAL));
		return;
	}
	expect(w, "SUBMIT", ret, ALLOWED(EBADFD, EEXIST, EAGAIN, EINTR));
	if (ret > 0 && (unsigned int)ret > to_submit)
		expect(w, "SUBMIT consumed too much", -ERANGE, ALLOWED(EINVAL));
}

/* What costs least, several times over. */
static void do_burst(struct worker *w, const struct op *op)
{
	struct miniring_enter args = { .to_submit = op->gene[0] % 6 };
	struct op next = *op;
	int ret;

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

static void do_wait(struct worker *w, const struct op *op)
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

static void do_enter_oddly(struct worker *w, const struct op *op)
{
	unsigned int a = op->gene[0], b = op->gene[1], c = op->gene[2];
	unsigned long mask = signal_mask(c);
	struct miniring_enter args = {
		.to_submit = number(a),
		.min_complete = number(b),
		.flags = a / 64 % 4 ? a / 256 % 2 : number(a / 256),
		.resv = c % 32 ? 0 : number(c / 32),
		/* Not one out of a ring's memory, which might keep our signals out. */
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
	       ALLOWED(EINVAL, EBADFD, EEXIST, EAGAIN, EINTR, ETIME, EFAULT));
}

/* REGISTER and the eventfds. */

static void register_(struct worker *w, struct slot *s, unsigned int opcode, unsigned long arg,
		      unsigned int nr_args)
{
	struct miniring_register reg = { .opcode = opcode, .nr_args = nr_args, .arg = arg };

	expect(w, "REGISTER", result(CALL(w, ioctl(slot_fd(s), MINIRING_IOC_REGISTER, &reg))),
	       ALLOWED(EINVAL, EBADFD, EEXIST, EBUSY, ENXIO, EFAULT, EBADF, ENOMEM, EINTR));
}

static void do_register(struct worker *w, const struct op *op)
{
	unsigned int a = op->gene[0];
	int fd = w->eventfds[op->gene[1] % EVENTFDS];

	if (a % 32 == 0)
		fd = op->gene[1] % 64 ? slot_fd(slot_of(w, op)) : (int)number(op->gene[2]);
	switch (a / 32 % 8) {
	case 0 ... 3:
		register_(w, slot_of(w, op), IORING_REGISTER_EVENTFD, (unsigned long)&fd, 1);
		break;
	case 4:
		register_(w, slot_of(w, op), IORING_REGISTER_EVENTFD_ASYNC, (unsigned long)&fd, 1);
		break;
	default:
		register_(w, slot_of(w, op), IORING_UNREGISTER_EVENTFD, 0, 0);
	}
}

static void do_register_oddly(struct worker *w, const struct op *op)
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

static void do_enable(struct worker *w, const struct op *op)
{
	register_(w, slot_of(w, op), IORING_REGISTER_ENABLE_RINGS, 0, 0);
}

static void do_eventfd(struct worker *w, const struct op *op)
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

static void do_poll(struct worker *w, const struct op *op)
{
	struct pollfd fds[] = {
		{ .fd = slot_fd(slot_of(w, op)), .events = op->gene[0] },
		{ .fd = w->eventfds[op->gene[1] % EVENTFDS], .events = POLLIN },
		{ .fd = w->epoll, .events = POLLIN },
	};

	CALL(w, poll(fds, 1 + op->gene[2] % 3, op->gene[2] / 4 % 64 ? 0 : 1));
}

static void do_epoll(struct worker *w, const struct op *op)
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

/* Files in proc and debugfs. */

static void read_file(struct worker *w, const char *path, unsigned int gene)
{
	static __thread char buffer[1 << 16];
	int fd = CALL(w, open(path, O_RDONLY | O_CLOEXEC));

	if (fd < 0)
		return;
	if (gene % 4 == 0)
		CALL(w, read(fd, buffer, gene / 4 % 200));
	if (gene % 8 == 1)
		CALL(w, lseek(fd, number(gene / 8), SEEK_SET));
	CALL(w, read(fd, buffer, sizeof(buffer)));
	CALL(w, close(fd));
}

static void do_fdinfo(struct worker *w, const struct op *op)
{
	char path[48];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", slot_fd(slot_of(w, op)));
	read_file(w, path, op->gene[0]);
}

static void do_control_read(struct worker *w, const struct op *op)
{
	read_file(w, op->gene[1] % 2 ? CONTROL : STATS, op->gene[0]);
}

static void do_control(struct worker *w, const struct op *op)
{
	static __thread char text[TEXT_MAX];
	struct rng rng = { .state = op->gene[0] };
	size_t len = text_query(&rng, text);
	int fd = CALL(w, open(CONTROL, O_WRONLY | O_CLOEXEC));
	unsigned long where = (unsigned long)text;
	int ret;

	if (fd < 0)
		return;
	if (op->gene[1] % 64 == 0)
		where = place(w, op->gene[1] / 64, text, len > 64 ? 64 : len);
	if (where != (unsigned long)text && len > 64)
		len = 64;
	ret = result(CALL(w, write(fd, (void *)where, len)));
	expect(w, "control", ret, ALLOWED(EINVAL, E2BIG, EFAULT, ENOMEM, EOPNOTSUPP));
	if (ret >= 0 && ret != len)
		expect(w, "control took a part of the write", -ERANGE, ALLOWED(EINVAL));
	CALL(w, close(fd));
}

/* A process that has all files of this one and runs the next operations as well. */
static void do_fork(struct worker *w, const struct op *op)
{
	if (w->child)
		return;
	w->child = CALL(w, fork());
	if (w->child > 0)
		return;
	if (w->child < 0) {
		w->child = 0;
		return;
	}
	w->kcov.cover = NULL;
	w->fail_nth = -1;
	w->child = -1;
	w->calls = 0;
	w->child_ends = w->pc + 1 + op->gene[0] % 8;
}

/* Nobody interrupts what takes long in a child; so it ends if this takes long. */
static void child_reap(struct worker *w)
{
	int status = 0, ticks = 0;

	while (waitpid(w->child, &status, 0) < 0) {
		if (errno != EINTR)
			break;
		if (ticks++ > CHILD_TICKS)
			kill(w->child, SIGKILL);
	}
	if (WIFEXITED(status))
		w->calls += WEXITSTATUS(status);
	w->child = 0;
}

/* The table of operations, with how often one is taken. */

static const struct {
	const char *name;
	unsigned int weight;
	void (*run)(struct worker *w, const struct op *op);
	bool whole;	/* takes care of faults itself, if there may be any */
} kinds[] = {
	{ "open", 2, do_open, false },
	{ "close", 4, do_close, false },
	{ "dup", 6, do_dup, false },
	{ "pass", 6, do_pass, false },
	{ "other", 20, do_other, false },
	{ "setup", 5, do_setup, true },
	{ "map", 3, do_map, true },
	{ "map-oddly", 6, do_map_oddly, true },
	{ "unmap", 2, do_unmap, true },
	{ "prepare", 300, do_prepare, true },
	{ "reap", 100, do_reap, true },
	{ "scribble", 100, do_scribble, true },
	{ "submit", 400, do_submit, false },
	{ "short-submit", 200, do_short_submit, false },
	{ "burst", 400, do_burst, true },
	{ "wait", 100, do_wait, false },
	{ "enter-oddly", 200, do_enter_oddly, false },
	{ "register", 200, do_register, false },
	{ "register-oddly", 100, do_register_oddly, false },
	{ "enable", 20, do_enable, false },
	{ "eventfd", 100, do_eventfd, false },
	{ "poll", 200, do_poll, false },
	{ "epoll", 200, do_epoll, false },
	{ "fdinfo", 3, do_fdinfo, false },
	{ "control-read", 2, do_control_read, false },
	{ "control", 3, do_control, false },
	{ "fork", 1, do_fork, true },
};

void op_random(struct rng *rng, struct op *op)
{
	unsigned int total = 0, at;

	for (int i = 0; i < ARRAY_LEN(kinds); i++)
		total += kinds[i].weight;
	at = rng_below(rng, total);
	for (op->kind = 0; at >= kinds[op->kind].weight; op->kind++)
		at -= kinds[op->kind].weight;
	op->slot = rng_next(rng);
	op->fail = rng_one_in(rng, 64) ? 1 + rng_below(rng, 40) : 0;
	for (int i = 0; i < OP_GENES; i++)
		op->gene[i] = rng_next(rng);
}

void op_print(const struct op *op)
{
	printf("#   %s slot %u genes %u %u %u fail %u\n", kinds[op->kind].name,
	       op->slot % (LOCAL_SLOTS + SHARED_SLOTS), op->gene[0], op->gene[1], op->gene[2],
	       op->fail);
}

void program_run(struct worker *w, const struct program *program)
{
	w->program = program;
	w->child_ends = -1U;
	for (w->pc = 0; w->pc < program->len; w->pc++) {
		const struct op *op = &program->ops[w->pc];

		if (w->pc >= w->child_ends)
			break;
		if (trace) {
			op_print(op);
			fflush(stdout);
		}
		if (op->fail && !kinds[op->kind].whole)
			arm(w, op->fail);
		kinds[op->kind].run(w, op);
		if (w->faulty)
			arm(w, 0);
		if (kcov_harvest(&w->kcov))
			w->keep = true;
	}
	if (w->child < 0)
		_exit(w->calls < 255 ? w->calls : 255);
	if (w->child > 0)
		child_reap(w);
}

bool slots_init(struct slot *slots, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		slots[i].fd = -1;
		for (int region = 0; region < REGIONS; region++) {
			slots[i].window[region] = mmap(NULL, WINDOW, PROT_NONE, MAP_PRIVATE |
						       MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
			if (slots[i].window[region] == MAP_FAILED)
				return false;
		}
	}
	return true;
}

void slots_exit(struct slot *slots, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		if (slots[i].fd >= 0)
			close(slots[i].fd);
		for (int region = 0; region < REGIONS; region++)
			munmap(slots[i].window[region], WINDOW);
	}
}

bool worker_init(struct worker *w, struct slot *shared)
{
	w->shared = shared;
	w->fail_nth = -1;
	w->arena = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (w->arena == MAP_FAILED || mprotect(w->arena, PAGE, PROT_READ) ||
	    mprotect(w->arena + 2 * PAGE, PAGE, PROT_NONE))
		return false;
	for (int i = 0; i < EVENTFDS; i++)
		w->eventfds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, w->sockets))
		return false;
	return slots_init(w->slots, LOCAL_SLOTS);
}

void worker_exit(struct worker *w)
{
	slots_exit(w->slots, LOCAL_SLOTS);
	for (int i = 0; i < EVENTFDS; i++)
		close(w->eventfds[i]);
	close(w->epoll);
	close(w->sockets[0]);
	close(w->sockets[1]);
	munmap(w->arena, 3 * PAGE);
}
