// SPDX-License-Identifier: GPL-2.0
/*
 * Fuzzer of /dev/miniring and of the control file.
 *
 *   fuzz [--calls N] [--seconds N] [--seed N] [--threads N] [--pcs FILE] [--trace]
 *
 * Threads run short programs of operations on their own files and on shared
 * files. With KCOV, programs that ran new code of the module are kept, and most
 * later programs are made from kept programs. Without KCOV each program is
 * random. With one thread, a seed runs the same programs every time, except for
 * the races of the kernel.
 *
 * Calls must return what the interface allows, and the kernel must not taint
 * itself. Rings of other users must lose no completion, and must still work.
 * The kernel's own sites must keep their flags.
 */
#include <stdarg.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <time.h>
#include "kselftest.h"
#include "clock.h"
#include "fuzz.h"
#include "rings.h"

#define THREADS_MAX 16
#define CORPUS_MAX 4096
#define TICK_US 4000
#define STUCK_SECONDS 60
#define WITNESS_ENTRIES 8

bool trace;

static struct {
	unsigned long long calls, seconds, seed, threads;
	const char *pcs;
} options = { .calls = 20000, .seconds = 300, .threads = 4 };

static struct worker workers[THREADS_MAX];
static struct slot shared[SHARED_SLOTS];
static unsigned long long calls_made;
static bool over;
/*
 * All memory except the windows is mapped before the first program runs. Memory that the kernel
 * puts into the hole of a failed mapping would soon be covered by a window.
 */
static pthread_barrier_t ready;

/* Programs that reached new code. */
static struct {
	pthread_mutex_t lock;
	unsigned int len;
	struct program programs[CORPUS_MAX];
} corpus = { .lock = PTHREAD_MUTEX_INITIALIZER };

static double now(void)
{
	return now_ns() / 1e9;
}

static bool is_over(void)
{
	return __atomic_load_n(&over, __ATOMIC_RELAXED);
}

/* Making up programs. */

static bool corpus_pick(struct rng *rng, struct program *program)
{
	bool any;

	pthread_mutex_lock(&corpus.lock);
	any = corpus.len;
	if (any)
		*program = corpus.programs[rng_below(rng, corpus.len)];
	pthread_mutex_unlock(&corpus.lock);
	return any;
}

static void corpus_add(struct rng *rng, const struct program *program)
{
	unsigned int at;

	pthread_mutex_lock(&corpus.lock);
	at = corpus.len < CORPUS_MAX ? corpus.len++ : rng_below(rng, CORPUS_MAX);
	corpus.programs[at] = *program;
	pthread_mutex_unlock(&corpus.lock);
}

static void program_insert(struct rng *rng, struct program *p, const struct op *op)
{
	unsigned int at = rng_below(rng, p->len + 1);

	if (p->len == PROGRAM_OPS)
		p->len--;
	if (at > p->len)
		at = p->len;
	memmove(&p->ops[at + 1], &p->ops[at], (p->len - at) * sizeof(p->ops[0]));
	p->ops[at] = *op;
	p->len++;
}

static void program_mutate(struct rng *rng, struct program *p)
{
	struct program other;
	struct op *op, new;
	unsigned int at;

	for (unsigned int i = 1 + rng_below(rng, 4); i; i--) {
		op = &p->ops[rng_below(rng, p->len)];
		switch (rng_below(rng, 9)) {
		case 0:
			op->gene[rng_below(rng, OP_GENES)] = rng_next(rng);
			break;
		case 1:
			op->gene[rng_below(rng, OP_GENES)] ^= 1U << rng_below(rng, 32);
			break;
		case 2:
			op->gene[rng_below(rng, OP_GENES)] += rng_below(rng, 65) - 32;
			break;
		case 3:
			op->slot = rng_next(rng);
			break;
		case 4:
			op_random(rng, op);
			break;
		case 5:
			op_random(rng, &new);
			program_insert(rng, p, &new);
			break;
		case 6:
			new = *op;
			program_insert(rng, p, &new);
			break;
		case 7:
			op->fail = rng_one_in(rng, 2) ? 1 + rng_below(rng, 40) : 0;
			break;
		default:
			if (!corpus_pick(rng, &other))
				break;
			at = rng_below(rng, p->len);
			for (unsigned int j = rng_below(rng, other.len);
			     at < PROGRAM_OPS && j < other.len; at++, j++)
				p->ops[at] = other.ops[j];
			if (at > p->len)
				p->len = at;
		}
	}
}

static void program_make(struct rng *rng, struct program *p)
{
	if (rng_one_in(rng, 2) && corpus_pick(rng, p)) {
		program_mutate(rng, p);
		return;
	}
	p->len = 1 + rng_below(rng, PROGRAM_OPS);
	for (unsigned int i = 0; i < p->len; i++)
		op_random(rng, &p->ops[i]);
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct program program;
	unsigned long long before = 0;

	self = w;
	w->fail_nth = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (kcov_available())
		kcov_start(&w->kcov);
	pthread_barrier_wait(&ready);
	while (!is_over()) {
		program_make(&w->rng, &program);
		w->keep = false;
		program_run(w, &program);
		if (w->keep)
			corpus_add(&w->rng, &program);
		if (__atomic_add_fetch(&calls_made, w->calls - before, __ATOMIC_RELAXED) >=
		    options.calls)
			__atomic_store_n(&over, true, __ATOMIC_RELAXED);
		before = w->calls;
	}
	kcov_stop(&w->kcov);
	if (w->fail_nth >= 0)
		close(w->fail_nth);
	return NULL;
}

/* Signals. */

/* The return from a signal also copies, and a fault there ends this process. */
static void disarm(void)
{
	int err = errno;
	ssize_t ret = pwrite(self->fail_nth, "0", 1, 0);

	/* A failure of this call was the fault that was due. */
	(void)ret;
	self->armed = false;
	errno = err;
}

static void on_fault(int signal)
{
	if (self && __atomic_load_n(&self->may_fault, __ATOMIC_RELAXED))
		siglongjmp(self->jump, 1);
	/*
	 * The fault hit the delivery of a signal; the next signal was delivered, and may have come
	 * before this one. A fault that repeats is detected as a hang.
	 */
	if (self && self->faulty) {
		disarm();
		return;
	}
	fprintf(stderr, "# the fuzzer itself got signal %d\n", signal);
	_exit(1);
}

static void on_tick(int signal)
{
	(void)signal;
	if (self && self->armed)
		disarm();
}

static void signals_init(void)
{
	struct sigaction fault = { .sa_handler = on_fault, .sa_flags = SA_NODEFER };
	struct sigaction tick = { .sa_handler = on_tick };

	sigaction(SIGSEGV, &fault, NULL);
	sigaction(SIGBUS, &fault, NULL);
	sigaction(SIGUSR1, &tick, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGIO, SIG_IGN);
}

static void stuck(void)
{
	for (int i = 0; i < options.threads; i++) {
		const struct worker *w = &workers[i];

		ksft_print_msg("thread %d is, or ended, at\n", i);
		if (w->program && w->pc < w->program->len)
			op_print(&w->program->ops[w->pc]);
	}
	ksft_exit_fail_msg("a thread did not end\n");
}

/* Interrupts long calls, and ends the run in time. */
static void *tick(void *arg)
{
	unsigned long long last[THREADS_MAX] = {}, beat;
	double end;

	pthread_barrier_wait(&ready);
	end = now() + options.seconds;
	while (!is_over()) {
		usleep(TICK_US);
		for (int i = 0; i < options.threads; i++) {
			beat = __atomic_load_n(&workers[i].beat, __ATOMIC_RELAXED);
			if (beat == last[i])
				pthread_kill(workers[i].thread, SIGUSR1);
			last[i] = beat;
		}
		if (now() > end)
			__atomic_store_n(&over, true, __ATOMIC_RELAXED);
	}
	/* A thread may have begun its wait just before. */
	end = now() + STUCK_SECONDS;
	while (!__atomic_load_n((bool *)arg, __ATOMIC_RELAXED)) {
		usleep(TICK_US);
		if (now() > end)
			stuck();
		for (int i = 0; i < options.threads; i++)
			pthread_kill(workers[i].thread, SIGUSR1);
	}
	return NULL;
}

/* A ring that no program uses. */

struct witness {
	struct uring ring;
	int eventfd;
	unsigned long long sent, seen;
	const char *lost;
};

/* Moves a file to a number that no request uses. */
static bool out_of_reach(int *fd)
{
	int low = *fd;

	*fd = fcntl(low, F_DUPFD_CLOEXEC, REQUEST_FDS);
	close(low);
	return *fd >= 0;
}

static bool witness_open(struct witness *w, unsigned int model)
{
	*w = (struct witness){ .ring.model = model };
	w->eventfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (w->eventfd < 0 || uring_open_on(URING_MINIRING, &w->ring, WITNESS_ENTRIES) ||
	    !out_of_reach(&w->eventfd) || !out_of_reach(&w->ring.fd)) {
		w->lost = "could not be opened";
		return false;
	}
	if (uring_register_eventfd(&w->ring, w->eventfd))
		w->lost = "got no eventfd";
	return !w->lost;
}

/* Submits @nr NOPs, and checks that all complete, in order and with signals. */
static void witness_round(struct witness *w, unsigned int nr)
{
	/* Longer than any correct kernel takes. */
	struct __kernel_timespec ts = { .tv_sec = 20 };
	struct io_uring_getevents_arg arg = { .ts = (unsigned long)&ts };
	unsigned long long count = 0;
	struct io_uring_cqe *cqe;
	int ret;

	if (w->lost)
		return;
	for (unsigned int i = 0; i < nr; i++)
		if (!uring_nop(&w->ring, w->sent++))
			w->lost = "had no room for an entry";
	ret = uring_enter_arg(&w->ring, uring_publish(&w->ring), nr,
			      IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, sizeof(arg));
	if (ret != nr)
		w->lost = "did not take all entries";
	while ((cqe = uring_peek(&w->ring))) {
		if (cqe->user_data != w->seen++ || cqe->res)
			w->lost = "has a wrong completion";
		uring_advance(&w->ring, 1);
	}
	if (w->seen != w->sent)
		w->lost = "lost a completion";
	if (read(w->eventfd, &count, sizeof(count)) != sizeof(count) || !count)
		w->lost = "was not signalled";
}

static void witness_close(struct witness *w)
{
	if (w->ring.map)
		uring_close(&w->ring);
	close(w->eventfd);
}

/* Checks a ring of each notification model. Returns true if nothing was lost. */
static struct witness witnesses[3];

static void *witness(void *arg)
{
	unsigned int round = 0;

	(void)arg;
	for (int i = 0; i < ARRAY_LEN(witnesses); i++)
		witness_open(&witnesses[i], i);
	pthread_barrier_wait(&ready);
	while (!is_over()) {
		for (int i = 0; i < ARRAY_LEN(witnesses); i++)
			witness_round(&witnesses[i], 1 + round % WITNESS_ENTRIES);
		round++;
		usleep(5000);
	}
	for (int i = 0; i < ARRAY_LEN(witnesses); i++)
		witness_close(&witnesses[i]);
	return NULL;
}

static bool witnesses_content(void)
{
	bool content = true;

	for (int i = 0; i < ARRAY_LEN(witnesses); i++) {
		if (!witnesses[i].lost)
			continue;
		ksft_print_msg("the ring of model %d %s, after %llu completions\n", i,
			       witnesses[i].lost, witnesses[i].seen);
		content = false;
	}
	return content;
}

/* Returns whether new rings work. */
static bool rings_work(void)
{
	for (int i = 0; i < ARRAY_LEN(witnesses); i++) {
		if (witness_open(&witnesses[i], i))
			for (int round = 0; round < 100; round++)
				witness_round(&witnesses[i], 1 + round % WITNESS_ENTRIES);
		witness_close(&witnesses[i]);
	}
	return witnesses_content();
}

/* Allows every allocation to fail, and keeps their traces out of the log. */
static void faults_configure(void)
{
	static const char * const settings[][2] = {
		{ "failslab/ignore-gfp-wait", "N" }, { "failslab/cache-filter", "N" },
		{ "failslab/verbose", "0" }, { "fail_usercopy/verbose", "0" },
		{ "fail_page_alloc/ignore-gfp-wait", "N" }, { "fail_page_alloc/min-order", "0" },
		{ "fail_page_alloc/verbose", "0" },
	};
	char path[64];

	for (int i = 0; i < ARRAY_LEN(settings); i++) {
		snprintf(path, sizeof(path), "/sys/kernel/debug/%s", settings[i][0]);
		text_write(path, settings[i][1]);
	}
}

static bool rings_gone(void)
{
	double end = now() + STUCK_SECONDS;
	int left;

	do {
		left = rings_now();
		if (!left)
			return true;
		usleep(TICK_US);
	} while (now() < end);
	if (left < 0)
		ksft_print_msg("the number of rings cannot be read: %s\n", strerror(-left));
	else
		ksft_print_msg("%d rings are left\n", left);
	return false;
}

static unsigned long taint(void)
{
	FILE *file = fopen("/proc/sys/kernel/tainted", "re");
	unsigned long bits = 0;

	if (!file || fscanf(file, "%lu", &bits) != 1)
		ksft_print_msg("/proc/sys/kernel/tainted cannot be read\n");
	if (file)
		fclose(file);
	return bits;
}

static unsigned long long parse(const char *option, const char *value)
{
	char *end;
	unsigned long long number = value ? strtoull(value, &end, 0) : 0;

	if (!value || !*value || *end)
		ksft_exit_fail_msg("%s needs a number\n", option);
	return number;
}

static void options_parse(int argc, char **argv)
{
	options.seed = time(NULL);
	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (!strcmp(argv[i], "--trace")) {
			trace = true;
			continue;
		}
		if (!strcmp(argv[i], "--calls"))
			options.calls = parse(argv[i], value);
		else if (!strcmp(argv[i], "--seconds"))
			options.seconds = parse(argv[i], value);
		else if (!strcmp(argv[i], "--seed"))
			options.seed = parse(argv[i], value);
		else if (!strcmp(argv[i], "--threads"))
			options.threads = parse(argv[i], value);
		else if (!strcmp(argv[i], "--pcs") && value)
			options.pcs = value;
		else
			ksft_exit_fail_msg("unknown option %s\n", argv[i]);
		i++;
	}
	if (!options.threads || options.threads > THREADS_MAX)
		ksft_exit_fail_msg("--threads takes 1 to %d\n", THREADS_MAX);
}

/* Runs the threads. Returns the duration. */
static double run(void)
{
	pthread_t ticker, watcher;
	bool joined = false;
	double start = now();

	if (pthread_barrier_init(&ready, NULL, options.threads + 2))
		ksft_exit_fail_msg("no barrier\n");
	for (int i = 0; i < options.threads; i++) {
		workers[i].rng.state = options.seed + i * 0x1000193;
		if (!worker_init(&workers[i], shared))
			ksft_exit_fail_msg("no files or memory for thread %d\n", i);
	}
	for (int i = 0; i < options.threads; i++)
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			ksft_exit_fail_msg("no thread\n");
	if (pthread_create(&ticker, NULL, tick, &joined) ||
	    pthread_create(&watcher, NULL, witness, NULL))
		ksft_exit_fail_msg("no thread\n");
	for (int i = 0; i < options.threads; i++) {
		pthread_join(workers[i].thread, NULL);
		/* The ticker must not signal a thread that has ended. */
		workers[i].thread = pthread_self();
	}
	__atomic_store_n(&joined, true, __ATOMIC_RELAXED);
	pthread_join(ticker, NULL);
	pthread_join(watcher, NULL);
	for (int i = 0; i < options.threads; i++)
		worker_exit(&workers[i]);
	return now() - start;
}

int main(int argc, char **argv)
{
	unsigned long tainted;
	unsigned int unexpected = 0;
	char *sites;
	double seconds;

	options_parse(argc, argv);
	ksft_print_header();
	if (access(MINIRING_DEVICE, F_OK))
		ksft_exit_skip("the module is not loaded\n");
	ksft_set_plan(6);
	ksft_print_msg("seed %llu, %llu threads\n", options.seed, options.threads);
	if (!kcov_available())
		ksft_print_msg("no KCOV: programs are not guided by coverage\n");
	else if (!kcov_find_text())
		ksft_exit_fail_msg("the module's text is not in /proc/kallsyms\n");
	if (access("/proc/self/fail-nth", W_OK))
		ksft_print_msg("no fault injection: memory is always there\n");
	faults_configure();
	signals_init();
	if (!slots_init(shared, SHARED_SLOTS))
		ksft_exit_fail_msg("no memory\n");
	sites = sites_read();
	tainted = taint();

	seconds = run();
	slots_exit(shared, SHARED_SLOTS);
	for (int i = 0; i < options.threads; i++)
		unexpected += workers[i].unexpected;
	ksft_print_msg("%llu calls in %.1f s, %.0f per second\n", calls_made, seconds,
		       calls_made / seconds);
	if (text_end)
		ksft_print_msg("%u edges of the module covered, %u programs kept\n",
			       kcov_covered(), corpus.len);
	if (options.pcs && text_end && !kcov_write(options.pcs))
		ksft_print_msg("%s could not be written\n", options.pcs);

	ksft_test_result(!unexpected, "calls return what the interface allows\n");
	ksft_test_result(witnesses_content(), "rings of others lose nothing\n");
	ksft_test_result(rings_work(), "new rings work\n");
	ksft_test_result(rings_gone(), "rings are freed when they are closed\n");
	ksft_test_result(sites_restore(sites), "the kernel's sites are as they were\n");
	ksft_test_result(taint() == tainted, "the kernel is not tainted\n");
	free(sites);
	ksft_finished();
}
