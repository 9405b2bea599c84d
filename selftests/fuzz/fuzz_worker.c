// SPDX-License-Identifier: GPL-2.0
/*
 * The objects of a thread: its own files, and the files that all threads share. Also shared parts
 * of the operations: numbers and addresses, made of a gene, and results, which are compared with
 * the interface.
 */
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include "fuzz_ops.h"

__thread struct worker *self;

/* Counts a call, and publishes that it begins. */
void begin(struct worker *w)
{
	w->calls++;
	__atomic_fetch_add(&w->beat, 1, __ATOMIC_RELAXED);
}

/* Returns a number that is often small, or near a limit. */
unsigned int number(unsigned int gene)
{
	unsigned int rest = gene >> 4;

	switch (gene & 15) {
	case 0 ... 9:
		return rest % 17;
	case 10:
		return 1U << rest % 32;
	case 11:
		return (1U << rest % 32) - 1;
	case 12:
		return -(rest % 17);
	case 13:
		return 0x80000000 - rest % 3;
	case 14:
		return rest % 300;
	default:
		return rest * 0x9e3779b1;
	}
}

/* Returns a number of entries. Few are large, because of their cost. */
unsigned int entries(unsigned int gene)
{
	if (gene % 1024)
		return gene / 1024 % 65;
	return number(gene / 1024);
}

/* Returns an address with @size bytes of @obj, or a bad address. */
unsigned long place(struct worker *w, unsigned int gene, const void *obj, size_t size)
{
	char *none = w->arena + 2 * PAGE, *place;

	switch (gene % 64) {
	case 0:
		return 0;
	case 1:
		return (unsigned long)none;
	case 2:
		return (unsigned long)none - size / 2;
	case 3:
		return 0x800000000000;
	case 4:
		return 0xffff888000000000;
	case 5:
		return -8UL;
	case 6:
		return (unsigned long)w->arena;
	case 7:
		return (unsigned long)w->slots[gene / 64 % LOCAL_SLOTS].window[gene % REGIONS];
	case 8:
		place = none - size;
		break;
	default:
		place = w->arena + PAGE;
	}
	memcpy(place, obj, size);
	return (unsigned long)place;
}

struct slot *slot_of(struct worker *w, const struct op *op)
{
	unsigned int slot = op->slot % (LOCAL_SLOTS + SHARED_SLOTS);

	return slot < LOCAL_SLOTS ? &w->slots[slot] : &w->shared[slot - LOCAL_SLOTS];
}

int slot_fd(const struct slot *s)
{
	return __atomic_load_n(&s->fd, __ATOMIC_RELAXED);
}

void slot_set(struct worker *w, struct slot *s, int fd)
{
	fd = __atomic_exchange_n(&s->fd, fd, __ATOMIC_RELAXED);
	s->submitted = 0;
	if (fd >= 0)
		CALL(w, close(fd));
}

/* Reports an error that is not in @allowed. */
void expect(struct worker *w, const char *what, int ret, const int *allowed)
{
	if (ret >= 0)
		return;
	/* Another thread may have closed or replaced the file. */
	if (ret == -EBADF || ret == -ENOTTY)
		return;
	if (w->program->ops[w->pc].fail && (ret == -ENOMEM || ret == -EFAULT))
		return;
	for (; *allowed; allowed++)
		if (ret == -*allowed)
			return;
	if (w->unexpected++ < 10) {
		printf("# %s: unexpected %s (%d)\n", what, strerror(-ret), ret);
		op_print(&w->program->ops[w->pc]);
	}
}

int result(long ret)
{
	return ret < 0 ? -errno : ret;
}

/* Makes the @nth allocation or user copy of this thread fail; 0 for none. */
void arm(struct worker *w, unsigned int nth)
{
	char text[12];

	if (w->fail_nth < 0)
		return;
	snprintf(text, sizeof(text), "%u", nth);
	/* Set throughout, because the delivery of a signal may be the fault. */
	w->armed = true;
	w->faulty = true;
	CALL(w, pwrite(w->fail_nth, text, strlen(text), 0));
	w->armed = nth;
	w->faulty = nth;
}

bool slots_init(struct slot *slots, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		slots[i].fd = -1;
		for (int region = 0; region < REGIONS; region++) {
			slots[i].window[region] = mmap(NULL, WINDOW, PROT_NONE, MAP_PRIVATE |
						       MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
			if (slots[i].window[region] == MAP_FAILED)
				return false;
		}
	}
	return true;
}

void slots_exit(struct slot *slots, unsigned int nr)
{
	for (unsigned int i = 0; i < nr; i++) {
		if (slots[i].fd >= 0)
			close(slots[i].fd);
		for (int region = 0; region < REGIONS; region++)
			munmap(slots[i].window[region], WINDOW);
	}
}

bool worker_init(struct worker *w, struct slot *shared)
{
	w->shared = shared;
	w->fail_nth = -1;
	w->arena = mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (w->arena == MAP_FAILED || mprotect(w->arena, PAGE, PROT_READ) ||
	    mprotect(w->arena + 2 * PAGE, PAGE, PROT_NONE))
		return false;
	for (int i = 0; i < EVENTFDS; i++)
		w->eventfds[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	w->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (w->epoll < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, w->sockets))
		return false;
	w->file = memfd_create("fuzz", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (w->file < 0 || ftruncate(w->file, 2 * PAGE) || fcntl(w->file, F_ADD_SEALS, F_SEAL_GROW))
		return false;
	/* Behind each is an inaccessible page. */
	w->data = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (w->data == MAP_FAILED || mprotect(w->data, PAGE, PROT_READ | PROT_WRITE) ||
	    mprotect(w->data + 2 * PAGE, PAGE, PROT_READ | PROT_WRITE))
		return false;
	w->vectors = (struct iovec *)(w->data + 2 * PAGE);
	for (int i = 0; i < VECTORS; i++)
		w->vectors[i] = (struct iovec){
			.iov_base = w->data + i * 1000,
			.iov_len = i ? PAGE / VECTORS / i : 0,
		};
	return slots_init(w->slots, LOCAL_SLOTS);
}

void worker_exit(struct worker *w)
{
	slots_exit(w->slots, LOCAL_SLOTS);
	for (int i = 0; i < EVENTFDS; i++)
		close(w->eventfds[i]);
	close(w->epoll);
	close(w->sockets[0]);
	close(w->sockets[1]);
	close(w->file);
	munmap(w->arena, 3 * PAGE);
	munmap(w->data, 4 * PAGE);
}
