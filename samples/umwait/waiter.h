/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A thread waits for completions of a ring and for other threads at once, on
 * the cache line of the CQ tail. The word after the tail is free for userspace.
 *
 * The waiter waits for a bounded time in user space, and then in the kernel. In
 * user space it uses UMONITOR and UMWAIT if the CPU has them, else PAUSE.
 * Another thread stores a message for the waiter and calls waiter_ring().
 * waiter_ring() stores to the user word, which ends UMWAIT as a new tail does.
 * Then it checks whether the waiter has announced a sleep. In that case the
 * caller must make a completion, because only a completion ends a sleep in the
 * kernel.
 *
 * No wake-up is lost. The waiter announces its sleep and then checks for work
 * once more. The other thread posts its message and then checks for the
 * announcement. Between the two steps of each is a full barrier, so at least
 * one of them sees the store of the other.
 */
#ifndef MINIRING_SAMPLE_WAITER_H
#define MINIRING_SAMPLE_WAITER_H

#include <cpuid.h>
#include <immintrin.h>
#include <stdbool.h>
#include <time.h>

/*
 * The word after the CQ tail. Each byte has one writer, or may be written at
 * any time, so no store needs to be atomic with another byte.
 */
struct user_word {
	unsigned char bell;	/* stored to by the ringing thread, never read */
	unsigned char asleep;	/* set by the waiter, cleared by its waker */
	unsigned short unused;
};

/* The cause of the end of a wait. */
enum wake {
	WAKE_AT_ONCE,		/* there was work already */
	WAKE_SHORT,		/* work came while waiting in user space */
	WAKE_ANNOUNCED,		/* work came while the sleep was announced */
	WAKE_SLEPT,		/* the kernel was entered and came back */
};

struct waiter {
	unsigned int *cq_tail;
	bool umwait;			/* the CPU has WAITPKG */
	double tsc_per_ns;
	bool (*has_work)(void *arg);	/* completions or messages */
	int (*sleep)(void *arg);	/* until there is a completion */
	void *arg;
	int slept;			/* the last result of sleep() */
	unsigned long long announced;	/* number of announced sleeps */
};

static inline long long waiter_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static inline bool cpu_has_waitpkg(void)
{
	unsigned int a, b, c, d;

	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (c & 1 << 5);
}

/* Sets the fields that the caller does not set; takes ten milliseconds. */
static inline void waiter_init(struct waiter *w)
{
	long long start = waiter_now();
	unsigned long long tsc = __rdtsc();

	w->umwait = cpu_has_waitpkg();
	while (waiter_now() - start < 10000000)
		_mm_pause();
	w->tsc_per_ns = (double)(__rdtsc() - tsc) / (waiter_now() - start);
}

static inline struct user_word *waiter_word(const struct waiter *w)
{
	return (struct user_word *)(w->cq_tail + 1);
}

/*
 * Tells the waiter to check for a message that was stored. Returns true if the
 * caller must wake the waiter in the kernel. Only one of several callers gets
 * true.
 */
static inline bool waiter_ring(const struct waiter *w)
{
	struct user_word *word = waiter_word(w);

	__atomic_store_n(&word->bell, 1, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&word->asleep, __ATOMIC_RELAXED) &&
	       __atomic_exchange_n(&word->asleep, 0, __ATOMIC_ACQ_REL);
}

/* Waits until the cache line is written or until @tsc; may return early. */
__attribute__((target("waitpkg")))
static inline bool waiter_umwait(struct waiter *w, unsigned long long tsc)
{
	_umonitor(w->cq_tail);
	/* Check for work that came before the line was monitored. */
	if (w->has_work(w->arg))
		return true;
	_umwait(0, tsc);
	return w->has_work(w->arg);
}

static inline bool waiter_pause(struct waiter *w)
{
	for (int i = 0; i < 32; i++) {
		if (w->has_work(w->arg))
			return true;
		_mm_pause();
	}
	return false;
}

/* Waits in user space until there is work, for about @bound_ns. */
static inline bool waiter_short(struct waiter *w, long long bound_ns)
{
	unsigned long long tsc = __rdtsc() + (unsigned long long)(bound_ns * w->tsc_per_ns);

	do {
		if (w->umwait ? waiter_umwait(w, tsc) : waiter_pause(w))
			return true;
	} while (__rdtsc() < tsc);
	return false;
}

/* Waits until there is work: about @bound_ns in user space, then in the kernel. */
static inline enum wake waiter_wait(struct waiter *w, long long bound_ns)
{
	struct user_word *word = waiter_word(w);
	enum wake wake = WAKE_ANNOUNCED;

	if (w->has_work(w->arg))
		return WAKE_AT_ONCE;
	if (bound_ns && waiter_short(w, bound_ns))
		return WAKE_SHORT;

	w->announced++;
	__atomic_store_n(&word->asleep, 1, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!w->has_work(w->arg)) {
		w->slept = w->sleep(w->arg);
		wake = WAKE_SLEPT;
	}
	/* Another thread may have taken the byte, and be about to make a completion. */
	__atomic_store_n(&word->asleep, 0, __ATOMIC_RELAXED);
	return wake;
}

#endif /* MINIRING_SAMPLE_WAITER_H */
