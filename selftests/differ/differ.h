/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The parts of the differential fuzzer. A program is made from a seed (differ_make.c),
 * printed (differ_text.c) and run on a backend (differ_run.c), which gives a transcript.
 * The judge (differ_judge.c) compares the transcripts of io_uring and miniring, and shrinks
 * a program on which they disagree.
 *
 * A program has one thread. Each step ends with a wait until no completion comes, so
 * that the transcript does not depend on time.
 */
#ifndef MINIRING_SELFTEST_DIFFER_H
#define MINIRING_SELFTEST_DIFFER_H

#include "rng.h"
#include "uring.h"

#define MAX_STEPS	12
#define MAX_OPS		8	/* SQEs of a step */
#define MAX_ENTRIES	400
#define MAX_REQUESTS	128	/* user_data is below this, or is OF_MESSAGE and more */
#define OF_MESSAGE	1000
#define OF_UPDATE	2000

/* Files of a program. A pipe is two descriptors. */
enum {
	PIPE_NONBLOCK = 2,		/* before it: two shared pipes */
	PIPE_PRIVATE,			/* for one request each */
	PIPES = PIPE_PRIVATE + 6,
	EVENTFD = PIPES,
	ZERO,
	MEMFD,
	NO_FILE,
	FILES,
};

enum op_kind {
	OP_NOP,
	OP_POLL,
	OP_POLL_REMOVE,
	OP_CANCEL,
	OP_TIMEOUT,
	OP_TIMEOUT_REMOVE,
	OP_READ,
	OP_WRITE,
	OP_MESSAGE,
	OP_BAD,
};

/* Forms of a READ or a WRITE. */
#define BY_VECTOR	1
#define READ_MUCH	2	/* the number of bytes is left to chance */

/* One SQE. Fields that the kind does not use are 0. */
struct op {
	unsigned char kind;
	unsigned char flags;	/* IOSQE_* */
	unsigned char file;
	unsigned char len;	/* bytes, or a timeout's count */
	unsigned int how;	/* the kind's own flags */
	unsigned int events;	/* poll events, or whether a timeout is short */
	int res;		/* of a NOP or a message */
	unsigned int target;	/* user_data */
	unsigned int user_data;
};

enum step_kind {
	STEP_SUBMIT,		/* @nr ops, and wait for @arg of them */
	STEP_WAIT,		/* for @arg further completions */
	STEP_WRITE,		/* @arg bytes to @file */
	STEP_READ,		/* all of @file */
	STEP_REAP,		/* @arg completions */
	STEP_EXPIRE,		/* a short timeout, and a wait that it ends */
};

struct step {
	unsigned char kind;
	unsigned char nr;
	unsigned char arg;
	unsigned char file;
	bool min_wait;
	bool loose;		/* the order of different chains is free */
	struct op ops[MAX_OPS];
};

struct program {
	unsigned int setup_flags;
	unsigned int sq_entries, cq_entries;
	bool workers;		/* requests that workers complete */
	unsigned int nr;
	struct step steps[MAX_STEPS];
};

enum entry_kind {
	ENTRY_ENTER,		/* what ENTER returned */
	ENTRY_CQE,
	ENTRY_STATE,		/* after the step: tail, backlog, flags */
	ENTRY_EXPIRE,		/* whether a wait ended before its time */
};

struct entry {
	unsigned short kind;	/* without padding, to be compared */
	unsigned short step;
	int res;
	unsigned int flags;
	unsigned int data;
	unsigned long long user_data;
};

struct transcript {
	unsigned int nr;
	int error;		/* the backend could not be used */
	struct entry entries[MAX_ENTRIES];
};

enum verdict {
	AGREE,
	DISAGREE,
	UNSTABLE,		/* io_uring disagrees with itself */
	BROKEN,			/* a ring could not be made */
};

/* State of a run of the judge. 0 is the default of each field. */
struct judge {
	enum uring_backend reference, tested;
	unsigned int planted;	/* change the nth completion of the tested one, from 1 */
	struct transcript expected, got;
	unsigned int late;	/* programs that agreed only with more time */
	bool hasty;		/* while a program is made smaller: no second attempt */
};

void program_make(struct program *program, unsigned long long seed);
void program_print(const struct program *program);
void op_print(const struct op *op);
void transcript_print(const struct transcript *transcript);
void transcripts_print(const struct transcript *expected, const struct transcript *got);

/* The time in which a step must settle. */
struct patience {
	unsigned int quiet_us;	/* without a completion */
	unsigned int timer_us;	/* as much more while a short timeout may expire */
	unsigned int guide_ms;	/* for as many completions as the guide has */
};

void program_run(const struct program *program, enum uring_backend backend,
		 const struct transcript *guide, struct patience patience,
		 struct transcript *transcript);

enum verdict judge_program(struct judge *judge, const struct program *program);
/* Makes @program smaller, as long as it still disagrees. */
void judge_shrink(struct judge *judge, struct program *program);
/* Prints the program of @seed and a smaller one, with both transcripts. */
void judge_report(struct judge *judge, unsigned long long seed);

#endif /* MINIRING_SELFTEST_DIFFER_H */
