// SPDX-License-Identifier: GPL-2.0
/*
 * Operations on memory shared with the kernel: random entries, reaped completions, and scribbled
 * words.
 */
#include "fuzz_ops.h"

/*
 * Runs @write on a ring, which may be unmapped meanwhile. No fault may be due: if the signal for a
 * stray write cannot be delivered, the process ends.
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

/* Makes a request that may wait, about any file with that number. */
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

/*
 * Returns an address in the page that requests write to, in an inaccessible
 * page, or in a ring.
 */
static unsigned long buffer(struct worker *w, struct rng *rng)
{
	switch (rng_below(rng, 32)) {
	case 0:
		return 0;
	case 1:
		return (unsigned long)w->data + PAGE;
	case 2:
		return (unsigned long)w->arena;
	case 3:
		return 0x800000000000 - rng_below(rng, 2) * 8;
	case 4:
		return 0xffff888000000000;
	case 5:
		return (unsigned long)w->slots[rng_below(rng, LOCAL_SLOTS)]
			.window[rng_below(rng, REGIONS)] + rng_below(rng, 512);
	default:
		return (unsigned long)w->data + rng_below(rng, PAGE);
	}
}

/* Makes a request that transfers data, from or to a file of bounded memory. */
static void fill_transfer(struct io_uring_sqe *sqe, struct rng *rng)
{
	static const unsigned char opcodes[] = {
		IORING_OP_READ, IORING_OP_WRITE, IORING_OP_READV, IORING_OP_WRITEV,
		IORING_OP_READ_FIXED, IORING_OP_WRITE_FIXED,
	};
	struct worker *w = self;
	const int files[] = {
		w->eventfds[rng_below(rng, EVENTFDS)], w->sockets[0], w->sockets[1], w->file,
	};
	unsigned char opcode = opcodes[rng_below(rng, sizeof(opcodes))];

	*sqe = (struct io_uring_sqe){
		.opcode = opcode,
		.fd = files[rng_below(rng, ARRAY_LEN(files))],
		.addr = buffer(w, rng),
		.len = 1 + rng_below(rng, 64),
		.off = rng_below(rng, 2) ? rng_below(rng, 3 * PAGE) : -1ULL,
		.user_data = rng_below(rng, 8),
	};
	if (opcode == IORING_OP_READV || opcode == IORING_OP_WRITEV) {
		sqe->len = rng_below(rng, VECTORS + 1);
		if (rng_below(rng, 16))
			sqe->addr = (unsigned long)w->vectors;
	} else if (opcode == IORING_OP_READ_FIXED || opcode == IORING_OP_WRITE_FIXED) {
		sqe->buf_index = rng_below(rng, VECTORS);
	}
	if (rng_one_in(rng, 16))
		sqe->len = number(rng_next(rng));
	if (rng_one_in(rng, 16))
		sqe->off = number(rng_next(rng));
	if (rng_one_in(rng, 8))
		sqe->rw_flags = 1U << rng_below(rng, 9);
	if (rng_one_in(rng, 16))
		sqe->ioprio = number(rng_next(rng));
	if (!rng_below(rng, 3))
		sqe->flags = 1U << rng_below(rng, 8);
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
	case 6 ... 9:
		fill_waiting(&new, rng);
		break;
	case 10 ... 12:
		fill_transfer(&new, rng);
	}
	*sqe = new;
}

/* Fills entries at the tail and moves it, as a program does, with random contents. */
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

void do_prepare(struct worker *w, const struct op *op)
{
	poke(w, op, prepare);
}

static void reap(struct slot *s, const struct op *op)
{
	uring_store(word(s, s->p.cq_off.head), uring_load(word(s, s->p.cq_off.tail)) -
		    (op->gene[0] % 4 ? 0 : op->gene[1] % 3));
}

void do_reap(struct worker *w, const struct op *op)
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

void do_scribble(struct worker *w, const struct op *op)
{
	poke(w, op, scribble);
}
