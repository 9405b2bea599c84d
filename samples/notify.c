// SPDX-License-Identifier: GPL-2.0
/*
 * Uses a ring of /dev/miniring from setup to end, and prints each step. Submits
 * and reaps NOPs, and waits for an eventfd with epoll. Unregisters and
 * registers that eventfd while another thread posts completions.
 *
 * Needs miniring.ko loaded, and root. Exit status 0 if every step succeeds.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <linux/io_uring.h>
#include <linux/miniring.h>

#define ENTRIES	64
#define CYCLES	2000

static struct ring {
	int fd;
	unsigned int *sq_tail, *sq_mask, *sq_array;
	unsigned int *cq_head, *cq_tail, *cq_mask;
	struct io_uring_sqe *sqes;
	struct io_uring_cqe *cqes;
} ring;

static void fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("notify: ", stderr);
	vfprintf(stderr, format, args);
	fprintf(stderr, " (%s)\n", strerror(errno));
	va_end(args);
	exit(1);
}

/* Makes and maps the ring, as io_uring_setup(2) and three mmap(2) do for io_uring. */
static void setup(void)
{
	struct io_uring_params params = { 0 };
	struct miniring_setup args = {
		.entries = ENTRIES,
		.notify_model = MINIRING_NOTIFY_RCU,
		.params = (unsigned long)&params,
	};
	size_t len;
	char *map;

	ring.fd = open("/dev/miniring", O_RDWR | O_CLOEXEC);
	if (ring.fd < 0)
		fail("/dev/miniring does not open");
	if (ioctl(ring.fd, MINIRING_IOC_SETUP, &args))
		fail("SETUP");

	len = params.sq_off.array + params.sq_entries * sizeof(unsigned int);
	map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
		   ring.fd, IORING_OFF_SQ_RING);
	ring.sqes = mmap(NULL, params.sq_entries * sizeof(*ring.sqes),
			 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
			 ring.fd, IORING_OFF_SQES);
	if (map == MAP_FAILED || (void *)ring.sqes == MAP_FAILED)
		fail("mmap");

	ring.sq_tail = (void *)(map + params.sq_off.tail);
	ring.sq_mask = (void *)(map + params.sq_off.ring_mask);
	ring.sq_array = (void *)(map + params.sq_off.array);
	ring.cq_head = (void *)(map + params.cq_off.head);
	ring.cq_tail = (void *)(map + params.cq_off.tail);
	ring.cq_mask = (void *)(map + params.cq_off.ring_mask);
	ring.cqes = (void *)(map + params.cq_off.cqes);
	printf("  %u submission and %u completion entries\n",
	       params.sq_entries, params.cq_entries);
}

static int enter(unsigned int to_submit, unsigned int min_complete)
{
	struct miniring_enter args = {
		.to_submit = to_submit,
		.min_complete = min_complete,
		.flags = min_complete ? IORING_ENTER_GETEVENTS : 0,
	};

	return ioctl(ring.fd, MINIRING_IOC_ENTER, &args);
}

static int register_eventfd(int fd)
{
	struct miniring_register args = {
		.opcode = fd >= 0 ? IORING_REGISTER_EVENTFD : IORING_UNREGISTER_EVENTFD,
		.arg = fd >= 0 ? (unsigned long)&fd : 0,
		.nr_args = fd >= 0 ? 1 : 0,
	};

	return ioctl(ring.fd, MINIRING_IOC_REGISTER, &args);
}

/* Submits @count NOPs whose user_data counts up from @first, and reaps them. */
static void nops(unsigned int count, unsigned long first)
{
	unsigned int tail = *ring.sq_tail, head = *ring.cq_head, i;

	for (i = 0; i < count; i++, tail++) {
		unsigned int index = tail & *ring.sq_mask;

		memset(&ring.sqes[index], 0, sizeof(ring.sqes[index]));
		ring.sqes[index].opcode = IORING_OP_NOP;
		ring.sqes[index].user_data = first + i;
		ring.sq_array[index] = index;
	}
	/* Release: the kernel sees the entries before it sees the tail. */
	__atomic_store_n(ring.sq_tail, tail, __ATOMIC_RELEASE);
	if (enter(count, count) != (int)count)
		fail("ENTER did not consume %u entries", count);

	for (i = 0; i < count; i++, head++) {
		struct io_uring_cqe *cqe = &ring.cqes[head & *ring.cq_mask];

		if (__atomic_load_n(ring.cq_tail, __ATOMIC_ACQUIRE) == head)
			fail("completion %u of %u is missing", i, count);
		if (cqe->user_data != first + i || cqe->res != 0)
			fail("completion %u is not that of its NOP", i);
	}
	__atomic_store_n(ring.cq_head, head, __ATOMIC_RELEASE);
}

/* Reads the count of the eventfd; returns 0 if epoll reports no event. */
static unsigned long long count_of(int epoll, int fd)
{
	unsigned long long count = 0;
	struct epoll_event event;

	if (epoll_wait(epoll, &event, 1, 0) == 1 &&
	    read(fd, &count, sizeof(count)) != sizeof(count))
		fail("reading the eventfd");
	return count;
}

static bool stop;
static unsigned long posted;

static void *poster(void *unused)
{
	unsigned long first = 0;

	(void)unused;
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		nops(8, first);
		first += 8;
		__atomic_store_n(&posted, first, __ATOMIC_RELAXED);
	}
	return NULL;
}

static unsigned long posted_so_far(void)
{
	return __atomic_load_n(&posted, __ATOMIC_RELAXED);
}

static double now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e6 + now.tv_nsec / 1e3;
}

static void notification(void)
{
	struct epoll_event event = { .events = EPOLLIN };
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	unsigned long before, meanwhile;
	unsigned long long count;
	double start, us;
	pthread_t thread;
	int i;

	if (fd < 0 || epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
		fail("eventfd and epoll");

	puts("An eventfd is registered; epoll waits on it.");
	if (register_eventfd(fd))
		fail("registering the eventfd");
	nops(1, 1);
	nops(4, 2);
	count = count_of(epoll, fd);
	printf("  after two submissions epoll reports it, and it counted %llu\n", count);
	if (count != 2)
		fail("two submissions with completions should count 2");
	if (register_eventfd(fd) == 0 || errno != EBUSY)
		fail("a second registration should be refused with EBUSY");
	puts("  a second registration is refused: EBUSY");

	puts("It is unregistered.");
	if (register_eventfd(-1))
		fail("unregistering the eventfd");
	nops(4, 6);
	count = count_of(epoll, fd);
	printf("  another submission counts %llu\n", count);
	if (count)
		fail("an unregistered eventfd should not count");
	if (register_eventfd(-1) == 0 || errno != ENXIO)
		fail("unregistering nothing should be refused with ENXIO");
	puts("  unregistering it again is refused: ENXIO");

	printf("Now another thread posts completions without pause, while this one registers\n"
	       "and unregisters the eventfd %d times or more.\n", CYCLES);
	if (pthread_create(&thread, NULL, poster, NULL))
		fail("starting a thread");
	/* Wait for the poster: on a busy machine it may not run during the cycles. */
	while (!posted_so_far())
		usleep(1000);
	before = posted_so_far();
	start = now_us();
	for (i = 0; i < CYCLES || posted_so_far() == before; i++)
		if (register_eventfd(fd) || register_eventfd(-1))
			fail("cycle %d", i);
	us = (now_us() - start) / i;
	meanwhile = posted_so_far() - before;
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	count = count_of(epoll, fd);
	printf("  %lu completions were posted meanwhile, none lost; the eventfd counted %llu\n"
	       "  register and unregister: %.1f us, without waiting for the poster\n",
	       meanwhile, count, us);
	if (count > posted / 8)
		fail("more signals than submissions");
	close(epoll);
	close(fd);
}

int main(void)
{
	puts("A ring is set up.");
	setup();
	puts("32 NOPs are submitted in one call, and reaped.");
	nops(32, 100);
	puts("  32 completions, in order");
	notification();
	close(ring.fd);
	return 0;
}
