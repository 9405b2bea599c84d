// SPDX-License-Identifier: GPL-2.0
/* The table of operations, with their weights, and the running of programs. */
#include <sys/wait.h>
#include "fuzz_ops.h"

/* Number of interruptions of the parent before its child must end. */
#define CHILD_TICKS 25

/* Forks a process with all files of this process, which also runs the next operations. */
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

/* No ticker interrupts long calls of a child, so the child ends after a time. */
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

/* The table of operations, with their weights. */

static const struct {
	const char *name;
	unsigned int weight;
	void (*run)(struct worker *w, const struct op *op);
	bool whole;	/* handles faults itself, if any */
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
	{ "buffers", 60, do_buffers, false },
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
