/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the programs that measure rings: arms that take turns, each with a ring of one
 * backend, and the printing of results. One JSON object a line: id, value, unit, peer, peer_value,
 * better as in build/bench.json; spread, peer_spread: least and greatest run.
 */
#ifndef MINIRING_SELFTEST_BENCH_H
#define MINIRING_SELFTEST_BENCH_H

#include <stdbool.h>
#include "clock.h"
#include "uring.h"

#define RUNS 9
#define RUN_MS 100
#define MAX_SLICES 4096
#define ENTRIES 64

struct side {
	const char *name;
	enum uring_backend backend;
	unsigned int model;
	unsigned int flags;	/* IORING_SETUP_* */
};

void die(const char *what, int ret);

void open_ring(struct uring *ring, const struct side *side);

/* Binds the calling thread to @cpu, if there is one. */
void pin(int cpu);

/* Returns the value that @part of the sorted values are below. */
double quantile(double *values, size_t nr, double part);

static inline double median(double *values, size_t nr)
{
	return quantile(values, nr, 0.5);
}

/* Prints the fields of every line; the caller ends the line. */
void report(const char *id, const char *unit, double *values, const char *peer, double *peers);

/* Submits a batch of @batch and reaps it. */
typedef void batch_fn(struct uring *ring, int batch);

/*
 * One side of a comparison. Machines drift by more than the difference, so within a run the arms
 * take turns, a slice each, and the run's value is the median slice.
 */
struct arm {
	batch_fn *fn;
	struct uring *ring;
	int batch;
	int event;		/* registered while this arm runs, or -1 */
	size_t nr;
	double slices[MAX_SLICES];
};

static inline void check(const char *what, int ret)
{
	if (ret)
		die(what, ret);
}

/* Returns the nanoseconds of one NOP of a batch, submitted and reaped. */
double time_slice(struct arm *arm);

/* Makes one run of all arms, and stores the value of each in @values. */
void run_arms(struct arm *arms, int nr, double *values);

/* A job to measure: the setup of a new ring, if any, and the batches. */
struct job {
	void (*prepare)(struct uring *ring);
	batch_fn *fn;
	int batch;
};

static inline void open_for(const struct job *job, struct uring *ring, const struct side *side)
{
	open_ring(ring, side);
	if (job->prepare)
		job->prepare(ring);
}

/* Measures the nanoseconds of one of a batch, the two sides in turns. */
void bench_ns(const char *id, const struct job *job, const struct side sides[2]);

/*
 * Measures instructions, where the time stamp counter counts those (scripts/vm.py --icount): of
 * one of a batch, from its entry to its completion being taken. An interrupt in between does not
 * move the median.
 */
double count_instructions(const struct job *job, struct uring *ring);

void bench_instructions(const char *id, const struct job *job, const struct side sides[2]);

#endif /* MINIRING_SELFTEST_BENCH_H */
