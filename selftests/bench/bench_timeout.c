// SPDX-License-Identifier: GPL-2.0
/*
 * The latency of a timeout, beside io_uring in the same boot: from its expiry until its CQE is
 * visible to a thread that polls the CQ tail on another CPU. The submitter sleeps in ENTER
 * meanwhile. The output is that of bench_ring, of the median and of the 99th percentile.
 *
 * With --instructions those are counted, on one CPU: until the submitter has returned from its
 * sleep in ENTER, or sees the CQE while it polls the tail itself.
 */
#include <pthread.h>
#include "bench.h"

#define SLICE 50
#define SLICES 10
#define SAMPLES (SLICE * SLICES)
#define AFTER_NS 1000000

/* The thread that polls. The submitter stores @round to start it, and it stores @done. */
struct watcher {
	pthread_t thread;
	struct uring *ring;
	unsigned int tail;	/* the CQ tail before the CQE */
	long long seen;		/* when the tail had moved */
	int round, done;
};

static int load(const int *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static void *watch(void *arg)
{
	struct watcher *w = arg;

	pin(1);
	for (int last = 0;; last++) {
		while (load(&w->round) == last)
			;
		if (!w->ring)
			return NULL;
		while (uring_load(w->ring->cq.tail) == w->tail)
			;
		w->seen = now_ns();
		__atomic_store_n(&w->done, last + 1, __ATOMIC_RELEASE);
	}
}

/* Starts a round of the watcher on @ring, or ends the watcher if that is NULL. */
static void start_round(struct watcher *w, struct uring *ring)
{
	w->ring = ring;
	if (ring)
		w->tail = uring_load(ring->cq.tail);
	__atomic_store_n(&w->round, w->round + 1, __ATOMIC_RELEASE);
}

/* Submits a timeout, and sleeps until @nr CQEs are there. Returns when the timeout expires. */
static long long submit_timeout(struct uring *ring, unsigned int nr)
{
	long long expiry = now_ns() + AFTER_NS;
	struct __kernel_timespec ts = { expiry / 1000000000, expiry % 1000000000 };
	struct io_uring_sqe *sqe = uring_get_sqe(ring);
	int ret;

	sqe->opcode = IORING_OP_TIMEOUT;
	sqe->fd = -1;
	sqe->addr = (unsigned long)&ts;
	sqe->len = 1;
	sqe->timeout_flags = IORING_TIMEOUT_ABS;
	ret = nr ? uring_submit_and_wait(ring, nr) : uring_submit(ring);
	if (ret != 1 || uring_ready(ring) < nr)
		die("a timeout did not end the wait", ret < 0 ? ret : -EIO);
	return expiry;
}

/* Reaps the CQE of a timeout. Returns the nanoseconds from its expiry until it was seen. */
static double reap_timeout(struct uring *ring, long long expiry, long long seen)
{
	if (uring_peek(ring)->res != -ETIME || seen < expiry)
		die("a timeout did not expire", uring_peek(ring)->res);
	uring_advance(ring, 1);
	return seen - expiry;
}

/* Returns the latency of a timeout for the watcher. */
static double time_timeout(struct watcher *w, struct uring *ring)
{
	long long expiry;

	start_round(w, ring);
	expiry = submit_timeout(ring, 1);
	while (load(&w->done) != w->round)
		;
	return reap_timeout(ring, expiry, w->seen);
}

/* Returns the latency of a timeout for its submitter, which sleeps or polls. */
static double time_alone(struct uring *ring, bool sleeps)
{
	long long expiry = submit_timeout(ring, sleeps);

	while (!uring_ready(ring))
		;
	return reap_timeout(ring, expiry, now_ns());
}

/* With --icount the clock advances by a nanosecond for each instruction. */
static void count_latency(const char *id, bool sleeps, const struct side sides[2])
{
	static double samples[SAMPLES];
	double p50[2][RUNS], p99[2][RUNS];
	char id_p99[64];

	for (int i = 0; i < 2; i++) {
		struct uring ring;

		open_ring(&ring, &sides[i]);
		for (int run = 0; run < RUNS; run++) {
			for (int j = 0; j < SAMPLES; j++)
				samples[j] = time_alone(&ring, sleeps);
			p50[i][run] = median(samples, SAMPLES);
			p99[i][run] = quantile(samples, SAMPLES, 0.99);
		}
		uring_close(&ring);
	}
	report(id, "instructions", p50[0], sides[1].name, p50[1]);
	puts("}");
	snprintf(id_p99, sizeof(id_p99), "%s.p99", id);
	report(id_p99, "instructions", p99[0], sides[1].name, p99[1]);
	puts("}");
}

static void bench_latency(const struct side sides[2])
{
	static double samples[2][SAMPLES];
	double p50[2][RUNS], p99[2][RUNS];
	struct watcher w = { 0 };
	struct uring rings[2];

	for (int i = 0; i < 2; i++)
		open_ring(&rings[i], &sides[i]);
	check("thread", -pthread_create(&w.thread, NULL, watch, &w));
	for (int i = 0; i < 2 * SLICE; i++)
		time_timeout(&w, &rings[i % 2]);
	for (int run = 0; run < RUNS; run++) {
		for (int slice = 0; slice < 2 * SLICES; slice++) {
			double *to = &samples[slice % 2][slice / 2 * SLICE];

			for (int i = 0; i < SLICE; i++)
				to[i] = time_timeout(&w, &rings[slice % 2]);
		}
		for (int i = 0; i < 2; i++) {
			p50[i][run] = median(samples[i], SAMPLES);
			p99[i][run] = quantile(samples[i], SAMPLES, 0.99);
		}
	}
	start_round(&w, NULL);
	pthread_join(w.thread, NULL);
	report("timeout.latency.p50_ns", "ns", p50[0], sides[1].name, p50[1]);
	puts("}");
	report("timeout.latency.p99_ns", "ns", p99[0], sides[1].name, p99[1]);
	puts("}");
	for (int i = 0; i < 2; i++)
		uring_close(&rings[i]);
}

int main(int argc, char **argv)
{
	struct side sides[2] = {
		{ .name = "miniring" },
		{ .name = "io_uring", .backend = URING_IO_URING },
	};

	if (argc == 2 && !strcmp(argv[1], "--instructions")) {
		count_latency("timeout.latency.instructions", true, sides);
		count_latency("timeout.latency.instructions.poll", false, sides);
		return 0;
	} else if (argc == 2 && !strcmp(argv[1], "--self-check")) {
		sides[0].backend = URING_IO_URING;
	} else if (argc != 1) {
		fprintf(stderr, "usage: %s [--self-check | --instructions]\n", argv[0]);
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	pin(0);
	bench_latency(sides);
	return 0;
}
