// SPDX-License-Identifier: GPL-2.0
/*
 * io_uring_register(2): the operations, their arguments, and IORING_REGISTER_PROBE. ring_buffers.c
 * and ring_eventfd.c test the registered objects.
 */
#include <pthread.h>
#include "ring_test.h"

FIXTURE(registering)
{
	struct uring ring;
};

FIXTURE_SETUP(registering)
{
	ASSERT_EQ(0, uring_open(&self->ring, 4));
}

FIXTURE_TEARDOWN(registering)
{
	uring_close(&self->ring);
}

TEST_F(registering, unknown_register_operations_are_refused)
{
	const unsigned int opcodes[] = {
		IORING_REGISTER_LAST, IORING_REGISTER_LAST + 1, 0x7fffffff,
	};

	for (int i = 0; i < ARRAY_SIZE(opcodes); i++)
		EXPECT_EQ(-EINVAL, uring_register(&self->ring, opcodes[i], NULL, 0));
}

TEST_F(registering, unsupported_register_operations_are_einval)
{
	const unsigned int opcodes[] = {
		IORING_REGISTER_FILES, IORING_UNREGISTER_FILES,
		IORING_REGISTER_FILES_UPDATE, IORING_REGISTER_PERSONALITY,
		IORING_UNREGISTER_PERSONALITY, IORING_REGISTER_RESTRICTIONS,
		IORING_REGISTER_FILES2, IORING_REGISTER_FILES_UPDATE2,
		IORING_REGISTER_BUFFERS2, IORING_REGISTER_BUFFERS_UPDATE,
		IORING_REGISTER_IOWQ_AFF, IORING_UNREGISTER_IOWQ_AFF,
		IORING_REGISTER_IOWQ_MAX_WORKERS, IORING_REGISTER_RING_FDS,
		IORING_UNREGISTER_RING_FDS, IORING_REGISTER_PBUF_RING,
		IORING_UNREGISTER_PBUF_RING, IORING_REGISTER_FILE_ALLOC_RANGE,
		IORING_REGISTER_PBUF_STATUS, IORING_REGISTER_NAPI,
		IORING_UNREGISTER_NAPI,
	};
	char arg[256] = {};

	if (on_io_uring())
		SKIP(return, "io_uring has them");
	for (int i = 0; i < ARRAY_SIZE(opcodes); i++) {
		EXPECT_EQ(-EINVAL, uring_register(&self->ring, opcodes[i], NULL, 0)) {
			TH_LOG("operation %u", opcodes[i]);
		}
		EXPECT_EQ(-EINVAL, uring_register(&self->ring, opcodes[i], arg, 1));
	}
}

TEST_F(registering, register_refuses_unexpected_arguments)
{
	int fd = 0;
	const struct {
		unsigned int opcode;
		void *arg;
		unsigned int nr;
		int result;
	} cases[] = {
		{ IORING_REGISTER_EVENTFD, &fd, 0, -EINVAL },
		{ IORING_REGISTER_EVENTFD, &fd, 2, -EINVAL },
		{ IORING_REGISTER_EVENTFD, NULL, 1, -EFAULT },
		{ IORING_REGISTER_EVENTFD_ASYNC, &fd, 0, -EINVAL },
		{ IORING_REGISTER_EVENTFD_ASYNC, &fd, -1U, -EINVAL },
		{ IORING_REGISTER_EVENTFD_ASYNC, NULL, 1, -EFAULT },
		{ IORING_UNREGISTER_EVENTFD, &fd, 0, -EINVAL },
		{ IORING_UNREGISTER_EVENTFD, NULL, 1, -EINVAL },
		{ IORING_UNREGISTER_EVENTFD, NULL, 0, -ENXIO },
		{ IORING_REGISTER_ENABLE_RINGS, &fd, 0, -EINVAL },
		{ IORING_REGISTER_ENABLE_RINGS, NULL, 1, -EINVAL },
		{ IORING_REGISTER_ENABLE_RINGS, NULL, 0, -EBADFD },
		{ IORING_REGISTER_PROBE, NULL, 0, -EINVAL },
		{ IORING_REGISTER_PROBE, NULL, 1, -EINVAL },
		{ IORING_REGISTER_PROBE, bad_pointer(), 257, -EINVAL },
		{ IORING_REGISTER_PROBE, bad_pointer(), -1U, -EINVAL },
		{ IORING_REGISTER_PROBE, bad_pointer(), 256, -EFAULT },
		{ IORING_REGISTER_PROBE, bad_pointer(), 0, -EFAULT },
	};

	for (int i = 0; i < ARRAY_SIZE(cases); i++) {
		EXPECT_EQ(cases[i].result, uring_register(&self->ring, cases[i].opcode,
							  cases[i].arg, cases[i].nr)) {
			TH_LOG("operation %u, %p, %u", cases[i].opcode,
			       cases[i].arg, cases[i].nr);
		}
	}
}

struct probe {
	struct io_uring_probe head;
	struct io_uring_probe_op ops[256];
};

TEST_F(registering, probe_lists_the_operations)
{
	struct probe probe = {};

	ASSERT_EQ(0, uring_register(&self->ring, IORING_REGISTER_PROBE, &probe, 256));
	/* The kernel may have more operations than the header of this build. */
	EXPECT_LE(IORING_OP_LAST - 1, probe.head.last_op);
	EXPECT_EQ(probe.head.last_op + 1, probe.head.ops_len);
	EXPECT_EQ(0, probe.head.resv | probe.head.resv2[0] | probe.head.resv2[1] |
		  probe.head.resv2[2]);
	for (int i = 0; i < probe.head.ops_len; i++) {
		EXPECT_EQ(i, probe.ops[i].op);
		EXPECT_EQ(0, probe.ops[i].flags & ~IO_URING_OP_SUPPORTED);
		EXPECT_EQ(0, probe.ops[i].resv | probe.ops[i].resv2);
	}
	EXPECT_EQ(0, probe.ops[probe.head.ops_len].op);
	EXPECT_EQ(IO_URING_OP_SUPPORTED, probe.ops[IORING_OP_NOP].flags);
}

/* A request whose fields are all wrong, except the operation. */
static int try_operation(struct uring *ring, int opcode)
{
	struct io_uring_sqe *sqe = uring_get_sqe(ring);
	int res;

	sqe->opcode = opcode;
	sqe->fd = -1;
	sqe->ioprio = 0x7fff;
	sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
	uring_submit(ring);
	if (!uring_ready(ring))
		return 0;
	res = uring_peek(ring)->res;
	uring_advance(ring, 1);
	return res;
}

TEST_F(registering, operation_missing_in_the_probe_is_refused)
{
	struct probe probe = {};

	ASSERT_EQ(0, uring_register(&self->ring, IORING_REGISTER_PROBE, &probe, 256));
	for (int i = 0; i < 256; i++) {
		if (i < probe.head.ops_len && probe.ops[i].flags)
			continue;
		EXPECT_EQ(-EINVAL, try_operation(&self->ring, i)) {
			TH_LOG("operation %d", i);
		}
	}
}

TEST_F(registering, probe_of_few_operations_writes_no_further)
{
	struct probe probe = {};

	memset(&probe.ops[3], 0x5a, sizeof(probe.ops[3]));
	ASSERT_EQ(0, uring_register(&self->ring, IORING_REGISTER_PROBE, &probe, 3));
	EXPECT_EQ(3, probe.head.ops_len);
	EXPECT_LE(IORING_OP_LAST - 1, probe.head.last_op);
	EXPECT_EQ(2, probe.ops[2].op);
	EXPECT_EQ(0x5a, probe.ops[3].op);
	memset(&probe, 0, sizeof(probe));
	EXPECT_EQ(0, uring_register(&self->ring, IORING_REGISTER_PROBE, &probe, 0));
	EXPECT_EQ(0, probe.head.ops_len);
}

TEST_F(registering, nonzero_probe_is_refused)
{
	struct probe probe;
	char *bytes = (char *)&probe;

	for (size_t i = 0; i < sizeof(probe.head) + 2 * sizeof(probe.ops[0]); i += 5) {
		memset(&probe, 0, sizeof(probe));
		bytes[i] = 1;
		EXPECT_EQ(-EINVAL, uring_register(&self->ring, IORING_REGISTER_PROBE,
						  &probe, 2)) {
			TH_LOG("byte %zu", i);
		}
	}
	/* Fields that the operation ignores may have any value. */
	memset(&probe, 0, sizeof(probe));
	probe.ops[2].op = 1;
	EXPECT_EQ(0, uring_register(&self->ring, IORING_REGISTER_PROBE, &probe, 2));
}

TEST_F(registering, unwritable_probe_faults)
{
	struct probe *probe = mmap(NULL, getpagesize(), PROT_READ,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	EXPECT_EQ(-EFAULT, uring_register(&self->ring, IORING_REGISTER_PROBE, probe, 1));
}

static void *register_all(void *arg)
{
	for (unsigned int opcode = 0; opcode < IORING_REGISTER_LAST; opcode++) {
		int ret = uring_register(arg, opcode, NULL, 0);

		if (ret != -EEXIST)
			return (void *)(long)(opcode + 1);
	}
	return NULL;
}

TEST(other_task_cannot_use_any_register_operation)
{
	struct uring ring = { .p.flags = IORING_SETUP_SINGLE_ISSUER };
	pthread_t thread;
	void *ret;

	ASSERT_EQ(0, uring_open(&ring, 4));
	pthread_create(&thread, NULL, register_all, &ring);
	pthread_join(thread, &ret);
	EXPECT_EQ(NULL, ret) {
		TH_LOG("operation %ld", (long)ret - 1);
	}
	/* A number that is too large is refused first. */
	EXPECT_EQ(-EINVAL, uring_register(&ring, IORING_REGISTER_LAST, NULL, 0));
	uring_close(&ring);
}

TEST(disabled_ring_accepts_registrations)
{
	struct uring ring = {
		.p.flags = IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER,
	};
	struct probe probe = {};
	pthread_t thread;
	void *ret;

	ASSERT_EQ(0, uring_open(&ring, 4));
	EXPECT_EQ(0, uring_register(&ring, IORING_REGISTER_PROBE, &probe, 256));
	/* The ring has no submitter yet. */
	pthread_create(&thread, NULL, register_all, &ring);
	pthread_join(thread, &ret);
	EXPECT_NE(NULL, ret);
	uring_close(&ring);
}

TEST_HARNESS_MAIN
