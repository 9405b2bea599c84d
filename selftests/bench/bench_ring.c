// SPDX-License-Identifier: GPL-2.0
/*
 * The cost of a ring, each number beside that of its peer, measured by the same code in
 * alternating runs of one process. One JSON object a line, see bench.h. eventfd.register_us also
 * has, for each side, the 99th percentile, the maximum, and the rate of a second thread that posts
 * completions. "beside" is the share of the cycles that began while that thread was in a call;
 * only these cycles count. With --self-check io_uring takes both places. Then values and peer
 * values should agree, which shows how far to trust the program on a machine.
 */
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include "bench.h"
#include "rings.h"

#define REGISTER_RUN_MS 250
#define MAX_SAMPLES 262144
/* The minimum of a run, however long it takes, and the limit that ends a hang. */
#define MIN_SAMPLES 8
#define REGISTER_LIMIT_MS 120000

/* NOPs */

static void nops(struct uring *ring, int batch)
{
	int ret;

	for (int i = 0; i < batch; i++)
		uring_nop(ring, i);
	ret = uring_submit(ring);
	if (ret != batch || uring_reap(ring) != batch)
		die("a batch of NOPs was not completed", ret < 0 ? ret : -EIO);
}

/*
 * Measures a submitter without the lock, in turns with a ring that takes the
 * lock and with io_uring.
 */
static void bench_issuer(const struct side sides[3])
{
	static const char *const ids[] = {
		"issuer.batch1_ns", "issuer.batch1_ns.vs_io_uring",
	};
	static struct arm arms[3];
	struct uring rings[3];
	double values[3][RUNS], run_values[3];

	for (int i = 0; i < 3; i++) {
		open_ring(&rings[i], &sides[i]);
		arms[i] = (struct arm){ .fn = nops, .ring = &rings[i], .batch = 1, .event = -1 };
	}
	run_arms(arms, 3, run_values);
	for (int run = 0; run < RUNS; run++) {
		run_arms(arms, 3, run_values);
		for (int i = 0; i < 3; i++)
			values[i][run] = run_values[i];
	}
	for (int i = 0; i < 2; i++) {
		report(ids[i], "ns", values[0], sides[i + 1].name, values[i + 1]);
		puts("}");
	}
	for (int i = 0; i < 3; i++)
		uring_close(&rings[i]);
}

/* Acquisitions of the mutex by a submission, from exact counts. */
static void bench_locks(const struct side sides[2])
{
	double values[2][RUNS];

	for (int run = 0; run < RUNS; run++) {
		for (int i = 0; i < 2; i++) {
			struct ring_tally before, after;
			struct uring ring;

			open_ring(&ring, &sides[i]);
			check("fdinfo", ring_tally(ring.fd, &before));
			for (int j = 0; j < 1000; j++)
				nops(&ring, 1);
			check("fdinfo", ring_tally(ring.fd, &after));
			values[i][run] = (double)(after.locks - before.locks) /
					 (after.submits - before.submits);
			uring_close(&ring);
		}
	}
	report("issuer.locks_per_submit", "locks", values[0], sides[1].name, values[1]);
	puts("}");
}

/*
 * Measures the cost of a registered eventfd for a NOP, on each side. The address of a ring has
 * an effect of the same size, so each run has new rings.
 */
static void bench_signal(const struct side sides[2])
{
	static struct arm arms[4];
	int fd = eventfd(0, EFD_NONBLOCK);
	struct uring rings[2];
	double values[2][RUNS], run_values[4];
	unsigned long long count;

	for (int run = 0; run < RUNS; run++) {
		for (int i = 0; i < 4; i++) {
			if (i % 2 == 0)
				open_ring(&rings[i / 2], &sides[i / 2]);
			arms[i].fn = nops;
			arms[i].ring = &rings[i / 2];
			arms[i].batch = 1;
			arms[i].event = i % 2 ? fd : -1;
			time_slice(&arms[i]);
			if (i % 2 == 0)
				continue;
			/* A side that does not signal would seem fast. */
			if (read(fd, &count, sizeof(count)) != sizeof(count) || count < 256)
				die("completions were not signalled", -EIO);
		}
		run_arms(arms, 4, run_values);
		for (int i = 0; i < 2; i++) {
			values[i][run] = run_values[2 * i + 1] - run_values[2 * i];
			uring_close(&rings[i]);
		}
		check("read", read(fd, &count, sizeof(count)) != sizeof(count));
	}
	report("eventfd.signal_ns", "ns", values[0], sides[1].name, values[1]);
	puts("}");
	close(fd);
}

/* Counts the same costs in instructions, which need no turns. */
static void count_signal(const struct side sides[2], int fd)
{
	const struct job nop = { NULL, nops, 1 };
	double values[2][RUNS];

	for (int i = 0; i < 2; i++) {
		struct uring ring;

		open_ring(&ring, &sides[i]);
		for (int run = 0; run < RUNS; run++) {
			values[i][run] = -count_instructions(&nop, &ring);
			check("register", uring_register_eventfd(&ring, fd));
			values[i][run] += count_instructions(&nop, &ring);
			check("unregister", uring_unregister_eventfd(&ring));
		}
		uring_close(&ring);
	}
	report("eventfd.signal.instructions", "instructions", values[0], sides[1].name, values[1]);
	puts("}");
}

/* The eventfd of change_eventfd(). */
static int change_fd;

/* Makes the two calls of eventfd.register_us, alone, for bench_instructions(). */
static void change_eventfd(struct uring *ring, int batch)
{
	for (int i = 0; i < batch; i++) {
		check("register", uring_register_eventfd(ring, change_fd));
		check("unregister", uring_unregister_eventfd(ring));
	}
}

static void count_all(const struct side rcu[2], const struct side issuer[2])
{
	const struct job one = { NULL, nops, 1 }, many = { NULL, nops, 32 };
	const struct job change = { NULL, change_eventfd, 1 };

	bench_instructions("nop.instructions", &one, rcu);
	bench_instructions("nop.instructions.batch32", &many, rcu);
	bench_instructions("nop.instructions.issuer", &one, issuer);
	change_fd = eventfd(0, EFD_NONBLOCK);
	count_signal(rcu, change_fd);
	bench_instructions("eventfd.register.instructions", &change, rcu);
	close(change_fd);
}

/* Registration beside a thread that posts */

struct poster {
	pthread_t thread;
	struct uring *ring;
	unsigned int batch;	/* NOPs a call */
	unsigned long long posted;
	int inside;		/* a call that submits and reaps, with its lock */
	int stop;
};

static void *poster_main(void *arg)
{
	struct poster *p = arg;

	pin(1);
	while (!__atomic_load_n(&p->stop, __ATOMIC_ACQUIRE)) {
		__atomic_store_n(&p->inside, 1, __ATOMIC_RELEASE);
		nops(p->ring, p->batch);
		__atomic_store_n(&p->inside, 0, __ATOMIC_RELEASE);
		__atomic_store_n(&p->posted, p->posted + p->batch, __ATOMIC_RELEASE);
	}
	return NULL;
}

static unsigned long long posted(struct poster *p)
{
	return __atomic_load_n(&p->posted, __ATOMIC_ACQUIRE);
}

/*
 * Measures in one run the microseconds of a register and unregister cycle, and the rate of the
 * poster. Only cycles count that begin while the poster is in a call. The rate shows whether the
 * poster always had its CPU.
 */
struct registration {
	double median, mean, p99, max, posts_per_s, sleeps, beside;
};

static struct registration time_register(struct poster *p, int fd)
{
	static double samples[MAX_SAMPLES];
	long long start = now_ns(), end = start + REGISTER_RUN_MS * 1000000LL;
	long long last = start + REGISTER_LIMIT_MS * 1000000LL;
	unsigned long long posts = posted(p);
	struct registration r = { 0 };
	struct rusage before, after;
	long long begin, now = start;
	size_t nr = 0, cycles = 0;
	double sum = 0;

	getrusage(RUSAGE_THREAD, &before);
	while ((now < end || nr < MIN_SAMPLES || posted(p) - posts < MIN_SAMPLES * p->batch) &&
	       nr < MAX_SAMPLES) {
		int inside = __atomic_load_n(&p->inside, __ATOMIC_ACQUIRE);
		int ret;

		begin = now_ns();
		ret = uring_register_eventfd(p->ring, fd);
		if (!ret)
			ret = uring_unregister_eventfd(p->ring);
		now = now_ns();
		if (ret)
			die("changing the eventfd of a busy ring", ret);
		if (now > last)
			die("the poster got no CPU", -ETIMEDOUT);
		cycles++;
		if (!inside)
			continue;
		samples[nr++] = (now - begin) / 1000.0;
		sum += samples[nr - 1];
	}
	getrusage(RUSAGE_THREAD, &after);
	posts = posted(p) - posts;
	r.posts_per_s = posts * 1e9 / (now - start);
	r.sleeps = (double)(after.ru_nvcsw - before.ru_nvcsw) / cycles;
	r.beside = (double)nr / cycles;
	r.mean = sum / nr;
	r.median = median(samples, nr);
	r.p99 = quantile(samples, nr, 0.99);
	r.max = samples[nr - 1];
	return r;
}

/* Returns the rate of the poster when no thread changes the eventfd. */
static double time_posts(struct poster *p)
{
	struct timespec ts = { .tv_nsec = RUN_MS * 1000000L };
	long long start = now_ns();
	unsigned long long posts = posted(p);

	nanosleep(&ts, NULL);
	return (posted(p) - posts) * 1e9 / (now_ns() - start);
}

static double field_median(const struct registration *runs, size_t offset)
{
	double values[RUNS];

	for (int i = 0; i < RUNS; i++)
		values[i] = *(const double *)((const char *)&runs[i] + offset);
	return median(values, RUNS);
}

static void report_registrations(const char *prefix, const struct registration *runs,
				 double alone)
{
	printf(",\"%smean\":%.2f,\"%sp99\":%.2f,\"%smax\":%.2f", prefix,
	       field_median(runs, offsetof(struct registration, mean)), prefix,
	       field_median(runs, offsetof(struct registration, p99)), prefix,
	       field_median(runs, offsetof(struct registration, max)));
	printf(",\"%sposts_per_s\":%.0f,\"%sposts_alone_per_s\":%.0f,\"%sbeside\":%.3f", prefix,
	       field_median(runs, offsetof(struct registration, posts_per_s)),
	       prefix, alone, prefix,
	       field_median(runs, offsetof(struct registration, beside)));
}

/* Counts the sleeps in a cycle, which shows waits without a clock. */
static void report_sleeps(const char *id, struct registration runs[2][RUNS], const char *peer)
{
	double sleeps[2][RUNS];

	for (int i = 0; i < 2; i++)
		for (int run = 0; run < RUNS; run++)
			sleeps[i][run] = runs[i][run].sleeps;
	report(id, "sleeps", sleeps[0], peer, sleeps[1]);
	puts("}");
}

static void bench_register(const char *id, const char *sleeps_id, unsigned int batch,
			   const struct side sides[2])
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct registration runs[2][RUNS];
	double values[2][RUNS], alone[2][RUNS];

	/* One poster at a time: two would compete for its CPU. */
	for (int run = 0; run < RUNS; run++) {
		for (int i = 0; i < 2; i++) {
			struct uring ring;
			struct poster poster = { .ring = &ring, .batch = batch };
			unsigned long long count;

			open_ring(&ring, &sides[i]);
			pthread_create(&poster.thread, NULL, poster_main, &poster);
			alone[i][run] = time_posts(&poster);
			runs[i][run] = time_register(&poster, fd);
			values[i][run] = runs[i][run].median;
			__atomic_store_n(&poster.stop, 1, __ATOMIC_RELEASE);
			pthread_join(poster.thread, NULL);
			uring_close(&ring);
			(void)!read(fd, &count, sizeof(count));
		}
	}
	report(id, "us", values[0], sides[1].name, values[1]);
	report_registrations("", runs[0], median(alone[0], RUNS));
	report_registrations("peer_", runs[1], median(alone[1], RUNS));
	puts("}");
	report_sleeps(sleeps_id, runs, sides[1].name);
	close(fd);
}

int main(int argc, char **argv)
{
	struct side io_uring = { .name = "io_uring", .backend = URING_IO_URING };
	struct side rcu = { .name = "miniring", .model = MINIRING_NOTIFY_RCU };
	struct side spinlock = { .name = "spinlock", .model = MINIRING_NOTIFY_SPINLOCK };
	struct side quiesce = { .name = "quiesce", .model = MINIRING_NOTIFY_QUIESCE };
	struct side locked = { .name = "locked" };
	struct side issuer = { .name = "miniring", .flags = IORING_SETUP_SINGLE_ISSUER };
	struct side issuer_peer = {
		.name = "io_uring",
		.backend = URING_IO_URING,
		.flags = IORING_SETUP_SINGLE_ISSUER,
	};
	const struct job one = { NULL, nops, 1 }, many = { NULL, nops, 32 };
	bool self_check = argc == 2 && !strcmp(argv[1], "--self-check");

	if (self_check) {
		issuer.backend = URING_IO_URING;
		locked.backend = URING_IO_URING;
		rcu.backend = URING_IO_URING;
		spinlock.backend = URING_IO_URING;
		quiesce.backend = URING_IO_URING;
	} else if (argc == 2 && !strcmp(argv[1], "--instructions")) {
		count_all((struct side[]){ rcu, io_uring }, (struct side[]){ issuer, issuer_peer });
		return 0;
	} else if (argc != 1) {
		fprintf(stderr, "usage: %s [--self-check | --instructions]\n", argv[0]);
		return 2;
	}

	setvbuf(stdout, NULL, _IOLBF, 0);
	pin(0);
	bench_ns("nop.batch1_ns", &one, (struct side[]){ rcu, io_uring });
	bench_ns("nop.batch32_ns", &many, (struct side[]){ rcu, io_uring });
	bench_issuer((struct side[]){ issuer, locked, issuer_peer });
	if (!self_check)
		bench_locks((struct side[]){ issuer, locked });
	bench_signal((struct side[]){ rcu, io_uring });
	bench_register("eventfd.register_us", "eventfd.register.sleeps", 32,
		       (struct side[]){ rcu, quiesce });
	bench_register("eventfd.register_us.vs_spinlock", "eventfd.register.sleeps.vs_spinlock",
		       32, (struct side[]){ rcu, spinlock });
	bench_register("eventfd.register_us.vs_io_uring", "eventfd.register.sleeps.vs_io_uring",
		       32, (struct side[]){ rcu, io_uring });
	bench_register("eventfd.register_us.vs_io_uring.batch1",
		       "eventfd.register.sleeps.vs_io_uring.batch1", 1,
		       (struct side[]){ rcu, io_uring });
	return 0;
}
