// SPDX-License-Identifier: GPL-2.0
/*
 * A system call that traps while SIGSYS is blocked or has no handler ends the
 * program. So SIGSYS is removed from every signal mask that is passed to the
 * kernel. The program's own action for SIGSYS is kept here, for a SIGSYS that
 * no trapped call raised.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "preload.h"

#define SIGSYS_BIT (1UL << (SIGSYS - 1))

/* The argument of rt_sigaction(2). */
struct kernel_sigaction {
	uintptr_t handler;
	unsigned long flags;
	uintptr_t restorer;
	unsigned long mask;
};

static struct {
	atomic_flag locked;
	struct sigaction action;
} program = { .locked = ATOMIC_FLAG_INIT };

/*
 * Returns whether @size bytes at @from can be read. rt_sigprocmask(2) reads the
 * signal set before it checks the operation. The operation here is invalid, so
 * the call changes nothing.
 */
bool can_read(const void *from, size_t size)
{
	size_t done;

	for (done = 0; done < size; done += sizeof(unsigned long)) {
		if (kernel4(SYS_rt_sigprocmask, -1, (const char *)from + done, NULL,
			    sizeof(unsigned long)) == -EFAULT)
			return false;
	}
	return true;
}

/* Returns @copy without SIGSYS; @mask itself if it is NULL or the kernel will refuse it. */
const void *without_sigsys(const void *mask, size_t size, unsigned long *copy)
{
	if (!mask || size != sizeof(*copy) || !can_read(mask, size))
		return mask;
	memcpy(copy, mask, sizeof(*copy));
	*copy &= ~SIGSYS_BIT;
	return copy;
}

static const sigset_t *set_without_sigsys(const sigset_t *set, sigset_t *copy)
{
	if (!set)
		return NULL;
	*copy = *set;
	sigdelset(copy, SIGSYS);
	return copy;
}

/* Reads and changes the program's action, under a lock that no handler can interrupt. */
static void program_action(const struct sigaction *act, struct sigaction *old)
{
	struct sigaction before;
	unsigned long all = ~SIGSYS_BIT, mask;

	kernel4(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask, sizeof(mask));
	while (atomic_flag_test_and_set_explicit(&program.locked, memory_order_acquire))
		;
	before = program.action;
	if (act)
		program.action = *act;
	atomic_flag_clear_explicit(&program.locked, memory_order_release);
	kernel4(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
	if (old)
		*old = before;
}

void take_sigsys(void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction act = {
		.sa_sigaction = handler,
		/* A handler of the program may use a ring while this handler waits. */
		.sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART,
	};
	struct sigaction old;

	if (LIBC(sigaction)(SIGSYS, &act, &old))
		die("cannot handle SIGSYS (%s)", strerrorname_np(errno));
	program_action(&old, NULL);
}

/* Runs the program's action, for a SIGSYS that no trapped system call raised. */
void program_sigsys(siginfo_t *info, void *context)
{
	struct sigaction act, reset = { .sa_handler = SIG_DFL };

	program_action(NULL, &act);
	if (act.sa_handler == SIG_IGN)
		return;
	if (act.sa_handler == SIG_DFL) {
		LIBC(sigaction)(SIGSYS, &reset, NULL);
		kernel3(SYS_tgkill, getpid(), kernel1(SYS_gettid, 0), SIGSYS);
		return;
	}
	if (act.sa_flags & SA_RESETHAND)
		program_action(&reset, NULL);
	pthread_sigmask(SIG_BLOCK, &act.sa_mask, NULL);
	if (act.sa_flags & SA_SIGINFO)
		act.sa_sigaction(SIGSYS, info, context);
	else
		act.sa_handler(SIGSYS);
}

/* System calls that trapped. */

static long raw_sigaction(long sig, const struct kernel_sigaction *act,
			  struct kernel_sigaction *old, size_t size)
{
	struct kernel_sigaction copy;
	struct sigaction action = {}, before;

	if (act && size == sizeof(unsigned long) && can_read(act, sizeof(*act))) {
		copy = *act;
		copy.mask &= ~SIGSYS_BIT;
		act = &copy;
	}
	if (sig != SIGSYS || (act && act != &copy) || size != sizeof(unsigned long))
		return kernel4(SYS_rt_sigaction, sig, act, old, size);
	if (act) {
		action.sa_sigaction = (void (*)(int, siginfo_t *, void *))act->handler;
		action.sa_flags = act->flags;
		memcpy(&action.sa_mask, &act->mask, sizeof(act->mask));
	}
	program_action(act ? &action : NULL, &before);
	if (old && can_read(old, sizeof(*old))) {
		old->handler = (uintptr_t)before.sa_sigaction;
		old->flags = before.sa_flags;
		memcpy(&old->mask, &before.sa_mask, sizeof(old->mask));
	}
	return 0;
}

bool is_signal_call(long nr)
{
	switch (nr) {
	case SYS_rt_sigaction:
	case SYS_rt_sigprocmask:
	case SYS_rt_sigsuspend:
	case SYS_ppoll:
	case SYS_pselect6:
	case SYS_epoll_pwait:
	case SYS_epoll_pwait2:
		return true;
	default:
		return false;
	}
}

long signal_call(long nr, long a, long b, long c, long d, long e, long f)
{
	/* The last argument of pselect6(2) points to a mask and its size. */
	struct {
		const void *mask;
		size_t size;
	} pair;
	unsigned long mask;

	switch (nr) {
	case SYS_rt_sigaction:
		return raw_sigaction(a, (void *)b, (void *)c, d);
	case SYS_rt_sigprocmask:
		b = (long)without_sigsys((void *)b, d, &mask);
		break;
	case SYS_rt_sigsuspend:
		a = (long)without_sigsys((void *)a, b, &mask);
		break;
	case SYS_ppoll:
		d = (long)without_sigsys((void *)d, e, &mask);
		break;
	case SYS_pselect6:
		if (f && can_read((void *)f, sizeof(pair))) {
			memcpy(&pair, (void *)f, sizeof(pair));
			pair.mask = without_sigsys(pair.mask, pair.size, &mask);
			f = (long)&pair;
		}
		break;
	default:
		e = (long)without_sigsys((void *)e, f, &mask);
		break;
	}
	return kernel_call(nr, a, b, c, d, e, f);
}

/* libc's functions. */

INTERPOSED int sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
	struct sigaction copy;

	if (act) {
		copy = *act;
		sigdelset(&copy.sa_mask, SIGSYS);
		act = &copy;
	}
	if (sig != SIGSYS)
		return LIBC(sigaction)(sig, act, old);
	program_action(act, old);
	return 0;
}

INTERPOSED sighandler_t signal(int sig, sighandler_t handler)
{
	struct sigaction act = { .sa_handler = handler, .sa_flags = SA_RESTART }, old;

	if (sig != SIGSYS)
		return LIBC(signal)(sig, handler);
	program_action(&act, &old);
	return old.sa_handler;
}

INTERPOSED int sigprocmask(int how, const sigset_t *set, sigset_t *old)
{
	sigset_t copy;

	return LIBC(sigprocmask)(how, set_without_sigsys(set, &copy), old);
}

INTERPOSED int pthread_sigmask(int how, const sigset_t *set, sigset_t *old)
{
	sigset_t copy;

	return LIBC(pthread_sigmask)(how, set_without_sigsys(set, &copy), old);
}

INTERPOSED int sigsuspend(const sigset_t *set)
{
	sigset_t copy;

	return LIBC(sigsuspend)(set_without_sigsys(set, &copy));
}

INTERPOSED int ppoll(struct pollfd *fds, nfds_t nr, const struct timespec *timeout,
		     const sigset_t *set)
{
	sigset_t copy;

	return LIBC(ppoll)(fds, nr, timeout, set_without_sigsys(set, &copy));
}

int __ppoll_chk(struct pollfd *fds, nfds_t nr, const struct timespec *timeout,
		const sigset_t *set, size_t size);

/* ppoll() for programs built with _FORTIFY_SOURCE. */
INTERPOSED int __ppoll_chk(struct pollfd *fds, nfds_t nr, const struct timespec *timeout,
			   const sigset_t *set, size_t size)
{
	sigset_t copy;

	return LIBC(__ppoll_chk)(fds, nr, timeout, set_without_sigsys(set, &copy), size);
}

INTERPOSED int pselect(int nr, fd_set *in, fd_set *out, fd_set *except,
		       const struct timespec *timeout, const sigset_t *set)
{
	sigset_t copy;

	return LIBC(pselect)(nr, in, out, except, timeout, set_without_sigsys(set, &copy));
}

INTERPOSED int epoll_pwait(int fd, struct epoll_event *events, int nr, int timeout,
			   const sigset_t *set)
{
	sigset_t copy;

	return LIBC(epoll_pwait)(fd, events, nr, timeout, set_without_sigsys(set, &copy));
}

INTERPOSED int epoll_pwait2(int fd, struct epoll_event *events, int nr,
			    const struct timespec *timeout, const sigset_t *set)
{
	sigset_t copy;

	return LIBC(epoll_pwait2)(fd, events, nr, timeout, set_without_sigsys(set, &copy));
}
