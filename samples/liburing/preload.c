// SPDX-License-Identifier: GPL-2.0
/*
 * miniring-preload.so: runs unmodified dynamic liburing programs on
 * /dev/miniring.
 *
 *	LD_PRELOAD=/miniring/miniring-preload.so program
 *
 * liburing has its system call instructions inline, so no symbol can be
 * interposed. Syscall User Dispatch makes every system call from outside libc's
 * text raise SIGSYS instead. The handler carries out the three calls of
 * io_uring by ioctls, and all others unchanged. The handler needs no selector:
 * it calls the kernel through libc's syscall(), which is inside that text.
 * libc's own calls and the return from signal handlers are also inside.
 */
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <linux/audit.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include "preload.h"

#ifndef PR_SYS_DISPATCH_ON
#define PR_SYS_DISPATCH_ON 1
#endif
#ifndef SYS_USER_DISPATCH
#define SYS_USER_DISPATCH 2	/* si_code */
#endif

/* libc's text: system calls from here do not trap. */
static struct {
	uintptr_t start;
	size_t size;
} libc_text;

void die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("miniring-preload: ", stderr);
	vfprintf(stderr, format, args);
	fputs("\n", stderr);
	va_end(args);
	_exit(127);
}

void *libc_function(const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);

	if (!found)
		die("libc has no %s()", name);
	return found;
}

long kernel_call(long nr, long a, long b, long c, long d, long e, long f)
{
	int before = errno;
	long ret = LIBC(syscall)(nr, a, b, c, d, e, f);

	if (ret == -1) {
		ret = -errno;
		errno = before;
	}
	return ret;
}

long carry_out(long nr, long a, long b, long c, long d, long e, long f)
{
	switch (nr) {
	case SYS_io_uring_setup:
		return ring_setup(a, (void *)b);
	case SYS_io_uring_enter:
		return ring_enter(a, b, c, d, (void *)e, f);
	case SYS_io_uring_register:
		return ring_register(a, b, (void *)c, d);
	default:
		if (is_signal_call(nr))
			return signal_call(nr, a, b, c, d, e, f);
		if (is_clone_call(nr))
			return clone_call(nr, a, b, c, d, e, NULL);
		return kernel_call(nr, a, b, c, d, e, f);
	}
}

/* A program that calls io_uring through libc's syscall() does not trap. */
INTERPOSED long syscall(long nr, ...)
{
	long args[6], ret;
	va_list list;
	int i;

	va_start(list, nr);
	for (i = 0; i < 6; i++)
		args[i] = va_arg(list, long);
	va_end(list);
	ret = carry_out(nr, args[0], args[1], args[2], args[3], args[4], args[5]);
	if (ret < 0 && ret >= -4095) {
		errno = -ret;
		return -1;
	}
	return ret;
}

/*
 * The handler runs with the signal mask of the interrupted code. The return
 * from the handler restores state from the signal frame. If a system call
 * changes that state, the handler must change the frame.
 */
static void trapped(siginfo_t *info, ucontext_t *context, void *restorer)
{
	greg_t *regs = context->uc_mcontext.gregs;
	long nr = info->si_syscall;

	if (info->si_arch != AUDIT_ARCH_X86_64) {
		/*
		 * The handler cannot enter 32-bit mode: fail as a kernel
		 * without that mode.
		 */
		regs[REG_RAX] = kernel1(-1, 0);
		return;
	}
	if (nr == SYS_rt_sigreturn) {
		/* The program's own restorer traps: return through libc's restorer. */
		regs[REG_RIP] = (uintptr_t)restorer;
		return;
	}
	if (is_clone_call(nr))
		regs[REG_RAX] = clone_call(nr, regs[REG_RDI], regs[REG_RSI], regs[REG_RDX],
					   regs[REG_R10], regs[REG_R8], regs);
	else
		regs[REG_RAX] = carry_out(nr, regs[REG_RDI], regs[REG_RSI], regs[REG_RDX],
					  regs[REG_R10], regs[REG_R8], regs[REG_R9]);
	if (nr == SYS_rt_sigprocmask)
		kernel4(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &context->uc_sigmask,
			sizeof(unsigned long));
	else if (nr == SYS_sigaltstack)
		kernel2(SYS_sigaltstack, NULL, &context->uc_stack);
}

static void on_sigsys(int sig, siginfo_t *info, void *context)
{
	(void)sig;
	if (info->si_code == SYS_USER_DISPATCH)
		trapped(info, context, __builtin_return_address(0));
	else
		program_sigsys(info, context);
}

/* Enables Syscall User Dispatch for this thread; new threads do not inherit it. */
void arm(void)
{
	static const unsigned long sigsys = 1UL << (SIGSYS - 1);
	long ret;

	kernel4(SYS_rt_sigprocmask, SIG_UNBLOCK, &sigsys, NULL, sizeof(sigsys));
	ret = kernel_call(SYS_prctl, PR_SET_SYSCALL_USER_DISPATCH, PR_SYS_DISPATCH_ON,
			  libc_text.start, libc_text.size, 0, 0);
	if (ret)
		die("no Syscall User Dispatch in this kernel (%s)", strerrorname_np(-ret));
}

/* Finds the executable segment with libc's syscall(). */
static int find_text(struct dl_phdr_info *object, size_t size, void *data)
{
	uintptr_t wanted = *(uintptr_t *)data;
	int i;

	(void)size;
	for (i = 0; i < object->dlpi_phnum; i++) {
		__auto_type segment = &object->dlpi_phdr[i];
		uintptr_t start = object->dlpi_addr + segment->p_vaddr;

		if (segment->p_type != PT_LOAD || wanted - start >= segment->p_memsz)
			continue;
		libc_text.start = start;
		libc_text.size = segment->p_memsz;
		return 1;
	}
	return 0;
}

__attribute__((constructor)) static void start(void)
{
	uintptr_t inside = (uintptr_t)LIBC(syscall);

	if (!dl_iterate_phdr(find_text, &inside))
		die("cannot tell where libc is");
	take_sigsys(on_sigsys);
	watch_forks();
	arm();
}
