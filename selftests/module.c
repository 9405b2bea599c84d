// SPDX-License-Identifier: GPL-2.0
/*
 * Loading and unloading: refused while a ring is open, and otherwise nothing is
 * left behind, whatever was going on a moment before. Leaves the module loaded.
 */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "ring_test.h"

#define MODULE	"miniring.ko"
#define DEBUGFS	"/sys/kernel/debug/miniring"
#define CYCLES	20

static int load(void)
{
	int fd = open(MODULE, O_RDONLY | O_CLOEXEC);
	int ret = fd < 0 ? -errno : 0;

	if (!ret && syscall(SYS_finit_module, fd, "", 0))
		ret = -errno;
	if (fd >= 0)
		close(fd);
	return ret;
}

static int unload(void)
{
	return syscall(SYS_delete_module, "miniring", O_NONBLOCK) ? -errno : 0;
}

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int ret = fd < 0 ? -errno : 0;

	if (!ret && write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		ret = -errno;
	if (fd >= 0)
		close(fd);
	return ret;
}

/* How many of the sites that @path lists are on. */
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
		ASSERT_EQ(0, load());
}

FIXTURE_TEARDOWN(module)
{
	if (access(MINIRING_DEVICE, F_OK))
		EXPECT_EQ(0, load());
}

TEST_F(module, unload_is_refused_while_the_device_is_open)
{
	int fd = open(MINIRING_DEVICE, O_RDWR | O_CLOEXEC);

	ASSERT_LE(0, fd);
	EXPECT_EQ(-EAGAIN, unload());
	close(fd);
	EXPECT_EQ(0, unload());
}

TEST_F(module, unload_is_refused_while_a_ring_is_mapped)
{
	struct uring ring = {};

	ASSERT_EQ(0, uring_open(&ring, 8));
	close(ring.fd);
	ring.fd = -1;
	EXPECT_EQ(-EAGAIN, unload());
	uring_munmap(&ring);
	EXPECT_EQ(0, unload());
}

TEST_F(module, unload_takes_its_files_along)
{
	EXPECT_EQ(0, access(DEBUGFS "/control", F_OK));
	EXPECT_EQ(0, unload());
	EXPECT_EQ(-1, access(MINIRING_DEVICE, F_OK));
	EXPECT_EQ(-1, access(DEBUGFS, F_OK));
	EXPECT_EQ(0, load());
	EXPECT_EQ(0, access(MINIRING_DEVICE, F_OK));
	EXPECT_EQ(0, access(DEBUGFS "/control", F_OK));
}

TEST_F(module, loads_only_once)
{
	EXPECT_EQ(-EEXIST, load());
}

TEST_F(module, unloads_with_a_callback_pending)
{
	for (int i = 0; i < CYCLES; i++) {
		struct uring ring = {};
		int fd = eventfd(0, EFD_CLOEXEC);

		ASSERT_EQ(0, uring_open(&ring, 8));
		ASSERT_EQ(0, uring_register_eventfd(&ring, fd));
		ASSERT_EQ(0, uring_unregister_eventfd(&ring));
		uring_close(&ring);
		ASSERT_EQ(0, unload());
		ASSERT_EQ(0, load());
		close(fd);
	}
}

TEST_F(module, unloads_straight_after_a_ring_with_an_eventfd)
{
	for (int i = 0; i < CYCLES; i++) {
		struct uring ring = {};
		int fd = eventfd(0, EFD_CLOEXEC);

		ASSERT_EQ(0, uring_open(&ring, 8));
		ASSERT_EQ(0, uring_register_eventfd(&ring, fd));
		uring_close(&ring);
		ASSERT_EQ(0, unload());
		ASSERT_EQ(0, load());
		close(fd);
	}
}

TEST_F(module, unload_leaves_no_site_of_its_own_on)
{
	ASSERT_EQ(0, put(DEBUGFS "/control", "+p"));
	EXPECT_LT(0, sites_on(DEBUGFS "/control"));
	ASSERT_EQ(0, unload());
	ASSERT_EQ(0, load());
	EXPECT_EQ(0, sites_on(DEBUGFS "/control"));
}

TEST_F(module, unload_leaves_the_kernels_sites_as_they_are)
{
	int before, on;

	if (access("/proc/dynamic_debug/control", F_OK))
		SKIP(return, "the kernel has no CONFIG_DYNAMIC_DEBUG");
	before = sites_on("/proc/dynamic_debug/control");
	ASSERT_EQ(0, put(DEBUGFS "/control", "kernel module kobject +p"));
	on = sites_on("/proc/dynamic_debug/control");
	EXPECT_LT(before, on);
	ASSERT_EQ(0, unload());
	EXPECT_EQ(on, sites_on("/proc/dynamic_debug/control"));
	EXPECT_EQ(0, put("/proc/dynamic_debug/control", "module kobject -p"));
	EXPECT_EQ(before, sites_on("/proc/dynamic_debug/control"));
}

TEST_HARNESS_MAIN
