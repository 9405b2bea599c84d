// SPDX-License-Identifier: GPL-2.0
/*
 * The cost of turning every pr_debug() site of the kernel on and off again. Compares dynamic
 * debug's own control file with miniring's in the same boot, with each backend. Does the same for
 * the keys of samples/many_keys.c. Loads miniring.ko again with other parameters, from the current
 * directory, and leaves it loaded without parameters. The thread that writes stays on CPU 0.
 * Function-call interrupts are counted on every other CPU, and that of the busiest CPU is
 * reported. Prints medians of five rounds, one JSON object a line.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "clock.h"

#define STOCK	"/proc/dynamic_debug/control"
#define OURS	"/sys/kernel/debug/miniring/control"
#define STATS	"/sys/kernel/debug/miniring/stats"
#define MANY	"/sys/kernel/debug/miniring_many_keys"
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

/* Reads the function-call interrupts of each CPU. Returns the number of CPUs. */
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

/* Returns the number of sites that are on. */
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

static struct cost on_and_off(const char *path, const char *on, const char *off)
{
	static unsigned long before[MAX_CPUS], after[MAX_CPUS];
	struct cost cost = { 0 };
	double start;
	int cpus, cpu;

	cpus = read_ipis(before);
	start = now_ns() / 1e6;
	put(path, on);
	put(path, off);
	cost.ms = now_ns() / 1e6 - start;
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
	printf("\"better\":\"lower\",\"sites\":%ld,\"entries\":%ld,", sites, entries);
	/* Three synchronisations for 256 entries, twice. */
	printf("\"floor_ipis\":%ld}\n", 2 * 3 * ((entries + 255) / 256));
}

static void unload(const char *module)
{
	if (syscall(SYS_delete_module, module, O_NONBLOCK) && errno != ENOENT)
		die(module);
}

static void load(const char *path, const char *parameters)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || syscall(SYS_finit_module, fd, parameters, 0))
		die(path);
	close(fd);
}

static void reload(const char *parameters)
{
	unload("miniring");
	load("miniring.ko", parameters);
}

/* The longest gap between two reads of the clock, in a thread that only reads it. */
static bool spinning, spin_ends;

static void *spin(void *longest)
{
	double last = now_ns() / 1e6, now;
	cpu_set_t second;

	CPU_ZERO(&second);
	CPU_SET(1, &second);
	if (sched_setaffinity(0, sizeof(second), &second))
		die("sched_setaffinity");
	for (last = now_ns() / 1e6; !__atomic_load_n(&spin_ends, __ATOMIC_RELAXED); last = now) {
		now = now_ns() / 1e6;
		if (__atomic_load_n(&spinning, __ATOMIC_RELAXED) && now - last > *(double *)longest)
			*(double *)longest = now - last;
	}
	return NULL;
}

struct stall {
	double us;
	double ipis;
	double ms;
};

static struct stall stall(const char *parameters, const char *on)
{
	double us[ROUNDS], ipis[ROUNDS], ms[ROUNDS];
	int round;

	reload(parameters);
	for (round = 0; round < ROUNDS; round++) {
		double longest = 0;
		struct cost cost;
		pthread_t thread;

		spin_ends = false;
		if (pthread_create(&thread, NULL, spin, &longest))
			die("pthread_create");
		usleep(20000);
		__atomic_store_n(&spinning, true, __ATOMIC_RELAXED);
		cost = on_and_off(OURS, on, "#");
		usleep(cost.ms < 100 ? 100000 - 1000 * cost.ms : 0);
		__atomic_store_n(&spinning, false, __ATOMIC_RELAXED);
		__atomic_store_n(&spin_ends, true, __ATOMIC_RELAXED);
		pthread_join(thread, NULL);
		put(OURS, "kernel -p");
		us[round] = longest * 1e3;
		ipis[round] = cost.ipis;
		ms[round] = cost.ms;
	}
	return (struct stall){ median(us), median(ipis), median(ms) };
}

static void bench_stall(void)
{
	struct stall batched = stall("backend=batched", "kernel +p");
	struct stall stopped = stall("backend=stopped", "kernel +p");
	struct stall immediate = stall("backend=immediate", "kernel +p");
	/* The longest gap without an apply. */
	struct stall nothing = stall("backend=batched", "#");

	printf("{\"id\":\"toggle.stall_us\",\"value\":%.0f,\"unit\":\"us\",", batched.us);
	printf("\"peer\":\"stopped\",\"peer_value\":%.0f,\"better\":\"lower\",", stopped.us);
	printf("\"ipis\":%.0f,\"peer_ipis\":%.0f,", batched.ipis, stopped.ipis);
	printf("\"ms\":%.1f,\"peer_ms\":%.1f,\"without_us\":%.0f,", batched.ms,
	       stopped.ms, nothing.us);
	printf("\"immediate_us\":%.0f,\"immediate_ipis\":%.0f,\"immediate_ms\":%.1f}\n",
	       immediate.us, immediate.ipis, immediate.ms);
}

/* Measures the order of the RFC, which is the order of the descriptors. */
static void bench_unsorted(void)
{
	double ipis[2][ROUNDS], ms[2][ROUNDS];
	int round, sorted;

	for (sorted = 0; sorted < 2; sorted++) {
		reload(sorted ? "backend=batched" : "backend=unsorted");
		for (round = 0; round < ROUNDS; round++) {
			struct cost cost = on_and_off(OURS, "kernel +p", "kernel -p");

			ipis[sorted][round] = cost.ipis;
			ms[sorted][round] = cost.ms;
		}
	}
	printf("{\"id\":\"toggle.kernel.unsorted_ipis\",\"value\":%.0f,\"unit\":\"IPIs\",",
	       median(ipis[0]));
	printf("\"peer\":\"sorted\",\"peer_value\":%.0f,\"better\":\"lower\",", median(ipis[1]));
	printf("\"ms\":%.1f,\"peer_ms\":%.1f}\n", median(ms[0]), median(ms[1]));
}

static struct cost change(const char *how, int keys)
{
	char on[64], off[64];

	snprintf(on, sizeof(on), "%s on %d", how, keys);
	snprintf(off, sizeof(off), "%s off %d", how, keys);
	return on_and_off(MANY, on, off);
}

/* Returns the number of branches of the module that are taken. */
static int taken(void)
{
	FILE *file = fopen(MANY, "r");
	int taken = -1;

	if (!file || fscanf(file, "%d", &taken) != 1)
		die(MANY);
	fclose(file);
	return taken;
}

static void bench_own(void)
{
	static const int sizes[] = { 256, 1024, 4096, 16384, 65536, 100000, 0 };
	double ipis[ROUNDS], ms[ROUNDS];
	struct cost single;
	int round, i;

	load("miniring_many_keys.ko", "");
	put(MANY, "queued on 4096");
	if (taken() != 4096)
		die("not all branches are taken");
	put(MANY, "queued off 4096");
	if (taken())
		die("a branch is still taken");

	/* Runs once, because a run takes long and its count is exact. */
	single = change("single", 4096);
	for (round = 0; round < ROUNDS; round++) {
		struct cost cost = change("queued", 4096);

		ipis[round] = cost.ipis;
		ms[round] = cost.ms;
	}
	printf("{\"id\":\"toggle.own.ipis\",\"value\":%.0f,\"unit\":\"IPIs\",", median(ipis));
	printf("\"peer\":\"static_key_enable\",\"peer_value\":%.0f,\"better\":\"lower\",",
	       single.ipis);
	printf("\"keys\":4096,\"floor\":%d}\n", 2 * 3 * 4096 / 256);
	printf("{\"id\":\"toggle.own.ms\",\"value\":%.1f,\"unit\":\"ms\",", median(ms));
	printf("\"peer\":\"static_key_enable\",\"peer_value\":%.1f,\"better\":\"lower\",",
	       single.ms);
	printf("\"keys\":4096,\"by_keys\":[");
	for (i = 0; sizes[i]; i++) {
		for (round = 0; round < ROUNDS; round++) {
			struct cost cost = change("queued", sizes[i]);

			ipis[round] = cost.ipis;
			ms[round] = cost.ms;
		}
		printf("%s{\"keys\":%d,\"ipis\":%.0f,\"us_per_key\":%.2f}", i ? "," : "", sizes[i],
		       median(ipis), median(ms) * 1e3 / 2 / sizes[i]);
	}
	printf("]}\n");
	unload("miniring_many_keys");
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

	if (sysconf(_SC_NPROCESSORS_ONLN) > 1)
		bench_stall();
	bench_unsorted();
	bench_own();
	reload("");
	return 0;
}
