// SPDX-License-Identifier: GPL-2.0
/*
 * The trace events of rings, read from tracefs. The events of io_uring have the same format,
 * except eventfd, which io_uring no longer has.
 */
#include <stdarg.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include "ring_test.h"

#define TRACING "/sys/kernel/tracing/"

FIXTURE(trace)
{
	const char *name;	/* name of the trace system, and prefix of its events */
	struct uring ring;
};

static int put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_TRUNC);
	int ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

static int set_events(const char *name, const char *value)
{
	char path[128];

	snprintf(path, sizeof(path), TRACING "events/%s/enable", name);
	return put(path, value);
}

/* Returns the number of lines of the trace with this event and these words. */
static int count(FIXTURE_DATA(trace) * self, const char *event, const char *format, ...)
{
	char line[1024], want[64], words[256];
	FILE *file = fopen(TRACING "trace", "r");
	int nr = 0;
	va_list args;

	snprintf(want, sizeof(want), "%s_%s: ring ", self->name, event);
	va_start(args, format);
	vsnprintf(words, sizeof(words), format, args);
	va_end(args);
	while (file && fgets(line, sizeof(line), file))
		if (strstr(line, want) && strstr(line, words))
			nr++;
	if (file)
		fclose(file);
	return nr;
}

FIXTURE_SETUP(trace)
{
	self->name = on_io_uring() ? "io_uring" : "miniring";
	if (access(TRACING "trace", R_OK))
		SKIP(return, "no tracefs");
	ASSERT_EQ(0, put(TRACING "trace", ""));
	ASSERT_EQ(0, set_events(self->name, "1"));
	ASSERT_EQ(0, uring_open(&self->ring, 1));
}

FIXTURE_TEARDOWN(trace)
{
	set_events(self->name, "0");
	uring_close(&self->ring);
}

TEST_F(trace, trace_shows_a_new_ring)
{
	struct uring ring = {
		.p.flags = IORING_SETUP_CLAMP | IORING_SETUP_CQSIZE,
		.p.cq_entries = 64,
	};

	EXPECT_EQ(0, count(self, "create", "sq size 8, cq size 64, flags 0x18"));
	ASSERT_EQ(0, uring_open(&ring, 8));
	EXPECT_EQ(1, count(self, "create", "sq size 8, cq size 64, flags 0x18"));
	uring_close(&ring);
}

TEST_F(trace, trace_shows_a_registration)
{
	static char page[4096];
	struct iovec iov[3] = { { page, 1 }, { page, 2 }, {} };
	const char *buffers = on_io_uring() ? "nr_user_bufs 3, ret 0" :
					      "nr_user_bufs 3, eventfd 0, ret 0";

	ASSERT_EQ(0, uring_register(&self->ring, IORING_REGISTER_BUFFERS, iov, 3));
	EXPECT_EQ(1, count(self, "register", "opcode %d, ", IORING_REGISTER_BUFFERS));
	EXPECT_EQ(1, count(self, "register", buffers));
	ASSERT_EQ(-EBUSY, uring_register(&self->ring, IORING_REGISTER_BUFFERS, iov, 3));
	EXPECT_EQ(2, count(self, "register", "opcode %d, ", IORING_REGISTER_BUFFERS));
	EXPECT_EQ(1, count(self, "register", "ret %d", -EBUSY));
	/* An unknown operation is refused before the event. */
	ASSERT_EQ(-EINVAL, uring_register(&self->ring, IORING_REGISTER_LAST, NULL, 0));
	EXPECT_EQ(0, count(self, "register", "opcode %d, ", IORING_REGISTER_LAST));
}

TEST_F(trace, trace_shows_whether_an_eventfd_is_registered)
{
	if (on_io_uring())
		SKIP(return, "io_uring no longer says that");
	for (unsigned int model = 0; model < 3; model++) {
		struct uring ring = { .model = model };
		int fd = eventfd(0, 0);

		ASSERT_EQ(0, put(TRACING "trace", ""));
		ASSERT_EQ(0, uring_open(&ring, 4));
		ASSERT_EQ(0, uring_register_eventfd(&ring, fd));
		EXPECT_EQ(1, count(self, "register", "opcode 4, nr_user_bufs 0, eventfd 1, ret 0"));
		ASSERT_EQ(-EBUSY, uring_register_eventfd(&ring, fd));
		EXPECT_EQ(1, count(self, "register", "eventfd 1, ret -16"));
		ASSERT_EQ(0, uring_unregister_eventfd(&ring));
		EXPECT_EQ(1, count(self, "register", "opcode 5, nr_user_bufs 0, eventfd 0, ret 0"));
		uring_close(&ring);
		close(fd);
	}
}

TEST_F(trace, trace_shows_submissions_and_completions)
{
	struct io_uring_sqe *sqe = uring_nop(&self->ring, 0x1234);

	ASSERT_NE(NULL, sqe);
	sqe->nop_flags = IORING_NOP_INJECT_RESULT;
	sqe->len = -77;
	ASSERT_EQ(1, uring_submit(&self->ring));
	EXPECT_EQ(1, count(self, "submit_req", "user_data 0x1234, opcode"));
	EXPECT_EQ(1, count(self, "complete", "user_data 0x1234, result -77, cflags 0x0"));
	EXPECT_EQ(0, count(self, "cqe_overflow", ""));
}

TEST_F(trace, trace_shows_overflowed_completions)
{
	/* The CQ has room for two CQEs. */
	for (int i = 1; i <= 4; i++) {
		ASSERT_NE(NULL, uring_nop(&self->ring, i));
		ASSERT_EQ(1, uring_submit(&self->ring));
	}
	EXPECT_EQ(0, count(self, "cqe_overflow", "user_data 0x2, res 0, cflags 0x0"));
	EXPECT_EQ(1, count(self, "cqe_overflow", "user_data 0x3, res 0, cflags 0x0"));
	EXPECT_EQ(1, count(self, "cqe_overflow", "user_data 0x4, res 0, cflags 0x0"));
	EXPECT_EQ(4, count(self, "submit_req", ""));
}

TEST_F(trace, disabled_trace_events_are_silent)
{
	ASSERT_EQ(0, set_events(self->name, "0"));
	ASSERT_EQ(0, put(TRACING "trace", ""));
	ASSERT_NE(NULL, uring_nop(&self->ring, 1));
	ASSERT_EQ(1, uring_submit(&self->ring));
	EXPECT_EQ(0, count(self, "submit_req", ""));
	EXPECT_EQ(0, count(self, "complete", ""));
}

TEST_HARNESS_MAIN
