// SPDX-License-Identifier: GPL-2.0
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "bench.h"

void die(const char *what, int ret)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(-ret));
	exit(1);
}

void open_ring(struct uring *ring, const struct side *side)
{
	int ret;

	*ring = (struct uring){ .model = side->model, .p.flags = side->flags };
	ret = uring_open_on(side->backend, ring, ENTRIES);
	if (ret)
		die(side->name, ret);
}

void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double quantile(double *values, size_t nr, double part)
{
	if (!nr)
		return 0;
	qsort(values, nr, sizeof(*values), by_value);
	return values[(size_t)((nr - 1) * part + 0.5)];
}

void report(const char *id, const char *unit, double *values, const char *peer, double *peers)
{
	printf("{\"id\":\"%s\",\"value\":%.2f,\"unit\":\"%s\",", id,
	       median(values, RUNS), unit);
	printf("\"peer\":\"%s\",\"peer_value\":%.2f,\"better\":\"lower\",", peer,
	       median(peers, RUNS));
	printf("\"spread\":[%.2f,%.2f],\"peer_spread\":[%.2f,%.2f]",
	       values[0], values[RUNS - 1], peers[0], peers[RUNS - 1]);
}

double time_slice(struct arm *arm)
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

void run_arms(struct arm *arms, int nr, double *values)
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

void bench_ns(const char *id, const struct job *job, const struct side sides[2])
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

double count_instructions(const struct job *job, struct uring *ring)
{
	static double samples[1001];

	for (int i = 0; i < 1001; i++) {
		unsigned long long start = __builtin_ia32_rdtsc();

		job->fn(ring, job->batch);
		samples[i] = (double)(__builtin_ia32_rdtsc() - start) / job->batch;
	}
	return median(samples, 1001);
}

void bench_instructions(const char *id, const struct job *job, const struct side sides[2])
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
