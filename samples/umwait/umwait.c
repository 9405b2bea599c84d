// SPDX-License-Identifier: GPL-2.0
/*
 * Uses the word after the CQ tail as the proposal of 2019 intended
 * (Documentation/review/reserved-word.rst). A thread waits for completions and
 * for messages of another thread on one cache line, first in userspace and then
 * in the kernel. waiter.h has the protocol. This program prints wake-ups by
 * cause, their latency, and the CPU time of the waiter.
 *
 *   umwait [SECONDS [MICROSECONDS]]   duration, and the bound in user space
 *
 * Needs miniring.ko loaded, and root. Exit status 0 if no wake-up was lost.
 */
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include "../../selftests/lib/uring.h"
#include "waiter.h"

#define MAX_SAMPLES 65536
#define LOST_NS 5000000000LL

enum cause { COMPLETION, MESSAGE, NR_CAUSES };

static const char *const causes[] = { "a completion", "a store to the word" };
static const char *const wakes[] = { "at once", "in user space", "announced", "asleep" };

/* The latency of wake-ups with one cause, for one state of the waiter. */
struct tally {
	unsigned long nr;
	double us[MAX_SAMPLES];
};

static struct {
	struct uring ring;
	struct waiter waiter;
	pthread_mutex_t submit;		/* held by threads that submit */
	unsigned long long message;	/* when it was sent, or 0 */
	unsigned long kicks;		/* completions only to end a sleep */
	long long end;
	bool done;
	struct tally tallies[4][NR_CAUSES];
} s = { .submit = PTHREAD_MUTEX_INITIALIZER };

static void die(const char *what, int ret)
{
	fprintf(stderr, "umwait: %s: %s\n", what, strerror(-ret));
	exit(1);
}

/* Makes a completion with the time @when; 0 for a kick. */
static void complete(unsigned long long when)
{
	int ret = -EAGAIN;

	pthread_mutex_lock(&s.submit);
	if (uring_nop(&s.ring, when))
		ret = uring_submit(&s.ring);
	pthread_mutex_unlock(&s.submit);
	if (ret != 1)
		die("submit", ret);
}

/* Pauses for a random time, often less than the bound and often more. */
static void pause_between(unsigned int *state)
{
	static const long gaps_us[] = { 5, 20, 100, 2000 };
	struct timespec ts;

	*state = *state * 1664525 + 1013904223;
	ts = (struct timespec){ .tv_nsec = gaps_us[*state >> 30] * 1000 };
	nanosleep(&ts, NULL);
}

static void *completer(void *arg)
{
	unsigned int state = 1;

	(void)arg;
	while (waiter_now() < s.end) {
		pause_between(&state);
		complete(waiter_now());
	}
	return NULL;
}

static void *messenger(void *arg)
{
	unsigned int state = 2;

	(void)arg;
	while (waiter_now() < s.end) {
		pause_between(&state);
		if (__atomic_load_n(&s.message, __ATOMIC_ACQUIRE))
			continue;	/* the last message was not taken yet */
		__atomic_store_n(&s.message, waiter_now(), __ATOMIC_RELEASE);
		if (waiter_ring(&s.waiter))
			complete(0);
	}
	__atomic_store_n(&s.done, true, __ATOMIC_RELEASE);
	if (waiter_ring(&s.waiter))
		complete(0);
	return NULL;
}

static bool has_work(void *arg)
{
	(void)arg;
	return uring_ready(&s.ring) || __atomic_load_n(&s.message, __ATOMIC_ACQUIRE) ||
	       __atomic_load_n(&s.done, __ATOMIC_ACQUIRE);
}

static int sleep_in_kernel(void *arg)
{
	struct __kernel_timespec ts = { .tv_sec = LOST_NS / 1000000000 };
	struct io_uring_getevents_arg ext = { .ts = (uintptr_t)&ts };

	(void)arg;
	return uring_enter_arg(&s.ring, 0, 1,
			       IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG,
			       &ext, sizeof(ext));
}

static void count(enum wake wake, enum cause cause, unsigned long long when)
{
	struct tally *tally = &s.tallies[wake][cause];

	if (tally->nr < MAX_SAMPLES)
		tally->us[tally->nr] = (waiter_now() - when) / 1000.0;
	tally->nr++;
}

/* Takes all completions and messages after a wake-up by @wake. */
static void take_work(enum wake wake)
{
	unsigned long long sent = __atomic_exchange_n(&s.message, 0, __ATOMIC_ACQ_REL);
	struct io_uring_cqe *cqe;

	if (sent)
		count(wake, MESSAGE, sent);
	while ((cqe = uring_peek(&s.ring))) {
		if (cqe->user_data)
			count(wake, COMPLETION, cqe->user_data);
		else
			s.kicks++;
		uring_advance(&s.ring, 1);
	}
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print_tallies(void)
{
	printf("  %-20s %-14s %8s %12s %12s\n", "woken by", "while", "times",
	       "median us", "99 % us");
	for (int cause = 0; cause < NR_CAUSES; cause++) {
		for (int wake = 0; wake < 4; wake++) {
			struct tally *t = &s.tallies[wake][cause];
			unsigned long nr = t->nr < MAX_SAMPLES ? t->nr : MAX_SAMPLES;

			if (!nr)
				continue;
			qsort(t->us, nr, sizeof(t->us[0]), by_value);
			printf("  %-20s %-14s %8lu %12.1f %12.1f\n", causes[cause],
			       wakes[wake], t->nr, t->us[nr / 2], t->us[nr * 99 / 100]);
		}
	}
}

static long long cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

int main(int argc, char **argv)
{
	double seconds = argc > 1 ? atof(argv[1]) : 2;
	long long bound = (argc > 2 ? atof(argv[2]) : 50) * 1000;
	long long start, cpu;
	pthread_t threads[2];
	unsigned int lost = 0;
	int ret;

	ret = uring_open_on(URING_MINIRING, &s.ring, 64);
	if (ret)
		die(MINIRING_DEVICE, ret);
	s.waiter = (struct waiter){
		.cq_tail = s.ring.cq.tail,
		.has_work = has_work,
		.sleep = sleep_in_kernel,
	};
	waiter_init(&s.waiter);
	printf("  in user space for %lld us, %s\n", bound / 1000, s.waiter.umwait ?
	       "by UMWAIT" : "by PAUSE: this CPU has no WAITPKG, so UMWAIT is not tried");

	start = waiter_now();
	cpu = cpu_ns();
	s.end = start + (long long)(seconds * 1e9);
	pthread_create(&threads[0], NULL, completer, NULL);
	pthread_create(&threads[1], NULL, messenger, NULL);
	while (!__atomic_load_n(&s.done, __ATOMIC_ACQUIRE)) {
		enum wake wake = waiter_wait(&s.waiter, bound);

		if (wake == WAKE_SLEPT && s.waiter.slept == -ETIME)
			lost += has_work(NULL);
		take_work(wake);
	}
	cpu = cpu_ns() - cpu;
	start = waiter_now() - start;
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);

	print_tallies();
	printf("  %llu sleeps announced, %lu ended by a completion for that, %u wake-ups lost\n",
	       s.waiter.announced, s.kicks, lost);
	printf("  the waiter used %.0f of %.0f ms\n", cpu / 1e6, start / 1e6);
	uring_close(&s.ring);
	return lost ? 1 : 0;
}
