// SPDX-License-Identifier: GPL-2.0
/*
 * Loading and unloading. Unloading is refused while a ring is open. Otherwise unloading leaves
 * nothing behind, in any state of the module. Leaves the module loaded.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include "log.h"
#include "modules.h"
#include "ring_ops.h"
#include "ring_test.h"

#define MODULE	"miniring"
#define DIR	DEBUGFS "miniring"
#define CYCLES	20
/* At most; CALLBACKS in the environment is another number. */
#define CALLBACKS	5000
/* Limits for a busy host. On an idle host the thread needs a small part of them. */
#define QUEUE_MS	5000
#define HOG_MS		20000
#define CHAIN	4096

/* Returns the number of sites in @path that are on. */
static int sites_on(const char *path)
{
	char line[4096];
	FILE *file = fopen(path, "r");
	int on = 0;

	if (!file)
		return -errno;
	while (fgets(line, sizeof(line), file)) {
		char *flags = strstr(line, " =");

		if (line[0] != '#' && flags && flags[2] == 'p')
			on++;
	}
	fclose(file);
	return on;
}

FIXTURE(module) {};

FIXTURE_SETUP(module)
{
	if (access(MINIRING_DEVICE, F_OK))
		ASSERT_EQ(0, load(MODULE, ""));
}

FIXTURE_TEARDOWN(module)
{
	if (access(MINIRING_DEVICE, F_OK))
		EXPECT_EQ(0, load(MODULE, ""));
}

TEST_F(module, unload_is_refused_while_the_device_is_open)
{
	int fd = open(MINIRING_DEVICE, O_RDWR | O_CLOEXEC);

	ASSERT_LE(0, fd);
	EXPECT_EQ(-EAGAIN, unload(MODULE));
	close(fd);
	EXPECT_EQ(0, unload(MODULE));
}

TEST_F(module, unload_is_refused_while_a_ring_is_mapped)
{
	struct uring ring = {};

	ASSERT_EQ(0, uring_open(&ring, 8));
	close(ring.fd);
	ring.fd = -1;
	EXPECT_EQ(-EAGAIN, unload(MODULE));
	uring_munmap(&ring);
	EXPECT_EQ(0, unload(MODULE));
}

TEST_F(module, unload_removes_the_modules_files)
{
	EXPECT_EQ(0, access(DIR "/control", F_OK));
	EXPECT_EQ(0, unload(MODULE));
	EXPECT_EQ(-1, access(MINIRING_DEVICE, F_OK));
	EXPECT_EQ(-1, access(DIR, F_OK));
	EXPECT_EQ(0, load(MODULE, ""));
	EXPECT_EQ(0, access(MINIRING_DEVICE, F_OK));
	EXPECT_EQ(0, access(DIR "/control", F_OK));
}

TEST_F(module, module_loads_only_once)
{
	EXPECT_EQ(-EEXIST, load(MODULE, ""));
}

TEST_F_TIMEOUT(module, module_unloads_with_a_callback_pending, 120)
{
	for (int i = 0; i < CYCLES; i++) {
		struct uring ring = {};
		int fd = eventfd(0, EFD_CLOEXEC);

		ASSERT_EQ(0, uring_open(&ring, 8));
		ASSERT_EQ(0, uring_register_eventfd(&ring, fd));
		ASSERT_EQ(0, uring_unregister_eventfd(&ring));
		uring_close(&ring);
		ASSERT_EQ(0, unload(MODULE));
		ASSERT_EQ(0, load(MODULE, ""));
		close(fd);
	}
}

TEST_F_TIMEOUT(module, module_unloads_right_after_a_ring_with_an_eventfd, 120)
{
	for (int i = 0; i < CYCLES; i++) {
		struct uring ring = {};
		int fd = eventfd(0, EFD_CLOEXEC);

		ASSERT_EQ(0, uring_open(&ring, 8));
		ASSERT_EQ(0, uring_register_eventfd(&ring, fd));
		uring_close(&ring);
		ASSERT_EQ(0, unload(MODULE));
		ASSERT_EQ(0, load(MODULE, ""));
		close(fd);
	}
}

static int run_on(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	return sched_setaffinity(0, sizeof(cpus), &cpus);
}

/* Keeps CPU 0 busy, from before the callbacks are queued until the module is gone. */
struct hog {
	bool queued, unloaded;
	int err;
};

static void *queue_and_hog(void *arg)
{
	const struct sched_param priority = { .sched_priority = 1 };
	int fd = eventfd(0, EFD_CLOEXEC);
	struct uring ring = {};
	struct hog *hog = arg;
	const char *number = getenv("CALLBACKS");
	int callbacks = number ? atoi(number) : CALLBACKS;
	long long end = now_ms() + QUEUE_MS;

	hog->err = run_on(0) ? -errno : uring_open(&ring, 8);
	sched_setscheduler(0, SCHED_FIFO, &priority);
	for (int i = 0; !hog->err && i < callbacks && now_ms() < end; i++) {
		hog->err = uring_register_eventfd(&ring, fd);
		if (!hog->err)
			hog->err = uring_unregister_eventfd(&ring);
	}
	if (ring.map)
		uring_close(&ring);
	close(fd);
	__atomic_store_n(&hog->queued, true, __ATOMIC_RELEASE);
	end = now_ms() + HOG_MS;
	while (!__atomic_load_n(&hog->unloaded, __ATOMIC_ACQUIRE) && now_ms() < end)
		;
	return NULL;
}

/*
 * Unloading always waits for a grace period. Callbacks of another, busy CPU can run long after
 * that: a few at each of its timer interrupts.
 */
TEST_F_TIMEOUT(module, module_unloads_with_callbacks_pending_on_another_cpu, 120)
{
	if (run_on(1))
		SKIP(return, "no second CPU");
	for (int i = 0; i < CYCLES / 4; i++) {
		struct hog hog = {};
		pthread_t thread;

		ASSERT_EQ(0, pthread_create(&thread, NULL, queue_and_hog, &hog));
		while (!__atomic_load_n(&hog.queued, __ATOMIC_ACQUIRE))
			sched_yield();
		EXPECT_EQ(0, hog.err);
		EXPECT_EQ(0, unload(MODULE));
		__atomic_store_n(&hog.unloaded, true, __ATOMIC_RELEASE);
		pthread_join(thread, NULL);
		ASSERT_EQ(0, load(MODULE, ""));
	}
}

/*
 * A module that uses Rcu<T> and does not wait for its callbacks. Each callback queues
 * another callback. The last callback runs before the module's memory is freed.
 */
TEST_F(module, unload_waits_for_the_rcu_callbacks_of_a_using_module)
{
	int log = open_log();

	ASSERT_LE(0, log);
	ASSERT_EQ(0, load("miniring_rcu_user", ""));
	EXPECT_FALSE(logged(log, "the last callback has run"));
	ASSERT_EQ(0, unload("miniring_rcu_user"));
	EXPECT_TRUE(logged(log, "the last callback has run"));
	close(log);
}

TEST_F(module, unload_does_not_change_the_kernels_sites)
{
	int before, on;

	if (access("/proc/dynamic_debug/control", F_OK))
		SKIP(return, "the kernel has no CONFIG_DYNAMIC_DEBUG");
	before = sites_on("/proc/dynamic_debug/control");
	ASSERT_EQ(0, put(DIR "/control", "kernel module kobject +p"));
	on = sites_on("/proc/dynamic_debug/control");
	EXPECT_LT(before, on);
	ASSERT_EQ(0, unload(MODULE));
	EXPECT_EQ(on, sites_on("/proc/dynamic_debug/control"));
	EXPECT_EQ(0, put("/proc/dynamic_debug/control", "module kobject -p"));
	EXPECT_EQ(before, sites_on("/proc/dynamic_debug/control"));
}

/*
 * A chain that continues after the close of its ring, from one worker to the next. The module
 * waits for the last worker.
 */
TEST_F_TIMEOUT(module, unload_waits_for_requests_of_a_closed_ring, 120)
{
	for (int i = 0; i < 3; i++) {
		struct uring ring = {};
		int fds[2];

		ASSERT_EQ(0, pipe2(fds, O_CLOEXEC));
		ASSERT_EQ(0, uring_open(&ring, CHAIN));
		poll_in(&ring, fds[0], 0)->flags = IOSQE_IO_HARDLINK;
		for (int j = 1; j < CHAIN; j++)
			uring_nop(&ring, j)->flags = IOSQE_ASYNC |
						     (j < CHAIN - 1 ? IOSQE_IO_HARDLINK : 0);
		ASSERT_EQ(CHAIN, uring_submit(&ring));
		uring_close(&ring);
		ASSERT_EQ(0, unload(MODULE));
		ASSERT_EQ(0, load(MODULE, ""));
		close(fds[0]);
		close(fds[1]);
	}
}

TEST_HARNESS_MAIN
