/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A thread that waits for a ring's completions and for other threads at once,
 * on one cache line: that of the CQ tail, whose next word is the user's.
 *
 * It waits for a bounded time in user space, with UMONITOR and UMWAIT if the
 * CPU has them and with PAUSE if not, and then in the kernel. Another thread
 * that has put a message where the waiter will look calls waiter_ring(). That
 * is a plain store to the user's word, which ends UMWAIT as a new tail does; and
 * a look at whether the waiter said that it goes to sleep, in which case the
 * caller has to make a completion, since only that ends a sleep in the kernel.
 *
 * No wake-up is lost. The waiter announces its sleep and then looks for work
 * once more; the other thread posts its message and then looks for the
 * announcement. Between the two steps of each is a full barrier, so at least
 * one of them sees what the other did.
 */
#ifndef MINIRING_SAMPLE_WAITER_H
#define MINIRING_SAMPLE_WAITER_H

#include <cpuid.h>
#include <immintrin.h>
#include <stdbool.h>
#include <time.h>

/*
 * The word behind the CQ tail. Its bytes have one writer each or may be written
 * at any time, so no store needs to be atomic with another byte.
 */
struct user_word {
	unsigned char bell;	/* stored to by the ringing thread, never read */
	unsigned char asleep;	/* set by the waiter, taken by who will wake it */
	unsigned short unused;
};

/* What ended a wait. */
enum wake {
	WAKE_AT_ONCE,		/* there was work already */
	WAKE_SHORT,		/* work came while waiting in user space */
	WAKE_ANNOUNCED,		/* it came while the sleep was announced */
	WAKE_SLEPT,		/* the kernel was entered and came back */
};

struct waiter {
	unsigned int *cq_tail;
	bool umwait;			/* the CPU has WAITPKG */
	double tsc_per_ns;
	bool (*has_work)(void *arg);	/* completions or messages */
	int (*sleep)(void *arg);	/* until there is a completion */
	void *arg;
	int slept;			/* what that returned last */
	unsigned long long announced;	/* how often the waiter was to sleep */
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

/* Fills in what is not the caller's; takes ten milliseconds. */
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
 * Tells the waiter to look for a message, which is there already. True if the
 * caller has to wake it from the kernel; of several callers one is told so.
 */
static inline bool waiter_ring(const struct waiter *w)
{
	struct user_word *word = waiter_word(w);

	__atomic_store_n(&word->bell, 1, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return __atomic_load_n(&word->asleep, __ATOMIC_RELAXED) &&
	       __atomic_exchange_n(&word->asleep, 0, __ATOMIC_ACQ_REL);
}

/* Until the line is written to, or until @tsc, or less. */
__attribute__((target("waitpkg")))
static inline bool waiter_umwait(struct waiter *w, unsigned long long tsc)
{
	_umonitor(w->cq_tail);
	/* What came before the line was watched is seen now. */
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
	/* Somebody may have taken it, and be about to make a completion. */
	__atomic_store_n(&word->asleep, 0, __ATOMIC_RELAXED);
	return wake;
}

#endif /* MINIRING_SAMPLE_WAITER_H */
