/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The parts of the fuzzer. Programs have operations (fuzz_ops.c and the files in fuzz_ops.h) and
 * queries for the control file (fuzz_text.c). fuzz_kcov.c has their coverage, and fuzz.c the
 * threads that make, run and keep programs. All randomness comes from a seeded rng. An operation
 * is a kind and a few numbers that determine the rest, so a program can run again.
 */
#ifndef MINIRING_SELFTEST_FUZZ_H
#define MINIRING_SELFTEST_FUZZ_H

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/uio.h>
#include "modules.h"
#include "rng.h"
#include "uring.h"

#define ARRAY_LEN(array) (sizeof(array) / sizeof((array)[0]))

/* Programs. */

#define OP_GENES 3
#define PROGRAM_OPS 24

struct op {
	unsigned char kind;
	unsigned char slot;
	unsigned char fail;	/* the number of the allocation or user copy to fail; 0 for none */
	unsigned int gene[OP_GENES];
};

struct program {
	unsigned int len;
	struct op ops[PROGRAM_OPS];
};

void op_random(struct rng *rng, struct op *op);
void op_print(const struct op *op);

/* The coverage of a thread, if the kernel has KCOV. */

struct kcov {
	int fd;
	unsigned long *cover;
};

/* The module's text, one byte for each address: whether it was executed. */
extern unsigned long text_start, text_end;

bool kcov_available(void);
bool kcov_find_text(void);
bool kcov_start(struct kcov *kcov);
void kcov_stop(struct kcov *kcov);
unsigned int kcov_harvest(struct kcov *kcov);
unsigned int kcov_covered(void);
bool kcov_write(const char *path);

/*
 * The regions of a ring are mapped into windows at fixed addresses, which have no other use. So a
 * stray write through an address that another thread has just unmapped can only fault, and the
 * writer survives the fault.
 */
enum { REGION_SQ, REGION_CQ, REGION_SQES, REGIONS };

#define WINDOW (4UL << 20)

struct slot {
	int fd;
	struct io_uring_params p;
	unsigned int submitted;
	unsigned int mapped;	/* a bit for each region */
	char *window[REGIONS];
};

#define LOCAL_SLOTS 6
#define SHARED_SLOTS 4
#define EVENTFDS 4
#define VECTORS 4
/* Requests are about files of lower numbers. */
#define REQUEST_FDS 64

struct worker {
	pthread_t thread;
	struct rng rng;
	struct slot slots[LOCAL_SLOTS];
	struct slot *shared;
	int eventfds[EVENTFDS];
	int epoll;
	int sockets[2];
	/* A mapping of two pages, which stays. */
	int file;
	/* Three pages: one to read, one to read and write, and one to do neither. */
	char *arena;
	/* Memory of transfers: a page that requests write to, outside the arena. */
	char *data;
	/* Vectors of that memory, which no request writes to. */
	struct iovec *vectors;
	struct kcov kcov;
	unsigned long long calls;
	/* Changes with each call, so that a long call is detected. */
	unsigned long long beat;
	unsigned int unexpected;
	/*
	 * Descriptor that requests faults, if the kernel has them; whether a fault is due; whether
	 * one was due for the current operation.
	 */
	int fail_nth;
	bool armed, faulty;
	/* The running program, and its position. */
	const struct program *program;
	unsigned int pc;
	unsigned int child_ends;
	int child;
	bool keep;
	sigjmp_buf jump;
	bool may_fault;
};

extern __thread struct worker *self;
extern bool trace;

bool worker_init(struct worker *w, struct slot *shared);
void worker_exit(struct worker *w);
bool slots_init(struct slot *slots, unsigned int nr);
void slots_exit(struct slot *slots, unsigned int nr);
void program_run(struct worker *w, const struct program *program);

/* Queries. */

#define TEXT_MAX 6144

size_t text_query(struct rng *rng, char *text);
int text_write(const char *path, const char *text);
char *sites_read(void);
bool sites_restore(const char *before);

#endif /* MINIRING_SELFTEST_FUZZ_H */
