// SPDX-License-Identifier: GPL-2.0
/*
 * Judges a program. The program runs twice on the reference, which must agree with itself,
 * and then on the tested backend. A disagreement must stay when every step has five times as
 * long to settle.
 */
#include "differ.h"

#define ATTEMPTS	3
#define SHRINKS		400	/* candidates */

/*
 * Returns the op of a completion. Sets @chain to the user_data of the first op
 * of its chain.
 */
static const struct op *op_of(const struct program *program, const struct entry *entry,
			      unsigned int *chain)
{
	unsigned long long user_data = entry->user_data % OF_MESSAGE;

	*chain = 0;
	for (int i = 0; i < program->nr; i++) {
		bool linked = false;

		for (int j = 0; j < program->steps[i].nr; j++) {
			const struct op *op = &program->steps[i].ops[j];

			if (!linked)
				*chain = op->user_data;
			linked = op->flags & (IOSQE_IO_LINK | IOSQE_IO_HARDLINK);
			if (op->user_data == user_data)
				return op;
		}
	}
	return NULL;
}

/*
 * Returns whether the request was refused or cancelled. Such a request was
 * perhaps never issued, so no drained request orders it.
 */
static bool unissued(const struct entry *entry)
{
	return entry->res == -EINVAL || entry->res == -EOPNOTSUPP || entry->res == -ECANCELED;
}

/* Returns whether the second of two completions goes first, where the order is free. */
static bool swapped(const struct program *program, const struct entry *first,
		    const struct entry *second)
{
	unsigned int chains[2];
	const struct op *ops[] = {
		op_of(program, first, &chains[0]),
		op_of(program, second, &chains[1]),
	};

	if (unissued(first) != unissued(second))
		return unissued(first);
	if (!unissued(first) && ((ops[0] && ops[0]->flags & IOSQE_IO_DRAIN) ||
				 (ops[1] && ops[1]->flags & IOSQE_IO_DRAIN)))
		return false;
	return chains[0] > chains[1];
}

/*
 * Sorts the completions of each step with a free order by chain. Keeps the order in a
 * chain, and the order that a drained request gives.
 */
static void sort(const struct program *program, struct transcript *transcript)
{
	struct entry *entries = transcript->entries;

	for (int i = 1; i < transcript->nr; i++) {
		for (int j = i; j > 0; j--) {
			struct entry entry = entries[j];

			if (entry.kind != ENTRY_CQE || entries[j - 1].kind != ENTRY_CQE ||
			    !program->steps[entry.step].loose ||
			    !swapped(program, &entries[j - 1], &entry))
				break;
			entries[j] = entries[j - 1];
			entries[j - 1] = entry;
		}
	}
}

static bool identical(const struct transcript *one, const struct transcript *other)
{
	return one->nr == other->nr &&
	       !memcmp(one->entries, other->entries, one->nr * sizeof(one->entries[0]));
}

/* Compares transcripts. Leaves both sorted if they differ. */
static bool equal(const struct program *program, struct transcript *one,
		  struct transcript *other)
{
	if (identical(one, other))
		return true;
	sort(program, one);
	sort(program, other);
	return identical(one, other);
}

/* Changes a result of the tested backend. */
static void plant(struct judge *judge)
{
	unsigned int nr = 0;

	for (int i = 0; judge->planted && i < judge->got.nr; i++)
		if (judge->got.entries[i].kind == ENTRY_CQE && ++nr == judge->planted)
			judge->got.entries[i].res ^= 1;
}

static enum verdict judge_once(struct judge *judge, const struct program *program,
			       struct patience patience)
{
	static struct transcript again;
	struct patience guided = patience;

	/* With a guide a run waits only for surplus completions. */
	guided.quiet_us /= 4;
	program_run(program, judge->reference, NULL, patience, &judge->expected);
	if (judge->expected.error)
		return BROKEN;
	program_run(program, judge->reference, &judge->expected, guided, &again);
	if (!equal(program, &judge->expected, &again)) {
		judge->got = again;
		return UNSTABLE;
	}
	program_run(program, judge->tested, &judge->expected, guided, &judge->got);
	if (judge->got.error)
		return BROKEN;
	plant(judge);
	return equal(program, &judge->expected, &judge->got) ? AGREE : DISAGREE;
}

enum verdict judge_program(struct judge *judge, const struct program *program)
{
	struct patience patience = {
		.timer_us = 6000, .guide_ms = judge->hasty ? 100 : 1000,
	};
	enum verdict verdict = UNSTABLE;

	if (program->workers || judge->hasty)
		patience.quiet_us = 1500;
	for (int i = 0; i < ATTEMPTS; i++) {
		verdict = judge_once(judge, program, patience);
		if (verdict == BROKEN || judge->hasty)
			break;
		if (verdict == AGREE) {
			judge->late += i > 0;
			break;
		}
		patience.quiet_us = patience.quiet_us * 5 + 2000;
	}
	return verdict;
}

/* Returns whether the changed program still disagrees. Otherwise takes the change back. */
static bool keeps(struct judge *judge, struct program *program, const struct program *before)
{
	if (judge_program(judge, program) == DISAGREE)
		return true;
	*program = *before;
	return false;
}

static bool drop_step(struct program *program, int nr)
{
	memmove(&program->steps[nr], &program->steps[nr + 1],
		(program->nr - nr - 1) * sizeof(program->steps[0]));
	program->nr--;
	return true;
}

static bool drop_op(struct program *program, int nr)
{
	struct step *step = &program->steps[nr / MAX_OPS];
	int op = nr % MAX_OPS;

	if (op >= step->nr)
		return false;
	memmove(&step->ops[op], &step->ops[op + 1], (step->nr - op - 1) * sizeof(step->ops[0]));
	step->nr--;
	/* A worker would complete a chain that the end of a submission cuts. */
	if (step->nr)
		step->ops[step->nr - 1].flags &= ~(IOSQE_IO_LINK | IOSQE_IO_HARDLINK);
	return true;
}

/* Clears one flag of an SQE, or the wait of a step. */
static bool drop_flag(struct program *program, int nr)
{
	struct step *step = &program->steps[nr / 8 / MAX_OPS];
	int op = nr / 8 % MAX_OPS, flag = 1 << nr % 8;

	if (op < step->nr && step->ops[op].flags & flag) {
		step->ops[op].flags &= ~flag;
		return true;
	}
	if (step->kind != STEP_SUBMIT || nr % (8 * MAX_OPS) || !step->arg)
		return false;
	step->arg = 0;
	return true;
}

static bool drop_setup(struct program *program, int nr)
{
	if (nr || !program->setup_flags)
		return false;
	program->setup_flags = 0;
	return true;
}

void judge_shrink(struct judge *judge, struct program *program)
{
	static bool (*const shrinks[])(struct program *program, int nr) = {
		drop_step, drop_op, drop_flag, drop_setup,
	};
	static const int units[] = { 1, MAX_OPS, 8 * MAX_OPS, 1 };
	struct program before;
	bool smaller = true;
	int left = SHRINKS;

	judge->hasty = true;
	while (smaller && left > 0) {
		smaller = false;
		for (int how = 0; how < 4; how++) {
			/* From the end, so that earlier candidates keep their numbers. */
			for (int nr = program->nr * units[how] - 1; nr >= 0 && left > 0; nr--) {
				before = *program;
				if (nr >= program->nr * units[how] || !shrinks[how](program, nr))
					continue;
				left--;
				smaller |= keeps(judge, program, &before);
			}
		}
	}
	judge->hasty = false;
	/* Leave the transcripts of the smaller program. */
	judge_program(judge, program);
}

void judge_report(struct judge *judge, unsigned long long seed)
{
	struct program program;

	program_make(&program, seed);
	printf("# seed %llu: io_uring and miniring disagree on\n", seed);
	program_print(&program);
	transcripts_print(&judge->expected, &judge->got);
	judge_shrink(judge, &program);
	printf("# seed %llu, smaller:\n", seed);
	program_print(&program);
	transcripts_print(&judge->expected, &judge->got);
}
