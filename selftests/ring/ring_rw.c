// SPDX-License-Identifier: GPL-2.0
/* Reading and writing files through the ring. */
#include <limits.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include "ring_ops.h"
#include "ring_test.h"

/* Submits the prepared request and returns its result. */
static int result(struct uring *ring)
{
	struct io_uring_cqe *cqe;
	int res;

	if (uring_submit(ring) != 1)
		return -9999;
	if (!uring_ready(ring))
		enter_timeout(ring, 1, HANG_MS);
	cqe = uring_peek(ring);
	if (!cqe)
		return -9998;
	res = cqe->res;
	uring_advance(ring, 1);
	return res;
}

FIXTURE(rw)
{
	struct uring ring;
	int file;
	int fds[2];
	char data[8192];
	char back[8192];
};

FIXTURE_SETUP(rw)
{
	char name[] = "/tmp/ring_rw.XXXXXX";

	ASSERT_EQ(0, uring_open(&self->ring, 8));
	mkdir("/tmp", 0777);
	self->file = mkstemp(name);
	ASSERT_GE(self->file, 0);
	unlink(name);
	ASSERT_EQ(0, pipe(self->fds));
	for (int i = 0; i < sizeof(self->data); i++)
		self->data[i] = i * 7 + i / 256;
}

FIXTURE_TEARDOWN(rw)
{
	close(self->file);
	close(self->fds[0]);
	close(self->fds[1]);
	uring_close(&self->ring);
}

TEST_F(rw, read_returns_the_written_data)
{
	struct uring *ring = &self->ring;

	prep_rw(ring, IORING_OP_WRITE, self->file, self->data, 8192, 0, 1);
	ASSERT_EQ(8192, result(ring));
	prep_rw(ring, IORING_OP_READ, self->file, self->back, 8192, 0, 2);
	ASSERT_EQ(8192, result(ring));
	EXPECT_EQ(0, memcmp(self->data, self->back, 8192));
	prep_rw(ring, IORING_OP_READ, self->file, self->back, 100, 8000, 2);
	ASSERT_EQ(100, result(ring));
	EXPECT_EQ(0, memcmp(self->data + 8000, self->back, 100));
}

TEST_F(rw, readv_and_writev_transfer_vectors)
{
	struct iovec out[3] = {
		{ self->data, 1000 }, { self->data + 1000, 0 }, { self->data + 1000, 3000 },
	};
	struct iovec in[2] = { { self->back, 3999 }, { self->back + 3999, 1 } };
	struct uring *ring = &self->ring;

	prep_rw(ring, IORING_OP_WRITEV, self->file, out, 3, 10, 1);
	ASSERT_EQ(4000, result(ring));
	prep_rw(ring, IORING_OP_READV, self->file, in, 2, 10, 2);
	ASSERT_EQ(4000, result(ring));
	EXPECT_EQ(0, memcmp(self->data, self->back, 4000));
	prep_rw(ring, IORING_OP_READV, self->file, in, 1, 10, 2);
	EXPECT_EQ(3999, result(ring));
	prep_rw(ring, IORING_OP_READV, self->file, in, 0, 10, 2);
	EXPECT_EQ(0, result(ring));
	prep_rw(ring, IORING_OP_READV, self->file, in, 1025, 10, 2);
	EXPECT_EQ(-EINVAL, result(ring));
	prep_rw(ring, IORING_OP_READV, self->file, bad_pointer(), 1, 10, 2);
	EXPECT_EQ(-EFAULT, result(ring));
}

TEST_F(rw, iovecs_are_read_at_submission)
{
	struct iovec in = { self->back, 3 };
	struct uring *ring = &self->ring;

	prep_rw(ring, IORING_OP_READV, self->fds[0], &in, 1, 0, 1);
	ASSERT_EQ(1, uring_submit(ring));
	in.iov_base = NULL;
	ASSERT_EQ(3, write(self->fds[1], "abc", 3));
	ASSERT_EQ(0, enter_timeout(ring, 1, HANG_MS));
	EXPECT_STREQ("1 3", next_cqe(ring));
	EXPECT_EQ(0, memcmp("abc", self->back, 3));
}

TEST_F(rw, read_stops_at_the_end_of_a_file)
{
	struct uring *ring = &self->ring;

	ASSERT_EQ(100, write(self->file, self->data, 100));
	prep_rw(ring, IORING_OP_READ, self->file, self->back, 8192, 0, 1);
	EXPECT_EQ(100, result(ring));
	prep_rw(ring, IORING_OP_READ, self->file, self->back, 8192, 60, 1);
	EXPECT_EQ(40, result(ring));
	prep_rw(ring, IORING_OP_READ, self->file, self->back, 8192, 100, 1);
	EXPECT_EQ(0, result(ring));
	prep_rw(ring, IORING_OP_READ, self->file, self->back, 8192, 1LL << 40, 1);
	EXPECT_EQ(0, result(ring));
}

TEST_F(rw, read_at_the_end_of_a_file_is_an_access)
{
	int watch = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	struct inotify_event event;
	char name[64];

	ASSERT_LE(0, watch);
	snprintf(name, sizeof(name), "/proc/self/fd/%d", self->file);
	ASSERT_LE(0, inotify_add_watch(watch, name, IN_ACCESS));
	prep_rw(&self->ring, IORING_OP_READ, self->file, self->back, 10, 0, 1);
	ASSERT_EQ(0, result(&self->ring));
	ASSERT_EQ(sizeof(event), read(watch, &event, sizeof(event)));
	EXPECT_EQ(IN_ACCESS, event.mask);
	close(watch);
}

TEST_F(rw, transfer_moves_the_files_position)
{
	struct uring *ring = &self->ring;

	prep_rw(ring, IORING_OP_WRITE, self->file, self->data, 100, -1, 1);
	EXPECT_EQ(100, result(ring));
	EXPECT_EQ(100, lseek(self->file, 0, SEEK_CUR));
	prep_rw(ring, IORING_OP_WRITE, self->file, self->data + 100, 100, -1, 1);
	EXPECT_EQ(100, result(ring));
	ASSERT_EQ(50, lseek(self->file, 50, SEEK_SET));
	prep_rw(ring, IORING_OP_READ, self->file, self->back, 60, -1, 1);
	EXPECT_EQ(60, result(ring));
	EXPECT_EQ(110, lseek(self->file, 0, SEEK_CUR));
	prep_rw(ring, IORING_OP_READ, self->file, self->back + 60, 60, -1, 1)->flags =
		IOSQE_ASYNC;
	EXPECT_EQ(60, result(ring));
	EXPECT_EQ(170, lseek(self->file, 0, SEEK_CUR));
	EXPECT_EQ(0, memcmp(self->data + 50, self->back, 120));
	/* A transfer with an offset does not move the position. */
	prep_rw(ring, IORING_OP_READ, self->file, self->back, 60, 0, 1);
	EXPECT_EQ(60, result(ring));
	EXPECT_EQ(170, lseek(self->file, 0, SEEK_CUR));
}

/* Each write at the file's position begins at the end of another write. */
TEST_F(rw, writes_at_the_files_position_do_not_overlap)
{
	struct uring ring = {};
	static char blocks[16][4096], back[4096];

	ASSERT_EQ(0, uring_open(&ring, 16));
	for (int round = 0; round < 20; round++) {
		int seen = 0;

		for (int i = 0; i < 16; i++) {
			memset(blocks[i], i + 1, sizeof(blocks[i]));
			prep_rw(&ring, IORING_OP_WRITE, self->file, blocks[i], sizeof(blocks[i]),
				-1, i)->flags = IOSQE_ASYNC;
		}
		ASSERT_EQ(16, uring_submit_and_wait(&ring, 16));
		ASSERT_EQ(16, uring_reap(&ring));
		for (int i = 0; i < 16; i++) {
			off_t at = (round * 16 + i) * sizeof(back);

			ASSERT_EQ(sizeof(back), pread(self->file, back, sizeof(back), at));
			EXPECT_EQ(0, memcmp(back, back + 1, sizeof(back) - 1));
			seen |= 1 << back[0];
		}
		ASSERT_EQ(0x1fffe, seen);
	}
	EXPECT_EQ(20 * 16 * sizeof(back), lseek(self->file, 0, SEEK_END));
	uring_close(&ring);
}

TEST_F(rw, read_of_a_ready_pipe_completes_at_once)
{
	struct uring *ring = &self->ring;

	ASSERT_EQ(3, write(self->fds[1], "abc", 3));
	prep_rw(ring, IORING_OP_READ, self->fds[0], self->back, 100, 0, 1);
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("1 3", next_cqe(ring));
	prep_rw(ring, IORING_OP_WRITE, self->fds[1], self->data, 100, 0, 1);
	ASSERT_EQ(1, uring_submit(ring));
	EXPECT_STREQ("1 100", next_cqe(ring));
}

TEST_F(rw, read_of_an_empty_pipe_waits_for_data)
{
	struct uring *ring = &self->ring;

	for (int round = 0; round < 4; round++) {
		prep_rw(ring, IORING_OP_READ, self->fds[0], self->back, 100, -1, round)->flags =
			round & 1 ? IOSQE_ASYNC : 0;
		ASSERT_EQ(1, uring_submit(ring));
		sleep_ms(round & 2 ? 10 : 0);
		EXPECT_EQ(0, uring_ready(ring));
		ASSERT_EQ(3, write(self->fds[1], "abc", 3));
		ASSERT_EQ(0, enter_timeout(ring, 1, HANG_MS));
		ASSERT_NE(NULL, uring_peek(ring));
		EXPECT_EQ(3, uring_peek(ring)->res);
		uring_reap(ring);
	}
}

/* A fifo ignores NOWAIT, and shows its end only by POLLHUP. */
TEST_F(rw, read_of_a_fifo_ends_with_its_writer)
{
	char name[] = "/tmp/ring_rw.XXXXXX/fifo";
	struct uring *ring = &self->ring;
	char *slash = strrchr(name, '/');
	int reader, writer;
	char byte;

	*slash = 0;
	ASSERT_NE(NULL, mkdtemp(name));
	*slash = '/';
	ASSERT_EQ(0, mkfifo(name, 0600));
	reader = open(name, O_RDONLY | O_NONBLOCK);
	writer = open(name, O_WRONLY);
	unlink(name);
	*slash = 0;
	rmdir(name);
	ASSERT_LE(0, reader);
	ASSERT_LE(0, writer);
	ASSERT_EQ(0, fcntl(reader, F_SETFL, 0));
	prep_rw(ring, IORING_OP_READ, reader, &byte, 1, 0, 1);
	ASSERT_EQ(1, uring_submit(ring));
	sleep_ms(20);
	EXPECT_EQ(0, uring_ready(ring));
	close(writer);
	EXPECT_EQ(0, enter_timeout(ring, 1, HANG_MS));
	EXPECT_STREQ("1 0", next_cqe(ring));
	prep_rw(ring, IORING_OP_READ, reader, &byte, 1, 0, 2);
	EXPECT_EQ(0, result(ring));
	close(reader);
}

TEST_F(rw, write_to_a_full_pipe_waits_for_room)
{
	struct uring *ring = &self->ring;
	int flags = fcntl(self->fds[1], F_GETFL);
	int written = 0, ret;

	fcntl(self->fds[1], F_SETFL, flags | O_NONBLOCK);
	while ((ret = write(self->fds[1], self->data, 4096)) > 0)
		written += ret;
	fcntl(self->fds[1], F_SETFL, flags);
	prep_rw(ring, IORING_OP_WRITE, self->fds[1], self->data, 4096, 0, 1);
	ASSERT_EQ(1, uring_submit(ring));
	sleep_ms(5);
	EXPECT_EQ(0, uring_ready(ring));
	for (written += 4096; written; written -= ret) {
		ret = read(self->fds[0], self->back, 4096);
		ASSERT_GT(ret, 0);
	}
	ASSERT_EQ(0, enter_timeout(ring, 1, HANG_MS));
	EXPECT_STREQ("1 4096", next_cqe(ring));
}

TEST_F(rw, several_reads_of_a_pipe_each_complete)
{
	struct uring *ring = &self->ring;
	unsigned int seen = 0;

	for (int i = 0; i < 8; i++)
		prep_rw(ring, IORING_OP_READ, self->fds[0], self->back + i, 1, 0, i);
	ASSERT_EQ(8, uring_submit(ring));
	for (int i = 0; i < 8; i++) {
		ASSERT_EQ(1, write(self->fds[1], "x", 1));
		ASSERT_EQ(0, enter_timeout(ring, 1, HANG_MS));
		ASSERT_EQ(1, uring_peek(ring)->res);
		seen |= 1 << uring_peek(ring)->user_data;
		uring_advance(ring, 1);
	}
	EXPECT_EQ(0xff, seen);
	EXPECT_EQ(0, memcmp("xxxxxxxx", self->back, 8));
}

TEST_F(rw, read_of_a_socket_ends_with_its_peer)
{
	struct uring *ring = &self->ring;
	int socks[2];

	ASSERT_EQ(0, socketpair(AF_UNIX, SOCK_STREAM, 0, socks));
	prep_rw(ring, IORING_OP_READ, socks[0], self->back, 100, 0, 1);
	ASSERT_EQ(1, uring_submit(ring));
	close(socks[1]);
	ASSERT_EQ(0, enter_timeout(ring, 1, HANG_MS));
	EXPECT_STREQ("1 0", next_cqe(ring));
	close(socks[0]);
}

TEST_F(rw, read_of_a_nonblocking_pipe_waits)
{
	struct uring *ring = &self->ring;

	fcntl(self->fds[0], F_SETFL, O_NONBLOCK);
	prep_rw(ring, IORING_OP_READ, self->fds[0], self->back, 100, 0, 1);
	ASSERT_EQ(1, uring_submit(ring));
	sleep_ms(5);
	EXPECT_EQ(0, uring_ready(ring));
	ASSERT_EQ(1, write(self->fds[1], "x", 1));
	ASSERT_EQ(0, enter_timeout(ring, 1, HANG_MS));
	EXPECT_STREQ("1 1", next_cqe(ring));
}

TEST_F(rw, rwf_nowait_does_not_wait)
{
	struct uring *ring = &self->ring;

	prep_rw(ring, IORING_OP_READ, self->fds[0], self->back, 100, 0, 1)->rw_flags = RWF_NOWAIT;
	EXPECT_EQ(-EAGAIN, result(ring));
	prep_rw(ring, IORING_OP_READ, self->fds[0], self->back, 100, 0, 1)->rw_flags = 1 << 30;
	EXPECT_EQ(-EOPNOTSUPP, result(ring));
	prep_rw(ring, IORING_OP_READ, self->file, self->back, 100, 0, 1)->rw_flags = RWF_HIPRI;
	EXPECT_EQ(-EINVAL, result(ring));
	ASSERT_EQ(3, write(self->file, "abc", 3));
	prep_rw(ring, IORING_OP_WRITE, self->file, "def", 3, 0, 1)->rw_flags = RWF_APPEND;
	EXPECT_EQ(3, result(ring));
	ASSERT_EQ(6, pread(self->file, self->back, 100, 0));
	EXPECT_EQ(0, memcmp("abcdef", self->back, 6));
}

TEST_F(rw, files_without_iterators_or_poll_can_be_read)
{
	struct uring *ring = &self->ring;
	struct iovec in[2] = { { self->back, 4 }, { self->back + 4, 4 } };
	int fd = open("/proc/self/comm", O_RDWR);

	ASSERT_GE(fd, 0);
	prep_rw(ring, IORING_OP_READ, fd, self->back, 100, 0, 1);
	EXPECT_EQ(8, result(ring));
	EXPECT_EQ(0, memcmp("ring_rw\n", self->back, 8));
	memset(self->back, 0, 100);
	prep_rw(ring, IORING_OP_READV, fd, in, 2, 0, 1);
	EXPECT_EQ(8, result(ring));
	EXPECT_EQ(0, memcmp("ring_rw\n", self->back, 8));
	close(fd);
	fd = open("/proc/self/oom_score_adj", O_RDONLY);
	ASSERT_GE(fd, 0);
	prep_rw(ring, IORING_OP_READ, fd, self->back, 100, 0, 1);
	EXPECT_GT(result(ring), 0);
	close(fd);
}

TEST_F(rw, transfer_errors_are_reported)
{
	struct uring *ring = &self->ring;
	int dir = open("/", O_RDONLY | O_DIRECTORY);

	prep_rw(ring, IORING_OP_READ, -1, self->back, 100, 0, 1);
	EXPECT_EQ(-EBADF, result(ring));
	prep_rw(ring, IORING_OP_READ, self->fds[1], self->back, 100, 0, 1);
	EXPECT_EQ(-EBADF, result(ring));
	prep_rw(ring, IORING_OP_WRITE, self->fds[0], self->back, 100, 0, 1);
	EXPECT_EQ(-EBADF, result(ring));
	prep_rw(ring, IORING_OP_READ, dir, self->back, 100, 0, 1);
	EXPECT_EQ(-EISDIR, result(ring));
	ASSERT_EQ(1, write(self->fds[1], "x", 1));
	prep_rw(ring, IORING_OP_READ, self->fds[0], bad_pointer(), 100, 0, 1);
	EXPECT_EQ(-EFAULT, result(ring));
	prep_rw(ring, IORING_OP_READ, self->fds[0], (void *)-4096UL, 100, 0, 1);
	EXPECT_EQ(-EFAULT, result(ring));
	prep_rw(ring, IORING_OP_READ, self->file, self->back, 100, 0, 1)->ioprio = 7 << 13;
	EXPECT_EQ(-EINVAL, result(ring));
	prep_rw(ring, IORING_OP_READ, self->file, self->back, 100, 0, 1)->flags =
		IOSQE_BUFFER_SELECT;
	EXPECT_EQ(-ENOBUFS, result(ring));
	prep_rw(ring, IORING_OP_WRITE, self->file, self->back, 100, 0, 1)->flags =
		IOSQE_BUFFER_SELECT;
	EXPECT_EQ(-EOPNOTSUPP, result(ring));
	close(dir);
}

TEST_F(rw, short_transfer_ends_a_chain)
{
	struct uring *ring = &self->ring;

	ASSERT_EQ(10, write(self->file, self->data, 10));
	prep_rw(ring, IORING_OP_READ, self->file, self->back, 11, 0, 1)->flags = IOSQE_IO_LINK;
	uring_nop(ring, 2);
	ASSERT_EQ(2, uring_submit_and_wait(ring, 2));
	EXPECT_STREQ("1 10", next_cqe(ring));
	EXPECT_STREQ("2 -ECANCELED", next_cqe(ring));
	prep_rw(ring, IORING_OP_READ, self->file, self->back, 10, 0, 1)->flags = IOSQE_IO_LINK;
	uring_nop(ring, 2);
	ASSERT_EQ(2, uring_submit_and_wait(ring, 2));
	EXPECT_STREQ("1 10", next_cqe(ring));
	EXPECT_STREQ("2 0", next_cqe(ring));
}

TEST_F(rw, chain_of_reads_and_writes_copies_a_file)
{
	struct uring *ring = &self->ring;

	for (int i = 0; i < 3; i++) {
		struct io_uring_sqe *sqe;

		sqe = prep_rw(ring, IORING_OP_READ, self->fds[0], self->back, 64, 0, 2 * i);
		sqe->flags = IOSQE_IO_LINK | (i & 1 ? IOSQE_ASYNC : 0);
		sqe = prep_rw(ring, IORING_OP_WRITE, self->file, self->back, 64, 64 * i, 2 * i + 1);
		sqe->flags = i < 2 ? IOSQE_IO_LINK : 0;
	}
	ASSERT_EQ(6, uring_submit(ring));
	for (int i = 0; i < 3; i++) {
		ASSERT_EQ(64, write(self->fds[1], self->data + 64 * i, 64));
		ASSERT_EQ(0, enter_timeout(ring, 2 * i + 2, HANG_MS));
	}
	EXPECT_EQ(6, uring_reap(ring));
	ASSERT_EQ(192, pread(self->file, self->back, 8192, 0));
	EXPECT_EQ(0, memcmp(self->data, self->back, 192));
}

TEST_F(rw, fixed_buffers_are_read_and_written)
{
	struct uring *ring = &self->ring;
	struct iovec iov = { self->data, sizeof(self->data) };
	char save[8192];

	memcpy(save, self->data, sizeof(save));
	prep_rw(ring, IORING_OP_WRITE_FIXED, self->file, self->data, 100, 0, 1);
	EXPECT_EQ(-EFAULT, result(ring));
	ASSERT_EQ(0, uring_register(ring, IORING_REGISTER_BUFFERS, &iov, 1));
	prep_rw(ring, IORING_OP_WRITE_FIXED, self->file, self->data, 8192, 0, 1);
	EXPECT_EQ(8192, result(ring));
	memset(self->data, 0, 8192);
	prep_rw(ring, IORING_OP_READ_FIXED, self->file, self->data + 100, 8000, 100, 1);
	EXPECT_EQ(8000, result(ring));
	EXPECT_EQ(0, memcmp(save + 100, self->data + 100, 8000));
	EXPECT_EQ(0, self->data[99] | self->data[8100]);
	prep_rw(ring, IORING_OP_READ_FIXED, self->file, self->data + 8000, 200, 0, 1);
	EXPECT_EQ(-EFAULT, result(ring));
	prep_rw(ring, IORING_OP_READ_FIXED, self->file, self->data, 200, 0, 1)->buf_index = 1;
	EXPECT_EQ(-EFAULT, result(ring));
	/* A request keeps its buffer after the table is unregistered. */
	prep_rw(ring, IORING_OP_READ_FIXED, self->fds[0], self->data, 8, 0, 1);
	ASSERT_EQ(1, uring_submit(ring));
	ASSERT_EQ(0, uring_register(ring, IORING_UNREGISTER_BUFFERS, NULL, 0));
	ASSERT_EQ(8, write(self->fds[1], "fixedbuf", 8));
	ASSERT_EQ(0, enter_timeout(ring, 1, HANG_MS));
	EXPECT_STREQ("1 8", next_cqe(ring));
	EXPECT_EQ(0, memcmp("fixedbuf", self->data, 8));
}

TEST_F(rw, large_async_transfer_is_complete)
{
	struct uring *ring = &self->ring;
	size_t len = 1 << 20;
	char *buf = mmap(NULL, 2 * len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(MAP_FAILED, buf);
	for (size_t i = 0; i < len; i++)
		buf[i] = i / 4096 + i;
	prep_rw(ring, IORING_OP_WRITE, self->file, buf, len, 0, 1)->flags = IOSQE_ASYNC;
	EXPECT_EQ(len, result(ring));
	prep_rw(ring, IORING_OP_READ, self->file, buf + len, len, 0, 1)->flags = IOSQE_ASYNC;
	EXPECT_EQ(len, result(ring));
	EXPECT_EQ(0, memcmp(buf, buf + len, len));
	munmap(buf, 2 * len);
}

/* A worker uses the submitter's credentials, not its own. */
TEST_F(rw, transfer_uses_the_submitters_credentials)
{
	struct uring *ring = &self->ring;
	pid_t pid = fork();
	int status;

	ASSERT_GE(pid, 0);
	if (!pid) {
		struct io_uring_sqe *sqe;
		int fd = open("/proc/self/oom_score_adj", O_RDWR);

		/* Lowering the value needs a capability at the time of the write. */
		if (fd < 0 || write(fd, "10", 2) != 2 || setuid(1000))
			_exit(1);
		sqe = prep_rw(ring, IORING_OP_WRITE, fd, "-5", 2, 0, 1);
		sqe->flags = IOSQE_ASYNC;
		_exit(result(ring) == -EACCES ? 0 : 2);
	}
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	EXPECT_EQ(0, status);
}

TEST_HARNESS_MAIN
