// SPDX-License-Identifier: GPL-2.0
/*
 * A ring's eventfd changes while another thread posts completions. Every change
 * succeeds and takes effect for the next submission. A signal always means that
 * a completion was posted.
 */
#include <sys/eventfd.h>
#include "background.h"
#include "ring_test.h"

#define RACE_MS 2000

/* Posts and reaps one completion at a time until the test stops the thread. */
struct poster {
	struct background background;
	struct uring *ring;
	unsigned long long calls, posted, errors;
};

static void *poster_main(void *arg)
{
	struct poster *p = arg;

	while (!background_is_over(&p->background)) {
		if (!uring_nop(p->ring, p->posted) || uring_submit(p->ring) != 1)
			p->errors++;
		p->posted += uring_reap(p->ring);
		__atomic_store_n(&p->calls, p->calls + 1, __ATOMIC_RELEASE);
	}
	return NULL;
}

static void poster_start(struct poster *p, struct uring *ring)
{
	*p = (struct poster){ .ring = ring };
	background_start(&p->background, poster_main, p);
}

/*
 * Waits until a submission that began after this call has returned. Such a submission sees
 * earlier stores of the caller.
 */
static bool next_submission(struct poster *p)
{
	long long end = now_ms() + HANG_MS;
	unsigned long long seen;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	seen = __atomic_load_n(&p->calls, __ATOMIC_ACQUIRE);
	while (__atomic_load_n(&p->calls, __ATOMIC_ACQUIRE) < seen + 2)
		if (now_ms() > end)
			return false;
	return true;
}

static unsigned long long count(int fd)
{
	unsigned long long value;

	return read(fd, &value, sizeof(value)) == sizeof(value) ? value : 0;
}

/* Alternates between the pointer, as in the manual page, and the value. */
static int register_in_turn(struct uring *ring, int fd, unsigned long turn)
{
	if (turn & 1)
		return uring_register(ring, IORING_REGISTER_EVENTFD, &fd, 1);
	return uring_register_eventfd(ring, fd);
}

static int unregister_in_turn(struct uring *ring, unsigned long turn)
{
	if (turn & 1)
		return uring_register(ring, IORING_UNREGISTER_EVENTFD, NULL, 0);
	return uring_unregister_eventfd(ring);
}

FIXTURE(change)
{
	struct uring ring;
	struct poster poster;
	int fd;
};

FIXTURE_VARIANT(change)
{
	unsigned int model;
};

FIXTURE_VARIANT_ADD(change, rcu)
{
	.model = MINIRING_NOTIFY_RCU,
};

FIXTURE_VARIANT_ADD(change, spinlock)
{
	.model = MINIRING_NOTIFY_SPINLOCK,
};

FIXTURE_VARIANT_ADD(change, quiesce)
{
	.model = MINIRING_NOTIFY_QUIESCE,
};

FIXTURE_SETUP(change)
{
	if (on_io_uring() && variant->model)
		SKIP(return, "io_uring has one notify model");
	self->ring.model = variant->model;
	ASSERT_EQ(0, uring_open(&self->ring, 8));
	self->fd = eventfd(0, EFD_NONBLOCK);
	ASSERT_LE(0, self->fd);
	poster_start(&self->poster, &self->ring);
	ASSERT_TRUE(self->poster.background.running);
}

FIXTURE_TEARDOWN(change)
{
	background_stop(&self->poster.background);
	uring_close(&self->ring);
	close(self->fd);
}

TEST_F(change, change_without_delay_never_fails)
{
	long long end = now_ms() + RACE_MS;
	unsigned long long cycles = 0;

	while (now_ms() < end) {
		ASSERT_EQ(0, register_in_turn(&self->ring, self->fd, cycles));
		ASSERT_EQ(-EBUSY, register_in_turn(&self->ring, self->fd, cycles));
		ASSERT_EQ(0, unregister_in_turn(&self->ring, cycles));
		ASSERT_EQ(-ENXIO, unregister_in_turn(&self->ring, cycles));
		cycles++;
	}
	/* Changes without a pause may starve the thread, but not for good. */
	EXPECT_TRUE(next_submission(&self->poster));
	background_stop(&self->poster.background);
	TH_LOG("%llu cycles, %llu completions", cycles, self->poster.posted);
	EXPECT_LT(0, cycles);
	EXPECT_EQ(0, self->poster.errors);
	EXPECT_GE(self->poster.posted, count(self->fd)) {
		TH_LOG("more signals than completions");
	}

	/* The ring is left without an eventfd. */
	uring_nop(&self->ring, 1);
	ASSERT_EQ(1, uring_submit(&self->ring));
	EXPECT_EQ(0, count(self->fd));
	EXPECT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
	uring_nop(&self->ring, 2);
	ASSERT_EQ(1, uring_submit(&self->ring));
	EXPECT_EQ(1, count(self->fd));
}

TEST_F(change, change_holds_for_the_next_submission)
{
	long long end = now_ms() + RACE_MS;
	unsigned long long cycles = 0;

	while (now_ms() < end) {
		ASSERT_EQ(0, register_in_turn(&self->ring, self->fd, cycles));
		ASSERT_TRUE(next_submission(&self->poster));
		ASSERT_LT(0, count(self->fd)) {
			TH_LOG("registered, yet a submission was not signalled");
		}
		ASSERT_EQ(0, unregister_in_turn(&self->ring, cycles));
		/* Late signals may still arrive, so wait for one more submission. */
		ASSERT_TRUE(next_submission(&self->poster));
		count(self->fd);
		ASSERT_TRUE(next_submission(&self->poster));
		ASSERT_EQ(0, count(self->fd)) {
			TH_LOG("unregistered, yet a submission was signalled");
		}
		cycles++;
	}
	background_stop(&self->poster.background);
	TH_LOG("%llu cycles, %llu completions", cycles, self->poster.posted);
	EXPECT_LT(0, cycles);
	EXPECT_EQ(0, self->poster.errors);
}

TEST_F(change, change_to_another_eventfd_moves_the_signals)
{
	long long end = now_ms() + RACE_MS;
	int fds[2] = { self->fd, eventfd(0, EFD_NONBLOCK) };
	unsigned int now = 0, cycles = 0;

	ASSERT_EQ(0, uring_register_eventfd(&self->ring, fds[now]));
	while (now_ms() < end) {
		/* Both forms of the call, for both eventfds. */
		ASSERT_EQ(0, unregister_in_turn(&self->ring, cycles / 2));
		now ^= 1;
		ASSERT_EQ(0, register_in_turn(&self->ring, fds[now], cycles / 2));
		cycles++;
		ASSERT_TRUE(next_submission(&self->poster));
		ASSERT_LT(0, count(fds[now]));
		count(fds[!now]);
		ASSERT_TRUE(next_submission(&self->poster));
		ASSERT_EQ(0, count(fds[!now])) {
			TH_LOG("the one before still got a signal");
		}
	}
	background_stop(&self->poster.background);
	EXPECT_EQ(0, self->poster.errors);
}

/*
 * No worker posts an inline completion. So an async eventfd is never signalled, even right
 * before or after the registration of a plain eventfd.
 */
TEST_F(change, change_to_async_eventfd_signals_only_the_plain_one)
{
	int async = eventfd(0, EFD_NONBLOCK);
	long long end = now_ms() + RACE_MS;
	unsigned long long cycles = 0, signals = 0;

	ASSERT_LE(0, async);
	while (now_ms() < end) {
		ASSERT_EQ(0, register_in_turn(&self->ring, self->fd, cycles));
		if (cycles % 65 == 0)
			ASSERT_TRUE(next_submission(&self->poster));
		ASSERT_EQ(0, unregister_in_turn(&self->ring, cycles));
		ASSERT_EQ(0, uring_register(&self->ring, IORING_REGISTER_EVENTFD_ASYNC,
					    &async, 1));
		if (cycles % 65 == 0)
			ASSERT_TRUE(next_submission(&self->poster));
		ASSERT_EQ(0, unregister_in_turn(&self->ring, cycles));
		ASSERT_EQ(0, count(async)) {
			TH_LOG("signalled in cycle %llu", cycles);
		}
		signals += count(self->fd);
		cycles++;
	}
	background_stop(&self->poster.background);
	signals += count(self->fd);
	TH_LOG("%llu cycles, %llu completions, %llu signals", cycles, self->poster.posted,
	       signals);
	EXPECT_EQ(0, self->poster.errors);
	EXPECT_EQ(0, count(async));
	EXPECT_LT(0, signals);
	EXPECT_GE(self->poster.posted, signals);
	close(async);
}

/* Returns the number of a new eventfd: the lowest free number. */
static int least_free_id(void)
{
	char path[64], line[128];
	int fd = eventfd(0, 0), id = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "r");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "eventfd-id: %d", &id) == 1)
			break;
	if (file)
		fclose(file);
	close(fd);
	return id;
}

/*
 * Each eventfd is closed right after its registration, and none stays in the kernel: the next
 * eventfd gets a free number.
 */
TEST_F(change, change_of_closed_eventfds_leaves_none_in_the_kernel)
{
	int wanted = variant->model == MINIRING_NOTIFY_QUIESCE ? 20 : 500;
	long long start = now_ms(), end;
	int cycles = 0, id = least_free_id();

	ASSERT_LE(0, id);
	while (cycles < wanted || now_ms() - start < RACE_MS / 2) {
		int fd = eventfd(0, 0);

		ASSERT_EQ(0, register_in_turn(&self->ring, fd, cycles));
		close(fd);
		ASSERT_EQ(0, unregister_in_turn(&self->ring, cycles));
		cycles++;
	}
	background_stop(&self->poster.background);
	EXPECT_EQ(0, self->poster.errors);
	/* The last eventfds are freed a grace period later. */
	end = now_ms() + HANG_MS;
	while (least_free_id() > id && now_ms() < end)
		sleep_ms(20);
	/* Lower if eventfds from before this test were freed meanwhile. */
	EXPECT_GE(id, least_free_id()) {
		TH_LOG("after %d eventfds", cycles);
	}
}

struct changer {
	pthread_t thread;
	struct uring *ring;
	int fd, stop;
	unsigned long long registered, unregistered, other;
};

static void *changer_main(void *arg)
{
	struct changer *c = arg;

	for (unsigned long turn = 0; !__atomic_load_n(&c->stop, __ATOMIC_ACQUIRE); turn++) {
		int ret = register_in_turn(c->ring, c->fd, turn);

		c->registered += !ret;
		c->other += ret && ret != -EBUSY;
		ret = unregister_in_turn(c->ring, turn);
		c->unregistered += !ret;
		c->other += ret && ret != -ENXIO;
	}
	return NULL;
}

TEST_F(change, changes_by_several_threads_add_up)
{
	struct changer changers[3];
	unsigned long long registered = 0, unregistered = 0;
	int left;

	for (int i = 0; i < 3; i++) {
		changers[i] = (struct changer){ .ring = &self->ring, .fd = self->fd };
		pthread_create(&changers[i].thread, NULL, changer_main, &changers[i]);
	}
	sleep_ms(RACE_MS / 2);
	for (int i = 0; i < 3; i++) {
		__atomic_store_n(&changers[i].stop, 1, __ATOMIC_RELEASE);
		pthread_join(changers[i].thread, NULL);
		EXPECT_EQ(0, changers[i].other);
		registered += changers[i].registered;
		unregistered += changers[i].unregistered;
	}
	background_stop(&self->poster.background);
	EXPECT_EQ(0, self->poster.errors);
	left = uring_unregister_eventfd(&self->ring);
	EXPECT_LT(0, registered);
	EXPECT_EQ(registered, unregistered + !left);
	EXPECT_TRUE(left == 0 || left == -ENXIO);
}

TEST_F(change, disabling_in_the_ring_holds_for_the_next_submission)
{
	long long end = now_ms() + RACE_MS / 2;

	ASSERT_EQ(0, uring_register_eventfd(&self->ring, self->fd));
	while (now_ms() < end) {
		uring_store(self->ring.cq.flags, IORING_CQ_EVENTFD_DISABLED);
		ASSERT_TRUE(next_submission(&self->poster));
		count(self->fd);
		ASSERT_TRUE(next_submission(&self->poster));
		ASSERT_EQ(0, count(self->fd));
		uring_store(self->ring.cq.flags, 0);
		ASSERT_TRUE(next_submission(&self->poster));
		ASSERT_LT(0, count(self->fd));
	}
	background_stop(&self->poster.background);
}

/*
 * The full rule. A posting call signals an eventfd that is registered for the
 * whole call once. Without an eventfd the call signals nothing. If the
 * registration changes during the call, the call signals at most once. Signals
 * are visible as soon as the call returns. So each call is judged alone, by the
 * phase before and after the call, and by the eventfd's count. Of every eight
 * times UNREAD calls the last UNREAD are judged by their sum, because the
 * eventfd is not read meanwhile. CYCLE_SECONDS in the environment gives a slow
 * kernel more time.
 */
#define CYCLES 100000
#define UNREAD 64
#define CYCLE_SECONDS 40
#define QUIESCE_SECONDS 3

enum {
	ABSENT,
	REGISTERING,
	PRESENT,
	UNREGISTERING,
	PHASES,
};

struct judge {
	pthread_t thread;
	struct uring *ring;
	int fd, stop;
	unsigned long phase, calls;
	/* Calls, and their observed signals. */
	unsigned long present, absent, changing;
	unsigned long long signals;
	/* Number of signals that are allowed since the last read of the eventfd. */
	unsigned long long least, most;
	unsigned long looks, sums;
	/* Violations of the rule. */
	unsigned long lost, spurious, doubled, errors;
};

/* Returns whether the eventfd is read after this call. */
static bool is_read(unsigned long call)
{
	return call / UNREAD % 8 != 7 || call % UNREAD == UNREAD - 1;
}

static void judge_signals(struct judge *j)
{
	unsigned long long signals = count(j->fd);

	j->signals += signals;
	j->lost += signals < j->least;
	j->spurious += signals && !j->most;
	j->doubled += j->most && signals > j->most;
	j->looks++;
	j->sums += j->most > 1;
	j->least = 0;
	j->most = 0;
}

static void *judge_main(void *arg)
{
	struct judge *j = arg;

	while (!__atomic_load_n(&j->stop, __ATOMIC_ACQUIRE)) {
		unsigned long before, after;

		before = __atomic_load_n(&j->phase, __ATOMIC_SEQ_CST);
		if (!uring_nop(j->ring, 0) || uring_submit(j->ring) != 1)
			j->errors++;
		after = __atomic_load_n(&j->phase, __ATOMIC_SEQ_CST);
		if (uring_reap(j->ring) != 1)
			j->errors++;

		if (before == after && before % PHASES == PRESENT) {
			j->present++;
			j->least++;
			j->most++;
		} else if (before == after && before % PHASES == ABSENT) {
			j->absent++;
		} else {
			j->changing++;
			/* Any number of changes may happen during the call. */
			j->most++;
		}
		if (is_read(j->calls))
			judge_signals(j);
		__atomic_store_n(&j->calls, j->calls + 1, __ATOMIC_RELEASE);
	}
	judge_signals(j);
	return NULL;
}

static void next_phase(struct judge *j)
{
	__atomic_fetch_add(&j->phase, 1, __ATOMIC_SEQ_CST);
}

/* Stay in this phase for a call or two. */
static bool linger(struct judge *j)
{
	unsigned long seen = __atomic_load_n(&j->calls, __ATOMIC_ACQUIRE);
	long long end = now_ms() + HANG_MS;

	while (__atomic_load_n(&j->calls, __ATOMIC_ACQUIRE) < seen + 2)
		if (now_ms() > end)
			return false;
	return true;
}

TEST_F_TIMEOUT(change, eventfd_keeps_count_over_100000_changes, 3600)
{
	bool quiesce = variant->model == MINIRING_NOTIFY_QUIESCE;
	struct judge j = { .ring = &self->ring, .fd = self->fd };
	const char *given = getenv("CYCLE_SECONDS");
	int seconds = quiesce ? QUIESCE_SECONDS : given ? atoi(given) : CYCLE_SECONDS;
	long long end = now_ms() + seconds * 1000LL;
	unsigned long cycles;

	background_stop(&self->poster.background);
	ASSERT_EQ(0, pthread_create(&j.thread, NULL, judge_main, &j));
	for (cycles = 0; cycles < CYCLES && now_ms() < end; cycles++) {
		next_phase(&j);
		ASSERT_EQ(0, register_in_turn(&self->ring, self->fd, cycles));
		next_phase(&j);
		/* An odd number: with either form. */
		if (cycles % 65 == 0)
			ASSERT_TRUE(linger(&j));
		next_phase(&j);
		ASSERT_EQ(0, unregister_in_turn(&self->ring, cycles));
		next_phase(&j);
		if (cycles % 65 == 32)
			ASSERT_TRUE(linger(&j));
	}
	__atomic_store_n(&j.stop, 1, __ATOMIC_RELEASE);
	pthread_join(j.thread, NULL);
	TH_LOG("%lu cycles; calls: %lu with, %lu without, %lu amid changes; %llu signals",
	       cycles, j.present, j.absent, j.changing, j.signals);
	TH_LOG("%lu checks of the count, %lu of them of a sum", j.looks, j.sums);
	EXPECT_LT(0, cycles);
	if (!quiesce && given)
		EXPECT_EQ(CYCLES, cycles);
	EXPECT_LT(0, j.present);
	EXPECT_LT(0, j.absent);
	if (!quiesce)
		EXPECT_LT(0, j.sums);
	EXPECT_EQ(0, j.errors);
	EXPECT_EQ(0, j.lost);
	EXPECT_EQ(0, j.doubled);
	EXPECT_EQ(0, j.spurious);
	EXPECT_EQ(0, count(self->fd));
}

#define RINGS 4
#define POSTS 5000

struct sharer {
	pthread_t thread;
	struct uring ring;
	int fd, changes, errors;
};

static void *sharer_main(void *arg)
{
	struct sharer *s = arg;
	unsigned long turn = 0;

	for (int i = 0; i < POSTS; i++) {
		/* Every change has ended between two calls. */
		if (i % (POSTS / s->changes) == 0) {
			s->errors += unregister_in_turn(&s->ring, turn) != 0;
			s->errors += register_in_turn(&s->ring, s->fd, turn) != 0;
			turn++;
		}
		uring_nop(&s->ring, i);
		s->errors += uring_submit(&s->ring) != 1;
		s->errors += uring_reap(&s->ring) != 1;
	}
	return NULL;
}

TEST_F(change, eventfd_on_many_rings_keeps_count)
{
	static struct sharer sharers[RINGS];
	int changes = variant->model == MINIRING_NOTIFY_QUIESCE ? 2 : 50;

	background_stop(&self->poster.background);
	for (int i = 0; i < RINGS; i++) {
		sharers[i] = (struct sharer){ .fd = self->fd, .changes = changes };
		sharers[i].ring.model = variant->model;
		ASSERT_EQ(0, uring_open(&sharers[i].ring, 4));
		ASSERT_EQ(0, uring_register_eventfd(&sharers[i].ring, self->fd));
	}
	for (int i = 0; i < RINGS; i++)
		pthread_create(&sharers[i].thread, NULL, sharer_main, &sharers[i]);
	for (int i = 0; i < RINGS; i++) {
		pthread_join(sharers[i].thread, NULL);
		EXPECT_EQ(0, sharers[i].errors);
		uring_close(&sharers[i].ring);
	}
	EXPECT_EQ(RINGS * POSTS, count(self->fd));
}

/* Rings are closed while their unregistered eventfd waits for its callback. */
TEST_F(change, ring_can_go_with_a_change_outstanding)
{
	long long end = now_ms() + RACE_MS / 2;

	for (int i = 0; i < 500 && now_ms() < end; i++) {
		struct uring ring = { .model = variant->model };
		int fd = eventfd(0, EFD_NONBLOCK);

		ASSERT_EQ(0, uring_open(&ring, 4));
		ASSERT_EQ(0, register_in_turn(&ring, fd, i / 2));
		uring_nop(&ring, i);
		ASSERT_EQ(1, uring_submit(&ring));
		ASSERT_EQ(0, unregister_in_turn(&ring, i / 2));
		ASSERT_EQ(0, register_in_turn(&ring, self->fd, i / 2));
		if (i & 1)
			ASSERT_EQ(0, unregister_in_turn(&ring, i / 2));
		uring_close(&ring);
		ASSERT_EQ(1, count(fd));
		close(fd);
	}
	background_stop(&self->poster.background);
	EXPECT_EQ(0, self->poster.errors);
	EXPECT_EQ(0, count(self->fd));
}

TEST_HARNESS_MAIN
