// SPDX-License-Identifier: GPL-2.0
/*
 * Arms new threads and processes, which start without Syscall User Dispatch. A
 * child that libc makes first runs a function of this file. A child of the
 * program's own system call is armed before it returns from the call. exec(2)
 * needs nothing: LD_PRELOAD is in the environment. The child of libc's vfork()
 * is not armed: it may only exec or exit.
 */
#include <errno.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <threads.h>
#include <ucontext.h>
#include <unistd.h>
#include "preload.h"

void watch_forks(void)
{
	if (pthread_atfork(NULL, NULL, arm))
		die("no memory");
}

/* _Fork() is fork() without the handlers that arm a child of fork(). */
asm(".globl _Fork\n"
	".type _Fork, @function\n"
	".set _Fork, fork_only\n");

int fork_only(void)
{
	static pid_t (*libc_fork_only)(void);
	pid_t child;

	if (!libc_fork_only)
		libc_fork_only = (__typeof__(libc_fork_only))libc_function("_Fork");
	child = libc_fork_only();

	if (!child)
		arm();
	return child;
}

/* The function of a new thread, and its argument. */
struct thread {
	union {
		void *(*posix)(void *arg);
		thrd_start_t c11;
		int (*clone)(void *arg);
	} run;
	void *arg;
};

/* Arms the new thread and frees @data, which the parent allocated. */
static struct thread begin(void *data)
{
	struct thread thread = *(struct thread *)data;

	free(data);
	arm();
	return thread;
}

static void *posix_thread(void *data)
{
	struct thread thread = begin(data);

	return thread.run.posix(thread.arg);
}

static int c11_thread(void *data)
{
	struct thread thread = begin(data);

	return thread.run.c11(thread.arg);
}

INTERPOSED int pthread_create(pthread_t *id, const pthread_attr_t *attr,
			      void *(*run)(void *), void *arg)
{
	struct thread *thread = malloc(sizeof(*thread));
	int err = EAGAIN;

	if (thread) {
		thread->run.posix = run;
		thread->arg = arg;
		err = LIBC(pthread_create)(id, attr, posix_thread, thread);
	}
	if (err)
		free(thread);
	return err;
}

INTERPOSED int thrd_create(thrd_t *id, thrd_start_t run, void *arg)
{
	struct thread *thread = malloc(sizeof(*thread));
	int err;

	if (!thread)
		return thrd_nomem;
	thread->run.c11 = run;
	thread->arg = arg;
	err = LIBC(thrd_create)(id, c11_thread, thread);
	if (err != thrd_success)
		free(thread);
	return err;
}

static int cloned(void *data)
{
	struct thread *thread = data;

	arm();
	return thread->run.clone(thread->arg);
}

/* The child may not share memory, or may outlive the parent: its stack has its function. */
INTERPOSED int clone(int (*run)(void *), void *stack, int flags, void *arg, ...)
{
	struct thread *thread;
	pid_t *parent_tid, *child_tid;
	va_list list;
	void *tls;

	va_start(list, arg);
	parent_tid = va_arg(list, pid_t *);
	tls = va_arg(list, void *);
	child_tid = va_arg(list, pid_t *);
	va_end(list);
	if (!run || !stack)
		return LIBC(clone)(run, stack, flags, arg, parent_tid, tls, child_tid);
	thread = (struct thread *)((uintptr_t)stack & ~15UL) - 1;
	thread->run.clone = run;
	thread->arg = arg;
	return LIBC(clone)(cloned, thread, flags, thread, parent_tid, tls, child_tid);
}

/*
 * System calls that trapped. A child with a separate stack cannot return from
 * the handler, whose frame is on the stack of the parent. So the child starts
 * with this frame on top of its stack: libc's syscall() returns to
 * child_entry(), which continues after the program's system call.
 */
struct child_frame {
	void (*entry)(void);
	long long regs[14];	/* as child_entry() pops them */
	long long flags;
	long long ip;
};

asm(".text\n"
	".globl child_entry\n"
	".hidden child_entry\n"
	".type child_entry, @function\n"
	"child_entry:\n"
	"	mov	%rsp, %rbx\n"
	"	and	$-16, %rsp\n"
	"	call	arm\n"
	"	mov	%rbx, %rsp\n"
	"	pop	%r15\n"
	"	pop	%r14\n"
	"	pop	%r13\n"
	"	pop	%r12\n"
	"	pop	%r11\n"
	"	pop	%r10\n"
	"	pop	%r9\n"
	"	pop	%r8\n"
	"	pop	%rdi\n"
	"	pop	%rsi\n"
	"	pop	%rbp\n"
	"	pop	%rbx\n"
	"	pop	%rdx\n"
	"	pop	%rcx\n"
	"	xor	%eax, %eax\n"
	"	popfq\n"
	"	ret\n"
	".size child_entry, . - child_entry\n");

static uintptr_t push_frame(uintptr_t stack, const long long *regs)
{
	static const int order[] = {
		REG_R15, REG_R14, REG_R13, REG_R12, REG_R11, REG_R10, REG_R9, REG_R8,
		REG_RDI, REG_RSI, REG_RBP, REG_RBX, REG_RDX, REG_RCX,
	};
	struct child_frame *frame = (struct child_frame *)stack - 1;
	unsigned int i;

	frame->entry = child_entry;
	for (i = 0; i < sizeof(order) / sizeof(*order); i++)
		frame->regs[i] = regs[order[i]];
	frame->flags = regs[REG_EFL];
	frame->ip = regs[REG_RIP];
	return (uintptr_t)frame;
}

/*
 * Returns the stack on which the child starts, 0 for the stack of the parent.
 * In that case the child must have a copy of the memory, because the handler
 * returns twice. POSIX allows a vfork() that copies.
 */
static uintptr_t child_stack(unsigned long *flags, uintptr_t stack, const long long *regs)
{
	if (*flags & CLONE_CLEAR_SIGHAND)
		return stack;
	if (!stack)
		*flags &= ~(unsigned long)CLONE_VM;
	else if (regs)
		return push_frame(stack, regs);
	return stack;
}

static long arm_child(long ret, unsigned long flags, uintptr_t stack)
{
	if (!ret && !stack && !(flags & CLONE_CLEAR_SIGHAND))
		arm();
	return ret;
}

static long clone3_call(const void *user_args, size_t size, const long long *regs)
{
	/* Room for fields that later kernels add. The kernel refuses a larger size. */
	union {
		struct clone_args args;
		char bytes[256];
	} copy;
	unsigned long flags;
	uintptr_t stack;

	if (size < CLONE_ARGS_SIZE_VER0 || size % 8 || size > sizeof(copy) ||
	    !can_read(user_args, size))
		return kernel2(SYS_clone3, user_args, size);
	memcpy(&copy, user_args, size);
	flags = copy.args.flags;
	stack = copy.args.stack ? copy.args.stack + copy.args.stack_size : 0;
	stack = child_stack(&flags, stack, regs);
	copy.args.flags = flags;
	if (stack)
		copy.args.stack_size = stack - copy.args.stack;
	return arm_child(kernel2(SYS_clone3, &copy, size), flags, stack);
}

bool is_clone_call(long nr)
{
	return nr == SYS_clone || nr == SYS_clone3 || nr == SYS_fork || nr == SYS_vfork;
}

/* Carries out a clone call. @regs: the registers of the system call, if it trapped. */
long clone_call(long nr, long a, long b, long c, long d, long e, const long long *regs)
{
	unsigned long flags;
	uintptr_t stack;

	switch (nr) {
	case SYS_clone3:
		return clone3_call((void *)a, b, regs);
	case SYS_clone:
		flags = a;
		stack = b;
		break;
	case SYS_vfork:
		flags = CLONE_VFORK | SIGCHLD;
		stack = 0;
		break;
	default:
		flags = SIGCHLD;
		stack = 0;
	}
	stack = child_stack(&flags, stack, regs);
	return arm_child(kernel_call(SYS_clone, flags, stack, c, d, e, 0), flags, stack);
}
