// SPDX-License-Identifier: GPL-2.0
/*
 * Features of /dev/miniring alone: a file that is no ring before SETUP, and invalid ioctls
 * without a counterpart in system calls.
 */
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include "ring_test.h"

FIXTURE(device)
{
	int fd;
	struct io_uring_params p;
	struct miniring_setup setup;
};

FIXTURE_SETUP(device)
{
	if (on_io_uring())
		SKIP(return, "io_uring is not a device");
	self->fd = open(MINIRING_DEVICE, O_RDWR);
	ASSERT_LE(0, self->fd) {
		TH_LOG("%s: %s", MINIRING_DEVICE, strerror(errno));
	}
	self->setup = (struct miniring_setup){
		.entries = 4,
		.params = (unsigned long)&self->p,
	};
}

FIXTURE_TEARDOWN(device)
{
	close(self->fd);
}

/* Returns the result or -errno. */
static int do_ioctl(int fd, unsigned long cmd, void *arg)
{
	int ret = ioctl(fd, cmd, arg);

	return ret < 0 ? -errno : ret;
}

static int set_up(FIXTURE_DATA(device) * self)
{
	self->p = (struct io_uring_params){};
	return do_ioctl(self->fd, MINIRING_IOC_SETUP, &self->setup);
}

TEST_F(device, device_is_for_root)
{
	struct stat st;

	ASSERT_EQ(0, fstat(self->fd, &st));
	EXPECT_TRUE(S_ISCHR(st.st_mode));
	EXPECT_EQ(0600, st.st_mode & 0777);
	EXPECT_EQ(0, st.st_uid);
}

TEST_F(device, unknown_ioctls_are_refused)
{
	const unsigned long cmds[] = {
		0, -1U,
		_IO(MINIRING_IOC_MAGIC, 0),
		_IO(MINIRING_IOC_MAGIC, 5),
		_IO(MINIRING_IOC_MAGIC, 6),
		_IOW(MINIRING_IOC_MAGIC, 0, int),
		_IOW(MINIRING_IOC_MAGIC, 3, struct miniring_setup),
		_IOR(MINIRING_IOC_MAGIC, 0, struct miniring_setup),
		_IOWR(MINIRING_IOC_MAGIC, 1, struct miniring_enter),
		_IOW(MINIRING_IOC_MAGIC, 1, struct miniring_setup),
		_IOW(MINIRING_IOC_MAGIC, 2, struct miniring_enter),
		_IOW(MINIRING_IOC_MAGIC + 1, 0, struct miniring_setup),
	};

	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < ARRAY_SIZE(cmds); i++) {
			EXPECT_EQ(-ENOTTY, do_ioctl(self->fd, cmds[i], &self->setup)) {
				TH_LOG("command 0x%lx, set up %d", cmds[i], round);
			}
		}
		if (!round)
			ASSERT_EQ(0, set_up(self));
	}
}

TEST_F(device, device_is_no_ring_before_setup)
{
	struct miniring_enter enter = {};
	struct miniring_register reg = { .opcode = IORING_UNREGISTER_EVENTFD };
	struct pollfd fd = { .fd = self->fd, .events = POLLIN | POLLOUT };

	EXPECT_EQ(-EBADFD, do_ioctl(self->fd, MINIRING_IOC_ENTER, &enter));
	EXPECT_EQ(-EBADFD, do_ioctl(self->fd, MINIRING_IOC_REGISTER, &reg));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, getpagesize(), PROT_READ, MAP_SHARED,
				   self->fd, IORING_OFF_SQ_RING));
	EXPECT_EQ(EBADFD, errno);
	EXPECT_EQ(MAP_FAILED, mmap(NULL, getpagesize(), PROT_READ, MAP_SHARED,
				   self->fd, IORING_OFF_SQES));
	EXPECT_EQ(EBADFD, errno);
	poll(&fd, 1, 0);
	EXPECT_EQ(0, fd.revents & (POLLIN | POLLOUT));
}

TEST_F(device, device_becomes_a_ring_once)
{
	struct io_uring_params before;

	ASSERT_EQ(0, set_up(self));
	before = self->p;
	self->setup.entries = 64;
	EXPECT_EQ(-EBUSY, do_ioctl(self->fd, MINIRING_IOC_SETUP, &self->setup));
	EXPECT_EQ(0, memcmp(&before, &self->p, sizeof(before)));
}

TEST_F(device, failed_setup_can_be_repeated)
{
	self->setup.entries = 0;
	EXPECT_EQ(-EINVAL, set_up(self));
	self->setup.entries = 4;
	self->setup.params = 0;
	EXPECT_EQ(-EFAULT, set_up(self));
	self->setup.params = (unsigned long)&self->p;
	EXPECT_EQ(0, set_up(self));
	EXPECT_EQ(4, self->p.sq_entries);
}

TEST_F(device, setup_with_read_only_parameters_makes_no_ring)
{
	struct miniring_enter enter = {};

	self->setup.params = (unsigned long)mmap(NULL, getpagesize(), PROT_READ,
						 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	EXPECT_EQ(-EFAULT, set_up(self));
	EXPECT_EQ(-EBADFD, do_ioctl(self->fd, MINIRING_IOC_ENTER, &enter));
	self->setup.params = (unsigned long)&self->p;
	EXPECT_EQ(0, set_up(self));
}

TEST_F(device, setup_accepts_three_notify_models)
{
	for (unsigned int model = 0; model < 3; model++) {
		struct uring ring = { .model = model };

		ASSERT_EQ(0, uring_open(&ring, 4));
		ASSERT_NE(NULL, uring_nop(&ring, 1));
		EXPECT_EQ(1, uring_submit(&ring));
		EXPECT_STREQ("1 0", next_cqe(&ring));
		uring_close(&ring);
	}
	self->setup.notify_model = 3;
	EXPECT_EQ(-EINVAL, set_up(self));
	self->setup.notify_model = -1U;
	EXPECT_EQ(-EINVAL, set_up(self));
}

TEST_F(device, enter_refuses_a_nonzero_reserved_word)
{
	struct miniring_enter enter = { .resv = 1 };

	ASSERT_EQ(0, set_up(self));
	EXPECT_EQ(-EINVAL, do_ioctl(self->fd, MINIRING_IOC_ENTER, &enter));
	enter.resv = 0;
	EXPECT_EQ(0, do_ioctl(self->fd, MINIRING_IOC_ENTER, &enter));
}

TEST_F(device, unreadable_ioctl_arguments_fault)
{
	const unsigned long cmds[] = {
		MINIRING_IOC_SETUP, MINIRING_IOC_ENTER, MINIRING_IOC_REGISTER,
	};

	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(-EFAULT, do_ioctl(self->fd, cmds[i], NULL));
		EXPECT_EQ(-EFAULT, do_ioctl(self->fd, cmds[i], bad_pointer()));
		EXPECT_EQ(-EFAULT, do_ioctl(self->fd, cmds[i], (void *)-8L));
		/* SETUP faults on a file that is no ring, the other ioctls on a ring. */
		if (!i)
			ASSERT_EQ(0, set_up(self));
	}
}

static long submit_value(int fd, unsigned int to_submit, unsigned int min_complete)
{
	return do_ioctl(fd, MINIRING_IOC_SUBMIT,
			(void *)MINIRING_SUBMIT(to_submit, min_complete));
}

TEST_F(device, submit_by_value_has_the_effect_of_enter)
{
	struct uring ring = {};

	EXPECT_EQ(-EBADFD, submit_value(self->fd, 0, 0));
	ASSERT_EQ(0, uring_open(&ring, 4));
	EXPECT_EQ(0, submit_value(ring.fd, 0, 0));
	for (int i = 0; i < 3; i++)
		ASSERT_NE(NULL, uring_nop(&ring, i));
	uring_publish(&ring);
	EXPECT_EQ(1, submit_value(ring.fd, 1, 0));
	EXPECT_EQ(2, submit_value(ring.fd, -1U, 3));
	EXPECT_EQ(3, uring_reap(&ring));
	/* The value -1 is no error. */
	EXPECT_EQ(0, submit_value(ring.fd, -1U, -1U));
	uring_close(&ring);
}

static long register_value(int fd, unsigned int opcode, int value)
{
	return do_ioctl(fd, MINIRING_IOC_EVENTFD,
			(void *)MINIRING_REGISTER(opcode, value));
}

TEST_F(device, eventfd_by_value_has_the_effect_of_register)
{
	static const unsigned int others[] = {
		IORING_REGISTER_BUFFERS, IORING_UNREGISTER_BUFFERS, IORING_REGISTER_PROBE,
		IORING_REGISTER_ENABLE_RINGS, IORING_REGISTER_LAST, -1U,
	};
	int event = eventfd(0, EFD_NONBLOCK), file = open("/dev/null", O_RDONLY);
	struct uring ring = {};
	__u64 count;

	ASSERT_LE(0, event);
	ASSERT_LE(0, file);
	EXPECT_EQ(-EBADFD, register_value(self->fd, IORING_REGISTER_EVENTFD, event));
	ASSERT_EQ(0, uring_open(&ring, 4));
	for (int i = 0; i < ARRAY_SIZE(others); i++)
		EXPECT_EQ(-EINVAL, register_value(ring.fd, others[i], 0));
	EXPECT_EQ(-ENXIO, register_value(ring.fd, IORING_UNREGISTER_EVENTFD, 0));
	EXPECT_EQ(-EBADF, register_value(ring.fd, IORING_REGISTER_EVENTFD, -1));
	EXPECT_EQ(-EBADF, register_value(ring.fd, IORING_REGISTER_EVENTFD, INT_MAX));
	EXPECT_EQ(-EINVAL, register_value(ring.fd, IORING_REGISTER_EVENTFD, file));
	EXPECT_EQ(0, register_value(ring.fd, IORING_REGISTER_EVENTFD, event));
	/* The long form sees the registration. */
	EXPECT_EQ(-EBUSY, register_value(ring.fd, IORING_REGISTER_EVENTFD_ASYNC, event));
	EXPECT_EQ(-EBUSY, uring_register(&ring, IORING_REGISTER_EVENTFD, &event, 1));
	ASSERT_NE(NULL, uring_nop(&ring, 1));
	ASSERT_EQ(1, uring_submit(&ring));
	EXPECT_EQ(8, read(event, &count, sizeof(count)));
	EXPECT_EQ(1, count);
	EXPECT_EQ(-EINVAL, register_value(ring.fd, IORING_UNREGISTER_EVENTFD, 1));
	EXPECT_EQ(0, register_value(ring.fd, IORING_UNREGISTER_EVENTFD, 0));
	/* Inline completions do not signal an async eventfd. */
	EXPECT_EQ(0, register_value(ring.fd, IORING_REGISTER_EVENTFD_ASYNC, event));
	ASSERT_NE(NULL, uring_nop(&ring, 2));
	ASSERT_EQ(1, uring_submit(&ring));
	EXPECT_EQ(-1, read(event, &count, sizeof(count)));
	EXPECT_EQ(0, uring_register(&ring, IORING_UNREGISTER_EVENTFD, NULL, 0));
	uring_close(&ring);
	close(file);
	close(event);
}

TEST_F(device, every_seek_is_refused_and_submits_nothing)
{
	static const int whences[] = {
		SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE,
	};
	static const off_t offsets[] = { 0, 1, 512, (off_t)MINIRING_SUBMIT(1, 0), -1 };
	struct uring ring = {};

	ASSERT_EQ(0, uring_open(&ring, 4));
	ASSERT_NE(NULL, uring_nop(&ring, 1));
	uring_publish(&ring);
	for (int i = 0; i < ARRAY_SIZE(whences); i++) {
		for (int j = 0; j < ARRAY_SIZE(offsets); j++) {
			errno = 0;
			EXPECT_EQ(-1, lseek(ring.fd, offsets[j], whences[i]));
			EXPECT_EQ(ESPIPE, errno);
		}
	}
	EXPECT_EQ(-1, lseek(ring.fd, 0, 99));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(0, uring_ready(&ring));
	EXPECT_EQ(0, uring_load(ring.sq.head));
	EXPECT_EQ(1, uring_enter(&ring, 1, 0, 0));
	uring_close(&ring);
}

TEST_F(device, random_ioctls_do_no_harm)
{
	const unsigned long cmds[] = { MINIRING_IOC_ENTER, MINIRING_IOC_REGISTER };
	unsigned int seed = 3, words[16];

	ASSERT_EQ(0, set_up(self));
	for (int i = 0; i < 5000; i++) {
		for (int j = 0; j < 16; j++)
			words[j] = rand_r(&seed) << 1 ^ rand_r(&seed);
		/* Sometimes small, to pass the first check. Never makes the call wait. */
		for (int j = 0; j < 4; j++)
			if (words[j] & 0x100)
				words[j] &= 0x3f;
		if (cmds[i % 2] == MINIRING_IOC_ENTER)
			words[2] &= ~IORING_ENTER_GETEVENTS;
		do_ioctl(self->fd, cmds[i % 2], words);
	}
}

struct racer {
	pthread_t thread;
	int fd, result;
	struct io_uring_params p;
	pthread_barrier_t *barrier;
};

static void *race_setup(void *arg)
{
	struct racer *r = arg;
	struct miniring_setup setup = { .entries = 64, .params = (unsigned long)&r->p };

	pthread_barrier_wait(r->barrier);
	r->result = do_ioctl(r->fd, MINIRING_IOC_SETUP, &setup);
	return NULL;
}

TEST_F(device, one_of_two_racing_setups_wins)
{
	pthread_barrier_t barrier;

	pthread_barrier_init(&barrier, NULL, 2);
	for (int round = 0; round < 100; round++) {
		int fd = open(MINIRING_DEVICE, O_RDWR);
		struct racer racer[2];

		for (int i = 0; i < 2; i++) {
			racer[i] = (struct racer){ .fd = fd, .barrier = &barrier };
			pthread_create(&racer[i].thread, NULL, race_setup, &racer[i]);
		}
		for (int i = 0; i < 2; i++)
			pthread_join(racer[i].thread, NULL);
		EXPECT_TRUE((racer[0].result == 0) != (racer[1].result == 0));
		EXPECT_TRUE(racer[0].result == -EBUSY || racer[1].result == -EBUSY) {
			TH_LOG("results %d and %d", racer[0].result, racer[1].result);
		}
		close(fd);
	}
}

TEST_F(device, read_and_write_of_a_ring_are_refused)
{
	char byte = 0;

	ASSERT_EQ(0, set_up(self));
	EXPECT_EQ(-1, read(self->fd, &byte, 1));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, write(self->fd, &byte, 1));
	EXPECT_EQ(EINVAL, errno);
}

TEST_F(device, each_open_makes_a_ring_of_its_own)
{
	struct uring one = {}, two = {};

	ASSERT_EQ(0, uring_open(&one, 4));
	ASSERT_EQ(0, uring_open(&two, 8));
	ASSERT_NE(NULL, uring_nop(&one, 1));
	EXPECT_EQ(1, uring_submit(&one));
	EXPECT_EQ(0, uring_ready(&two));
	uring_close(&one);
	ASSERT_NE(NULL, uring_nop(&two, 2));
	EXPECT_EQ(1, uring_submit(&two));
	EXPECT_STREQ("2 0", next_cqe(&two));
}

TEST_HARNESS_MAIN
