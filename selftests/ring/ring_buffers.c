// SPDX-License-Identifier: GPL-2.0
/*
 * Registered buffers: IORING_REGISTER_BUFFERS, IORING_UNREGISTER_BUFFERS, and the accounts that
 * pinned memory and the ring's own memory are charged to.
 */
#include <limits.h>
#include <linux/capability.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include "ring_test.h"

#define MAX_BUFFERS 16384
#define HUGE (2UL << 20)
#define TIB 0x10000000000UL

static long page_size;

__attribute__((constructor)) static void init(void)
{
	page_size = getpagesize();
}

static void *pages(size_t nr, int prot)
{
	void *mem = mmap(NULL, nr * page_size, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED) {
		perror("# mmap");
		exit(1);
	}
	return mem;
}

/* A kernel without transparent huge pages returns EINVAL. */
static void no_huge_pages(void *mem, size_t len)
{
	if (madvise(mem, len, MADV_NOHUGEPAGE) && errno != EINVAL) {
		perror("# madvise");
		exit(1);
	}
}

static int register_iovecs(struct uring *ring, const struct iovec *iov, unsigned int nr)
{
	return uring_register(ring, IORING_REGISTER_BUFFERS, iov, nr);
}

static int register_one(struct uring *ring, void *base, size_t len)
{
	struct iovec iov = { .iov_base = base, .iov_len = len };

	return register_iovecs(ring, &iov, 1);
}

static int unregister(struct uring *ring)
{
	return uring_register(ring, IORING_UNREGISTER_BUFFERS, NULL, 0);
}

/* Returns the kilobytes of a line of /proc/self/status, or -1. */
static long status_kb(const char *name)
{
	FILE *status = fopen("/proc/self/status", "r");
	char line[128];
	long kb = -1;

	while (status && fgets(line, sizeof(line), status))
		if (!strncmp(line, name, strlen(name)))
			kb = atol(line + strlen(name) + 1);
	if (status)
		fclose(status);
	return kb;
}

FIXTURE(buffers)
{
	struct uring ring;
	char *mem;
};

FIXTURE_SETUP(buffers)
{
	ASSERT_EQ(0, uring_open(&self->ring, 4));
	self->mem = pages(8, PROT_READ | PROT_WRITE);
}

FIXTURE_TEARDOWN(buffers)
{
	uring_close(&self->ring);
}

TEST_F(buffers, buffers_can_be_registered_and_unregistered)
{
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(0, register_one(&self->ring, self->mem, page_size));
		EXPECT_EQ(0, unregister(&self->ring));
	}
}

TEST_F(buffers, second_registration_of_buffers_is_refused)
{
	EXPECT_EQ(0, register_one(&self->ring, self->mem, page_size));
	EXPECT_EQ(-EBUSY, register_one(&self->ring, self->mem, page_size));
	EXPECT_EQ(-EBUSY, register_iovecs(&self->ring, bad_pointer(), 0));
	EXPECT_EQ(0, unregister(&self->ring));
}

TEST_F(buffers, unregister_without_buffers_is_refused)
{
	EXPECT_EQ(-ENXIO, unregister(&self->ring));
	EXPECT_EQ(0, register_one(&self->ring, self->mem, page_size));
	EXPECT_EQ(0, unregister(&self->ring));
	EXPECT_EQ(-ENXIO, unregister(&self->ring));
}

TEST_F(buffers, unregister_of_buffers_takes_no_arguments)
{
	EXPECT_EQ(-EINVAL, uring_register(&self->ring, IORING_UNREGISTER_BUFFERS,
					  NULL, 1));
	EXPECT_EQ(-EINVAL, uring_register(&self->ring, IORING_UNREGISTER_BUFFERS,
					  self->mem, 0));
}

TEST_F(buffers, number_of_buffers_is_1_to_16384)
{
	struct iovec *sparse = calloc(MAX_BUFFERS + 1, sizeof(*sparse));

	EXPECT_EQ(-EINVAL, register_iovecs(&self->ring, sparse, 0));
	EXPECT_EQ(-EINVAL, register_iovecs(&self->ring, sparse, MAX_BUFFERS + 1));
	EXPECT_EQ(-EINVAL, register_iovecs(&self->ring, sparse, -1U));
	EXPECT_EQ(0, register_iovecs(&self->ring, sparse, MAX_BUFFERS));
	EXPECT_EQ(0, unregister(&self->ring));
	free(sparse);
}

TEST_F(buffers, unreadable_iovec_faults)
{
	struct iovec *end = (struct iovec *)(self->mem + page_size) - 1;

	ASSERT_EQ(0, munmap(self->mem + page_size, page_size));
	*end = (struct iovec){ self->mem, 1 };
	EXPECT_EQ(-EFAULT, register_iovecs(&self->ring, NULL, 1));
	EXPECT_EQ(-EFAULT, register_iovecs(&self->ring, NULL, 0));
	EXPECT_EQ(-EFAULT, register_iovecs(&self->ring, bad_pointer(), 1));
	EXPECT_EQ(-EFAULT, register_iovecs(&self->ring, (void *)-16L, 1));
	EXPECT_EQ(-EFAULT, register_iovecs(&self->ring, end, 2));
	EXPECT_EQ(0, register_iovecs(&self->ring, end, 1));
}

TEST_F(buffers, buffer_of_invalid_length_is_refused)
{
	const struct {
		void *base;
		size_t len;
		int result;
	} cases[] = {
		{ NULL, 0, 0 },
		{ NULL, 1, -EFAULT },
		{ self->mem, 0, -EFAULT },
		{ self->mem, TIB / 2, -EFAULT },
		{ self->mem, TIB, -EOVERFLOW },
		{ self->mem, TIB + 1, -EINVAL },
		{ self->mem, LONG_MAX, -EINVAL },
		{ self->mem, 1UL << 63, -EINVAL },
		{ self->mem, -1UL, -EINVAL },
		{ (void *)-1L, 1, -EOVERFLOW },
		{ (void *)-8192L, 4096, -EFAULT },
		{ (void *)-8192L, 4097, -EOVERFLOW },
		{ (void *)-8192L, 1UL << 20, -EOVERFLOW },
	};

	for (int i = 0; i < ARRAY_SIZE(cases); i++) {
		int ret = register_one(&self->ring, cases[i].base, cases[i].len);

		/* The memory of the machine limits the pages that can be pinned. */
		if (cases[i].len == TIB / 2 && ret == -ENOMEM)
			ret = -EFAULT;
		EXPECT_EQ(cases[i].result, ret) {
			TH_LOG("%p and %zu: %s", cases[i].base, cases[i].len,
			       result_name(ret));
		}
		if (!ret)
			unregister(&self->ring);
	}
}

TEST_F(buffers, buffer_of_unmapped_or_read_only_memory_faults)
{
	ASSERT_EQ(0, mprotect(self->mem + 2 * page_size, page_size, PROT_READ));
	ASSERT_EQ(0, munmap(self->mem + 4 * page_size, page_size));
	EXPECT_EQ(-EFAULT, register_one(&self->ring, self->mem + 2 * page_size, 1));
	EXPECT_EQ(-EFAULT, register_one(&self->ring, self->mem, 3 * page_size));
	EXPECT_EQ(-EFAULT, register_one(&self->ring, self->mem + 4 * page_size, 1));
	EXPECT_EQ(-EFAULT, register_one(&self->ring, bad_pointer(), page_size));
	EXPECT_EQ(0, register_one(&self->ring, self->mem, 2 * page_size));
}

TEST_F(buffers, buffer_may_be_a_memfd_or_the_ring_itself)
{
	int fd = memfd_create("buffer", 0);
	void *file;

	ASSERT_EQ(0, ftruncate(fd, page_size));
	file = mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	EXPECT_EQ(0, register_one(&self->ring, file, page_size));
	EXPECT_EQ(0, unregister(&self->ring));
	EXPECT_EQ(0, register_one(&self->ring, self->ring.map, page_size));
	EXPECT_EQ(0, unregister(&self->ring));
	munmap(file, page_size);
	close(fd);
}

TEST_F(buffers, buffer_may_start_and_end_anywhere_in_a_page)
{
	struct iovec iov[] = {
		{ self->mem, 1 },
		{ self->mem + page_size - 1, 1 },
		{ self->mem + page_size - 1, 2 },
		{ self->mem + 1, 7 * page_size },
		{ NULL, 0 },
		{ self->mem, 8 * page_size },
	};

	EXPECT_EQ(0, register_iovecs(&self->ring, iov, ARRAY_SIZE(iov)));
}

TEST_F(buffers, failed_registration_registers_no_buffer)
{
	struct iovec iov[] = {
		{ self->mem, page_size },
		{ self->mem + page_size, page_size },
		{ bad_pointer(), page_size },
	};

	EXPECT_EQ(-EFAULT, register_iovecs(&self->ring, iov, 3));
	EXPECT_EQ(-ENXIO, unregister(&self->ring));
	EXPECT_EQ(0, register_iovecs(&self->ring, iov, 2));
}

TEST_F(buffers, buffer_survives_unmap)
{
	ASSERT_EQ(0, register_one(&self->ring, self->mem, 8 * page_size));
	ASSERT_EQ(0, munmap(self->mem, 8 * page_size));
	EXPECT_EQ(0, unregister(&self->ring));
}

static void *register_in_thread(void *arg)
{
	struct uring *ring = arg;
	char *mem = pages(1, PROT_READ | PROT_WRITE);

	return (void *)(long)register_one(ring, mem, page_size);
}

TEST(buffers_are_registered_by_the_submitter_only)
{
	struct uring ring = { .p.flags = IORING_SETUP_SINGLE_ISSUER };
	pthread_t thread;
	void *ret;

	ASSERT_EQ(0, uring_open(&ring, 4));
	pthread_create(&thread, NULL, register_in_thread, &ring);
	pthread_join(thread, &ret);
	EXPECT_EQ(-EEXIST, (long)ret);
	EXPECT_EQ(0, (long)register_in_thread(&ring));
	uring_close(&ring);
}

/*
 * The tests below make a ring without CAP_IPC_LOCK. Its user is root, as in the other tests, so
 * other tasks that lock memory as root would disturb them; the VM has none.
 */

static int limit_memlock(size_t bytes)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct caps[2];
	struct rlimit limit = { bytes, bytes };

	if (syscall(__NR_capget, &header, caps))
		return -errno;
	caps[0].effective &= ~(1U << CAP_IPC_LOCK);
	caps[0].permitted &= ~(1U << CAP_IPC_LOCK);
	caps[0].inheritable &= ~(1U << CAP_IPC_LOCK);
	if (setrlimit(RLIMIT_MEMLOCK, &limit) || syscall(__NR_capset, &header, caps))
		return -errno;
	return 0;
}

/* io_uring frees the rings of earlier tests later. */
static int register_in_time(struct uring *ring, const struct iovec *iov, unsigned int nr)
{
	int ret, tries = HANG_MS / 5;

	while ((ret = register_iovecs(ring, iov, nr)) == -ENOMEM && --tries)
		sleep_ms(5);
	return ret;
}

TEST(ring_memory_is_not_charged_to_memlock)
{
	struct uring ring = {};

	ASSERT_EQ(0, limit_memlock(0));
	ASSERT_EQ(0, uring_open(&ring, 1024));
	uring_close(&ring);
}

TEST(buffers_count_as_locked_and_pinned_memory)
{
	struct uring ring = {};
	struct iovec iov;
	char *mem;

	ASSERT_EQ(0, limit_memlock(8 * page_size));
	mem = pages(16, PROT_READ | PROT_WRITE);
	no_huge_pages(mem, 16 * page_size);
	ASSERT_EQ(0, uring_open(&ring, 4));
	EXPECT_EQ(0, status_kb("VmPin"));
	EXPECT_EQ(-ENOMEM, register_one(&ring, mem, 9 * page_size));
	EXPECT_EQ(0, status_kb("VmPin"));
	iov = (struct iovec){ mem, 8 * page_size };
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(0, register_in_time(&ring, &iov, 1));
		EXPECT_EQ(8 * page_size / 1024, status_kb("VmPin"));
		EXPECT_EQ(0, unregister(&ring));
		EXPECT_EQ(0, status_kb("VmPin"));
	}
	uring_close(&ring);
}

TEST(memory_is_charged_for_each_buffer)
{
	struct uring ring = {};
	struct iovec iov[2];
	char *mem;

	ASSERT_EQ(0, limit_memlock(10 * page_size));
	mem = pages(8, PROT_READ | PROT_WRITE);
	no_huge_pages(mem, 8 * page_size);
	ASSERT_EQ(0, uring_open(&ring, 4));
	iov[0] = (struct iovec){ mem, 5 * page_size };
	iov[1] = (struct iovec){ mem, 6 * page_size };
	EXPECT_EQ(-ENOMEM, register_iovecs(&ring, iov, 2));
	EXPECT_EQ(0, status_kb("VmPin"));
	iov[1].iov_len = 5 * page_size;
	EXPECT_EQ(0, register_in_time(&ring, iov, 2));
	EXPECT_EQ(10 * page_size / 1024, status_kb("VmPin"));
	uring_close(&ring);
}

/* Returns a huge page, or NULL. */
static char *huge_page(void)
{
	char *mem = mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *huge = (char *)(((unsigned long)mem + HUGE - 1) & ~(HUGE - 1));
	FILE *maps;
	char line[128];
	long kb = 0;

	if (mem == MAP_FAILED || madvise(huge, HUGE, MADV_HUGEPAGE))
		return NULL;
	*huge = 1;
	maps = fopen("/proc/self/smaps_rollup", "r");
	while (maps && fgets(line, sizeof(line), maps))
		if (!strncmp(line, "AnonHugePages:", 14))
			kb = atol(line + 14);
	if (maps)
		fclose(maps);
	return kb ? huge : NULL;
}

TEST(huge_page_is_charged_once_and_in_full)
{
	struct uring ring = {};
	struct iovec iov[3];
	char *huge;

	ASSERT_EQ(0, limit_memlock(HUGE + 4 * page_size));
	huge = huge_page();
	if (!huge)
		SKIP(return, "no huge page is free");
	ASSERT_EQ(0, uring_open(&ring, 4));
	iov[0] = (struct iovec){ huge + 1, 100 };
	iov[1] = (struct iovec){ huge + 9 * page_size, 3 * page_size };
	iov[2] = (struct iovec){ huge, HUGE };
	EXPECT_EQ(0, register_in_time(&ring, iov, 3));
	EXPECT_EQ(HUGE / 1024, status_kb("VmPin"));
	EXPECT_EQ(0, unregister(&ring));
	EXPECT_EQ(0, status_kb("VmPin"));
	/* A failed registration uncharges no more than it charged. */
	iov[1] = (struct iovec){ huge, 2 * HUGE };
	EXPECT_GT(0, register_iovecs(&ring, iov, 2));
	EXPECT_EQ(0, status_kb("VmPin"));
	EXPECT_EQ(0, register_iovecs(&ring, iov, 1));
	EXPECT_EQ(HUGE / 1024, status_kb("VmPin"));
	uring_close(&ring);
}

TEST(close_of_a_ring_unpins_its_buffers)
{
	struct uring ring = {};
	struct iovec iov;

	ASSERT_EQ(0, limit_memlock(4 * page_size));
	iov = (struct iovec){ pages(4, PROT_READ | PROT_WRITE), 4 * page_size };
	no_huge_pages(iov.iov_base, iov.iov_len);
	ASSERT_EQ(0, uring_open(&ring, 4));
	ASSERT_EQ(0, register_in_time(&ring, &iov, 1));
	uring_close(&ring);
	for (int i = 0; status_kb("VmPin"); i++) {
		ASSERT_GT(HANG_MS / 10, i);
		sleep_ms(10);
	}
}

TEST(maker_with_cap_ipc_lock_is_not_charged)
{
	struct uring ring = {};

	ASSERT_EQ(0, uring_open(&ring, 4));
	ASSERT_EQ(0, register_one(&ring, pages(4, PROT_READ | PROT_WRITE), 4 * page_size));
	EXPECT_EQ(0, status_kb("VmPin"));
	uring_close(&ring);
}

TEST(maker_of_the_ring_is_charged)
{
	struct uring ring = {};
	char *mem;

	mem = pages(4, PROT_READ | PROT_WRITE);
	ASSERT_EQ(0, uring_open(&ring, 4));
	ASSERT_EQ(0, limit_memlock(page_size));
	EXPECT_EQ(0, register_one(&ring, mem, 4 * page_size));
	uring_close(&ring);
}

TEST_HARNESS_MAIN
