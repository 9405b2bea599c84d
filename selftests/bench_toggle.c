// SPDX-License-Identifier: GPL-2.0
/*
 * What it costs to turn every pr_debug() site of the kernel on and off again:
 * by dynamic debug's own control file, and by miniring's in the same boot.
 *
 * The thread that writes stays on CPU 0; function-call interrupts are counted
 * on every other CPU, and the busiest one is reported. Medians of five rounds.
 * Prints one JSON object a line.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define STOCK	"/proc/dynamic_debug/control"
#define OURS	"/sys/kernel/debug/miniring/control"
#define STATS	"/sys/kernel/debug/miniring/stats"
#define ROUNDS	5
#define MAX_CPUS 512

struct cost {
	double ipis;
	double ms;
};

static void die(const char *what)
{
	fprintf(stderr, "bench_toggle: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		die(path);
	close(fd);
}

/* Function-call interrupts so far on each CPU; how many CPUs there are. */
static int read_ipis(unsigned long *ipis)
{
	char line[16384], *at;
	int cpus = 0;
	FILE *file = fopen("/proc/interrupts", "r");

	if (!file)
		die("/proc/interrupts");
	while (fgets(line, sizeof(line), file)) {
		char *end;

		at = strstr(line, "CAL:");
		if (!at)
			continue;
		for (at += 4; cpus < MAX_CPUS; at = end) {
			ipis[cpus] = strtoul(at, &end, 10);
			if (end == at)
				break;
			cpus++;
		}
	}
	fclose(file);
	if (!cpus)
		die("no CAL row in /proc/interrupts");
	return cpus;
}

static long read_stat(const char *name)
{
	char line[256];
	long value = -1;
	FILE *file = fopen(STATS, "r");

	if (!file)
		die(STATS);
	while (fgets(line, sizeof(line), file)) {
		size_t len = strlen(name);

		if (!strncmp(line, name, len) && line[len] == ':')
			value = atol(line + len + 1);
	}
	fclose(file);
	return value;
}

/* How many sites are on. */
static long count_on(void)
{
	char line[4096];
	long on = 0;
	FILE *file = fopen(STOCK, "r");

	if (!file)
		die(STOCK);
	while (fgets(line, sizeof(line), file)) {
		char *flags = strstr(line, " =");

		if (line[0] != '#' && flags && flags[2] == 'p')
			on++;
	}
	fclose(file);
	return on;
}

static double now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

static struct cost on_and_off(const char *path, const char *on, const char *off)
{
	static unsigned long before[MAX_CPUS], after[MAX_CPUS];
	struct cost cost = { 0 };
	double start;
	int cpus, cpu;

	cpus = read_ipis(before);
	start = now_ms();
	put(path, on);
	put(path, off);
	cost.ms = now_ms() - start;
	read_ipis(after);
	for (cpu = 1; cpu < cpus; cpu++)
		if (after[cpu] - before[cpu] > cost.ipis)
			cost.ipis = after[cpu] - before[cpu];
	return cost;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values)
{
	qsort(values, ROUNDS, sizeof(*values), compare);
	return values[ROUNDS / 2];
}

static void report(const char *id, const char *unit, int digits, double value, double peer,
		   long sites, long entries)
{
	printf("{\"id\":\"%s\",\"value\":%.*f,\"unit\":\"%s\",", id, digits, value, unit);
	printf("\"peer\":\"dynamic_debug/control\",\"peer_value\":%.*f,", digits, peer);
	printf("\"better\":\"lower\",\"sites\":%ld,\"entries\":%ld}\n", sites, entries);
}

int main(void)
{
	double ipis[2][ROUNDS], ms[2][ROUNDS];
	long entries, sites;
	cpu_set_t first;
	int round;

	CPU_ZERO(&first);
	CPU_SET(0, &first);
	if (sched_setaffinity(0, sizeof(first), &first))
		die("sched_setaffinity");

	put(STOCK, "-p");
	entries = read_stat("entries");
	put(OURS, "kernel +p");
	entries = read_stat("entries") - entries;
	sites = count_on();
	put(OURS, "kernel -p");

	for (round = 0; round < ROUNDS; round++) {
		struct cost stock = on_and_off(STOCK, "+p", "-p");
		struct cost ours = on_and_off(OURS, "kernel +p", "kernel -p");

		ipis[0][round] = stock.ipis;
		ipis[1][round] = ours.ipis;
		ms[0][round] = stock.ms;
		ms[1][round] = ours.ms;
	}
	report("toggle.kernel.ipis", "IPIs", 0, median(ipis[1]), median(ipis[0]), sites, entries);
	report("toggle.kernel.ms", "ms", 1, median(ms[1]), median(ms[0]), sites, entries);
	return 0;
}
