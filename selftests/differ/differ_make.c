// SPDX-License-Identifier: GPL-2.0
/*
 * Makes a program of the differential fuzzer from a seed.
 *
 * A program has no races whose result io_uring leaves to chance. An SQE that a worker of io_uring
 * executes (IOSQE_ASYNC, a regular file) and a short timeout are in a batch that is one chain. But
 * a NOP that a worker executes may be behind a drained NOP.
 *
 * Documentation/interface.rst lists differences ("What differs from io_uring"). These
 * differences are avoided:
 * - "The rest of a chain": in a batch of several chains no result depends on another chain. A
 *   step whose order is free is marked (@loose).
 * - "A cancelled request is not found again": a batch has one request that ends others.
 * - "Reads and writes that one event ends": each read has its own pipe. So has each
 *   poll where the order decides which CQEs fit into a small CQ.
 * - "A silent timeout": a program has silent timeouts, or timeouts that wait for
 *   completions.
 * - "A cancel request never finds itself": after IOSQE_IO_DRAIN the request names
 *   user_data.
 * - "A drained request that is refused": a program has requests that are refused, or drained.
 * - "A worker that blocks in a file": IOSQE_ASYNC is for requests that do not wait, and a program
 *   with drained requests has reads that wait, or ASYNC_CANCEL.
 */
#include <poll.h>
#include "differ.h"

#define SETUPS 6

struct maker {
	struct rng rng;
	struct program *program;
	unsigned int next;		/* user_data */
	unsigned int batch;		/* the first of a batch */
	unsigned int next_private;	/* pipe */
	unsigned int waiters;		/* polls that share a file */
	bool counting;			/* timeouts wait for completions */
	bool small;			/* CQ */
	/*
	 * The program has IOSQE_CQE_SKIP_SUCCESS, after which no request can be drained, and
	 * refused requests. Otherwise the program has IOSQE_IO_DRAIN.
	 */
	bool skipping;
	bool refused;			/* has refused requests; not @small, not drained */
	bool cancels;			/* has ASYNC_CANCEL */
	bool drained;
	unsigned char kinds[MAX_REQUESTS];
};

/* Returns the flag one time in @n, and otherwise 0. */
static unsigned int maybe(struct maker *maker, unsigned int n, unsigned int flag)
{
	return rng_one_in(&maker->rng, n) ? flag : 0;
}

/*
 * Returns the user_data of a request of an earlier batch, if possible of @kind, or of no
 * request. Of the same batch, one side may have started a request that the other has not.
 */
static unsigned int target(struct maker *maker, int kind)
{
	for (int tries = 0; tries < 8 && maker->batch > 1; tries++) {
		unsigned int target = 1 + rng_below(&maker->rng, maker->batch - 1);

		if (maker->kinds[target] == kind || rng_one_in(&maker->rng, 8))
			return target;
	}
	return MAX_REQUESTS + rng_below(&maker->rng, 3);
}

static int shared_file(struct maker *maker)
{
	unsigned int dice = rng_below(&maker->rng, 16);

	return dice < 10 ? dice % PIPE_NONBLOCK : dice < 13 ? EVENTFD :
	       dice < 14 ? PIPE_NONBLOCK : dice < 15 ? ZERO : NO_FILE;
}

/* Returns a pipe that no request uses, or a file that never waits. */
static int private_pipe(struct maker *maker)
{
	return maker->next_private < PIPES ? maker->next_private++ : ZERO;
}

static void make_poll(struct maker *maker, struct op *op)
{
	op->file = shared_file(maker);
	if (maker->small && op->file < ZERO)
		op->file = private_pipe(maker);
	maker->waiters += op->file < ZERO;
	op->events = rng_one_in(&maker->rng, 6) ? POLLOUT : POLLIN;
	op->events |= maybe(maker, 8, POLLPRI);
	if (maker->small)
		return;
	op->how = maybe(maker, 3, IORING_POLL_ADD_MULTI);
	if (op->how && maker->refused)
		op->how |= maybe(maker, 6, IORING_POLL_ADD_LEVEL);
}

static void make_poll_remove(struct maker *maker, struct op *op)
{
	op->target = target(maker, OP_POLL);
	if (maker->small || rng_one_in(&maker->rng, 2))
		return;
	op->how = IORING_POLL_UPDATE_EVENTS << rng_below(&maker->rng, 2);
	op->how |= maybe(maker, 2, IORING_POLL_UPDATE_EVENTS | IORING_POLL_ADD_MULTI);
	if (maker->refused)
		op->how = 1 + rng_below(&maker->rng, 7);
	op->events = rng_one_in(&maker->rng, 4) ? POLLOUT : POLLIN;
}

static void make_cancel(struct maker *maker, struct op *op)
{
	static const unsigned char opcodes[] = {
		IORING_OP_POLL_ADD, IORING_OP_TIMEOUT, IORING_OP_READ, IORING_OP_NOP,
	};

	op->target = target(maker, rng_one_in(&maker->rng, 2) ? OP_POLL : OP_READ);
	switch (rng_below(&maker->rng, 6)) {
	case 0:
		op->how = IORING_ASYNC_CANCEL_FD;
		op->file = shared_file(maker);
		break;
	case 1:
		op->how = IORING_ASYNC_CANCEL_OP;
		op->len = opcodes[rng_below(&maker->rng, sizeof(opcodes))];
		break;
	case 2:
		op->how = IORING_ASYNC_CANCEL_ANY;
		break;
	}
	op->how |= maybe(maker, 3, IORING_ASYNC_CANCEL_ALL);
}

static void make_timeout(struct maker *maker, struct op *op)
{
	op->len = maker->counting ? rng_below(&maker->rng, 5) : 0;
	op->how = maybe(maker, 5, IORING_TIMEOUT_ETIME_SUCCESS);
	op->how |= maybe(maker, 10, IORING_TIMEOUT_BOOTTIME);
	op->how |= maybe(maker, 20, IORING_TIMEOUT_MULTISHOT);
	if (op->how & IORING_TIMEOUT_ETIME_SUCCESS && !maker->refused)
		op->how &= ~IORING_TIMEOUT_MULTISHOT;
}

static void make_timeout_remove(struct maker *maker, struct op *op)
{
	op->target = target(maker, OP_TIMEOUT);
	op->how = maybe(maker, 2, IORING_TIMEOUT_UPDATE);
}

static void make_transfer(struct maker *maker, struct op *op)
{
	if (op->kind == OP_WRITE)
		op->file = rng_below(&maker->rng, PIPE_PRIVATE);
	else if (!maker->skipping && maker->cancels)
		op->file = ZERO;
	else
		op->file = rng_one_in(&maker->rng, 5) ? ZERO : private_pipe(maker);
	op->len = rng_below(&maker->rng, 8);
	op->how = maybe(maker, 4, BY_VECTOR);
}

static void make_op(struct maker *maker, struct op *op)
{
	static const unsigned char kinds[] = {
		OP_NOP, OP_NOP, OP_NOP, OP_NOP, OP_POLL, OP_POLL, OP_POLL, OP_POLL,
		OP_POLL_REMOVE, OP_CANCEL, OP_TIMEOUT, OP_TIMEOUT, OP_TIMEOUT_REMOVE,
		OP_READ, OP_READ, OP_READ, OP_WRITE, OP_WRITE, OP_MESSAGE, OP_MESSAGE,
	};

	memset(op, 0, sizeof(*op));
	op->kind = kinds[rng_below(&maker->rng, sizeof(kinds))];
	if (maker->refused && rng_one_in(&maker->rng, 50))
		op->kind = OP_BAD;
	if (op->kind == OP_CANCEL && !maker->cancels)
		op->kind = OP_POLL_REMOVE;
	op->file = NO_FILE;
	op->user_data = maker->next++;
	maker->kinds[op->user_data] = op->kind;
	switch (op->kind) {
	case OP_NOP:
		op->res = rng_one_in(&maker->rng, 5) ? -EIO : rng_below(&maker->rng, 3);
		op->how = maybe(maker, 8, IORING_NOP_TW);
		break;
	case OP_POLL:
		make_poll(maker, op);
		break;
	case OP_POLL_REMOVE:
		make_poll_remove(maker, op);
		break;
	case OP_CANCEL:
		make_cancel(maker, op);
		break;
	case OP_TIMEOUT:
		make_timeout(maker, op);
		break;
	case OP_TIMEOUT_REMOVE:
		make_timeout_remove(maker, op);
		break;
	case OP_READ:
	case OP_WRITE:
		make_transfer(maker, op);
		break;
	case OP_MESSAGE:
		op->res = rng_below(&maker->rng, 100);
		op->how = maker->refused ? maybe(maker, 20, IORING_MSG_RING_CQE_SKIP) : 0;
		break;
	}
	op->flags = maybe(maker, 80, IOSQE_FIXED_FILE);
	if (maker->skipping)
		op->flags |= maybe(maker, 5, IOSQE_CQE_SKIP_SUCCESS);
	if (!maker->skipping || maker->refused)
		op->flags |= maybe(maker, maker->skipping ? 40 : 8, IOSQE_IO_DRAIN);
	if (maker->counting && op->kind == OP_TIMEOUT)
		op->flags &= ~IOSQE_CQE_SKIP_SUCCESS;
}

/* Gives a poll its own pipe, because a chain may change its order with other polls. */
static void make_private(struct maker *maker, struct op *op)
{
	if (op->kind == OP_POLL && (op->file < PIPE_PRIVATE || op->file == EVENTFD))
		op->file = private_pipe(maker);
}

/* Links @ops to a chain. */
static void link_ops(struct maker *maker, struct op *ops, int nr)
{
	for (int i = 0; i < nr; i++) {
		if (i < nr - 1)
			ops[i].flags |= rng_one_in(&maker->rng, 3) ? IOSQE_IO_HARDLINK :
								    IOSQE_IO_LINK;
		/*
		 * With a count, the next request might be issued before or
		 * after it is counted.
		 */
		if (i < nr - 1 && ops[i].kind == OP_TIMEOUT)
			ops[i].len = 0;
		make_private(maker, &ops[i]);
	}
}

/* Changes an SQE of a chain, so that a worker or a timer completes it. */
static void make_asynchronous(struct maker *maker, struct op *op)
{
	int kind = rng_below(&maker->rng, 4);

	maker->program->workers = true;
	op->how = 0;
	op->res = 0;
	op->len = rng_below(&maker->rng, 8);
	switch (kind) {
	case 0:
		op->kind = OP_NOP;
		op->flags |= IOSQE_ASYNC;
		break;
	case 1:
		op->kind = rng_one_in(&maker->rng, 2) ? OP_READ : OP_WRITE;
		op->file = rng_one_in(&maker->rng, 2) ? MEMFD : ZERO;
		op->flags |= maybe(maker, 2, IOSQE_ASYNC);
		break;
	default:
		op->kind = OP_TIMEOUT;
		op->flags &= maker->counting ? ~IOSQE_CQE_SKIP_SUCCESS : 0xff;
		op->len = maker->counting ? rng_below(&maker->rng, 3) : 0;
		op->events = 1;
		op->how = maybe(maker, 4, IORING_TIMEOUT_ETIME_SUCCESS);
		break;
	}
	maker->kinds[op->user_data] = op->kind;
}

/* Returns whether the result is independent of requests of other chains. */
static bool independent(const struct op *op)
{
	return op->kind == OP_NOP || op->kind == OP_READ || op->kind == OP_WRITE ||
	       op->kind == OP_MESSAGE || op->kind == OP_BAD;
}

/* Makes several chains. Their order is free. */
static void make_chains(struct maker *maker, struct step *step)
{
	for (int i = 0; i < step->nr; i++) {
		struct op *op = &step->ops[i];

		if (!independent(op)) {
			op->kind = OP_NOP;
			op->how = 0;
			maker->kinds[op->user_data] = OP_NOP;
		}
	}
	for (int i = 0; i < step->nr;) {
		unsigned int nr = 1 + rng_below(&maker->rng, step->nr - i);

		link_ops(maker, step->ops + i, nr);
		i += nr;
	}
	step->loose = true;
}

/* Returns whether the request ends or changes other requests. */
static bool undoes(const struct op *op)
{
	return op->kind == OP_CANCEL || op->kind == OP_POLL_REMOVE || op->kind == OP_TIMEOUT_REMOVE;
}

/*
 * Leaves one request of a batch that ends others, because a second could find a request that is
 * cancelled but not completed. The batch has no other request if the order of the ended requests
 * is free, and affects a count or fills the CQ.
 */
static void make_one_undo(struct maker *maker, struct step *step)
{
	bool seen = (maker->small || maker->counting) && step->nr > 1;

	for (int i = 0; i < step->nr; i++) {
		struct op *op = &step->ops[i];

		if (!undoes(op))
			continue;
		if (seen) {
			op->kind = OP_NOP;
			op->how = 0;
			maker->kinds[op->user_data] = OP_NOP;
		}
		seen = true;
	}
}

static void make_batch(struct maker *maker, struct step *step)
{
	unsigned int limit = maker->program->sq_entries < MAX_OPS ? maker->program->sq_entries :
								    MAX_OPS;
	unsigned int style = rng_below(&maker->rng, 4), single;

	step->nr = 1 + rng_below(&maker->rng, limit);
	maker->batch = maker->next;
	for (int i = 0; i < step->nr; i++)
		make_op(maker, &step->ops[i]);
	make_one_undo(maker, step);
	if (style == 0) {
		if (rng_one_in(&maker->rng, 2))
			make_asynchronous(maker, &step->ops[rng_below(&maker->rng, step->nr)]);
		link_ops(maker, step->ops, step->nr);
	} else if (style == 1 && !maker->small) {
		make_chains(maker, step);
	} else {
		/* Unlinked requests, and then a chain. */
		single = rng_below(&maker->rng, step->nr);
		for (int i = 0; i < single; i++)
			if (step->ops[i].kind == OP_NOP)
				step->ops[i].how = 0;
		link_ops(maker, step->ops + single, step->nr - single);
	}
	for (int i = 0; i < step->nr; i++)
		maker->drained |= !!(step->ops[i].flags & IOSQE_IO_DRAIN);
	for (int i = 0; i < step->nr; i++) {
		struct op *op = &step->ops[i];

		step->loose |= undoes(op) || op->kind == OP_WRITE ||
			       (op->kind == OP_POLL && op->how);
		if (op->kind == OP_CANCEL && maker->drained)
			op->how &= IORING_ASYNC_CANCEL_ALL;
	}
	maker->program->workers |= maker->drained;
	if (rng_one_in(&maker->rng, 4))
		step->arg = 1 + rng_below(&maker->rng, step->nr);
}

/*
 * Makes a drained request, and behind it a request for a worker. The worker completes it while
 * the submitter is busy with long reads.
 */
static void make_overtaking(struct maker *maker, struct step *step)
{
	unsigned int limit = maker->program->sq_entries < MAX_OPS ? maker->program->sq_entries :
								    MAX_OPS;

	step->nr = limit;
	maker->batch = maker->next;
	for (int i = 0; i < step->nr; i++) {
		struct op *op = &step->ops[i];

		memset(op, 0, sizeof(*op));
		op->user_data = maker->next++;
		op->file = NO_FILE;
		op->kind = OP_NOP;
		if (i > 1) {
			op->kind = OP_READ;
			op->file = ZERO;
			op->how = READ_MUCH;
		}
		maker->kinds[op->user_data] = op->kind;
	}
	step->ops[0].flags = IOSQE_IO_DRAIN;
	step->ops[1].flags = IOSQE_ASYNC;
	maker->drained = true;
	maker->program->workers = true;
}

static void make_expiry(struct maker *maker, struct step *step)
{
	struct op *op = &step->ops[0];

	step->kind = STEP_EXPIRE;
	step->nr = 1;
	make_op(maker, op);
	op->kind = OP_TIMEOUT;
	op->flags &= IOSQE_CQE_SKIP_SUCCESS | IOSQE_IO_DRAIN;
	op->events = 2;
	/* A timeout that expires without a completion also ends a wait. */
	op->how = op->flags & IOSQE_CQE_SKIP_SUCCESS ?
		  maybe(maker, 2, IORING_TIMEOUT_ETIME_SUCCESS) : 0;
	op->res = 0;
	op->len = 0;
	if (maker->counting)
		op->flags &= ~IOSQE_CQE_SKIP_SUCCESS;
	maker->program->workers |= maker->drained |= !!(op->flags & IOSQE_IO_DRAIN);
	maker->kinds[op->user_data] = OP_TIMEOUT;
}

static void make_step(struct maker *maker, struct step *step)
{
	unsigned int dice = rng_below(&maker->rng, 40);

	step->min_wait = rng_one_in(&maker->rng, 4);
	if (dice < 20) {
		step->kind = STEP_SUBMIT;
		if (!maker->skipping && !maker->small && rng_one_in(&maker->rng, 5))
			make_overtaking(maker, step);
		else
			make_batch(maker, step);
	} else if (dice < 31) {
		step->kind = STEP_WRITE;
		step->file = rng_below(&maker->rng, 3) ? rng_below(&maker->rng, 2) :
			     rng_below(&maker->rng, EVENTFD + 1);
		step->arg = 1 + rng_below(&maker->rng, 8);
	} else if (dice < 33) {
		step->kind = STEP_READ;
		step->file = rng_below(&maker->rng, EVENTFD + 1);
	} else if (dice < 36) {
		step->kind = STEP_REAP;
		step->arg = 1 + rng_below(&maker->rng, 10);
	} else if (dice < 39) {
		step->kind = STEP_WAIT;
		step->arg = rng_below(&maker->rng, 2);
	} else {
		make_expiry(maker, step);
	}
	step->loose |= maker->counting || maker->drained || maker->waiters > 1;
}

void program_make(struct program *program, unsigned long long seed)
{
	static const unsigned int setups[SETUPS] = {
		0, 0, IORING_SETUP_SUBMIT_ALL, IORING_SETUP_COOP_TASKRUN,
		IORING_SETUP_SINGLE_ISSUER, IORING_SETUP_NO_SQARRAY,
	};
	struct maker maker = { .rng.state = seed, .program = program, .next = 1,
			       .next_private = PIPE_PRIVATE };

	memset(program, 0, sizeof(*program));
	program->setup_flags = setups[rng_below(&maker.rng, SETUPS)];
	program->sq_entries = rng_one_in(&maker.rng, 3) ? 4 : 8;
	program->cq_entries = rng_one_in(&maker.rng, 3) ? program->sq_entries : 128;
	maker.small = program->cq_entries == program->sq_entries;
	maker.skipping = rng_one_in(&maker.rng, 2);
	maker.counting = maker.skipping && !maker.small && rng_one_in(&maker.rng, 2);
	maker.refused = maker.skipping && !maker.small;
	maker.cancels = maker.skipping || rng_one_in(&maker.rng, 2);
	program->nr = 3 + rng_below(&maker.rng, MAX_STEPS - 2);
	for (int i = 0; i < program->nr; i++)
		make_step(&maker, &program->steps[i]);
}
