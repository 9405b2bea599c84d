/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Shared by the programs that measure rings: arms that take turns, each with a ring of one
 * backend, and the printing of results. One JSON object a line: id, value, unit, peer, peer_value,
 * better as in build/bench.json; spread, peer_spread: least and greatest run.
 */
#ifndef MINIRING_SELFTEST_BENCH_H
#define MINIRING_SELFTEST_BENCH_H

#include <sched.h>
#include <stdbool.h>
#include <time.h>
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

static inline void die(const char *what, int ret)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(-ret));
	exit(1);
}

static inline long long now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static inline void open_ring(struct uring *ring, const struct side *side)
{
	int ret;

	*ring = (struct uring){ .model = side->model, .p.flags = side->flags };
	ret = uring_open_on(side->backend, ring, ENTRIES);
	if (ret)
		die(side->name, ret);
}

/* Binds the calling thread to @cpu, if there is one. */
static inline void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static inline int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Returns the value that @part of the sorted values are below. */
static inline double quantile(double *values, size_t nr, double part)
{
	if (!nr)
		return 0;
	qsort(values, nr, sizeof(*values), by_value);
	return values[(size_t)((nr - 1) * part + 0.5)];
}

static inline double median(double *values, size_t nr)
{
	return quantile(values, nr, 0.5);
}

/* Prints the fields of every line; the caller ends the line. */
static inline void report(const char *id, const char *unit, double *values,
			  const char *peer, double *peers)
{
	printf("{\"id\":\"%s\",\"value\":%.2f,\"unit\":\"%s\",", id,
	       median(values, RUNS), unit);
	printf("\"peer\":\"%s\",\"peer_value\":%.2f,\"better\":\"lower\",", peer,
	       median(peers, RUNS));
	printf("\"spread\":[%.2f,%.2f],\"peer_spread\":[%.2f,%.2f]",
	       values[0], values[RUNS - 1], peers[0], peers[RUNS - 1]);
}

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
static inline double time_slice(struct arm *arm)
{
	const int calls = arm->batch > 8 ? 64 : 256;
	long long start, end;

	if (arm->event >= 0)
		check("register", uring_register_eventfd(arm->ring, arm->event));
	start = now_ns();
	for (int i = 0; i < calls; i++)
		arm->fn(arm->ring, arm->batch);
	end = now_ns();
	if (arm->event >= 0)
		check("unregister", uring_unregister_eventfd(arm->ring));
	return (double)(end - start) / calls / arm->batch;
}

/* Makes one run of all arms, and stores the value of each in @values. */
static inline void run_arms(struct arm *arms, int nr, double *values)
{
	long long end = now_ns() + nr * RUN_MS * 1000000LL;

	for (int i = 0; i < nr; i++)
		arms[i].nr = 0;
	do {
		for (int i = 0; i < nr; i++)
			arms[i].slices[arms[i].nr++] = time_slice(&arms[i]);
	} while (now_ns() < end && arms[0].nr < MAX_SLICES);
	for (int i = 0; i < nr; i++)
		values[i] = median(arms[i].slices, arms[i].nr);
}

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
static inline void bench_ns(const char *id, const struct job *job, const struct side sides[2])
{
	static struct arm arms[2];
	struct uring rings[2];
	double values[2][RUNS], run_values[2];

	for (int i = 0; i < 2; i++) {
		open_for(job, &rings[i], &sides[i]);
		arms[i].fn = job->fn;
		arms[i].ring = &rings[i];
		arms[i].batch = job->batch;
		arms[i].event = -1;
	}
	run_arms(arms, 2, run_values);
	for (int run = 0; run < RUNS; run++) {
		run_arms(arms, 2, run_values);
		for (int i = 0; i < 2; i++)
			values[i][run] = run_values[i];
	}
	report(id, "ns", values[0], sides[1].name, values[1]);
	puts("}");
	for (int i = 0; i < 2; i++)
		uring_close(&rings[i]);
}

/*
 * Measures instructions, where the time stamp counter counts those (scripts/vm.py --icount): of
 * one of a batch, from its entry to its completion being taken. An interrupt in between does not
 * move the median.
 */
static inline double count_instructions(const struct job *job, struct uring *ring)
{
	static double samples[1001];

	for (int i = 0; i < 1001; i++) {
		unsigned long long start = __builtin_ia32_rdtsc();

		job->fn(ring, job->batch);
		samples[i] = (double)(__builtin_ia32_rdtsc() - start) / job->batch;
	}
	return median(samples, 1001);
}

static inline void bench_instructions(const char *id, const struct job *job,
				      const struct side sides[2])
{
	double values[2][RUNS];

	for (int i = 0; i < 2; i++) {
		struct uring ring;

		open_for(job, &ring, &sides[i]);
		for (int run = 0; run < RUNS; run++)
			values[i][run] = count_instructions(job, &ring);
		uring_close(&ring);
	}
	report(id, "instructions", values[0], sides[1].name, values[1]);
	puts("}");
}

#endif /* MINIRING_SELFTEST_BENCH_H */
