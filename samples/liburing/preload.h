/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The parts of the preload library; see Documentation/liburing.rst.
 *
 * A function that replaces a system call returns a negative error number, as
 * the kernel does, not -1 and errno.
 */
#ifndef MINIRING_PRELOAD_H
#define MINIRING_PRELOAD_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A function that programs see instead of libc's function of that name. */
#define INTERPOSED __attribute__((visibility("default")))

/* Returns the interposed function of libc. Searches for it once. */
#define LIBC(function)								\
({										\
	static __typeof__(function) *found;					\
										\
	if (!found)								\
		found = (__typeof__(found))libc_function(#function);		\
	found;									\
})

/* preload.c: system calls that trap, and the setup of each thread. */
void *libc_function(const char *name);
long kernel_call(long nr, long a, long b, long c, long d, long e, long f);
long carry_out(long nr, long a, long b, long c, long d, long e, long f);
void arm(void);
void die(const char *format, ...);

#define kernel1(nr, a) kernel_call(nr, (long)(a), 0, 0, 0, 0, 0)
#define kernel2(nr, a, b) kernel_call(nr, (long)(a), (long)(b), 0, 0, 0, 0)
#define kernel3(nr, a, b, c) kernel_call(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define kernel4(nr, a, b, c, d) \
	kernel_call(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

/* ring.c: the io_uring system calls on /dev/miniring. */
long ring_setup(unsigned int entries, void *params);
long ring_enter(unsigned int fd, unsigned int to_submit, unsigned int min_complete,
		unsigned int flags, const void *arg, size_t argsz);
long ring_register(unsigned int fd, unsigned int opcode, void *arg, unsigned int nr_args);

/* signals.c: keeps SIGSYS unblocked. Bit n - 1 of a mask is signal n. */
bool can_read(const void *from, size_t size);
const void *without_sigsys(const void *mask, size_t size, unsigned long *copy);
long signal_call(long nr, long a, long b, long c, long d, long e, long f);
bool is_signal_call(long nr);
void take_sigsys(void (*handler)(int, siginfo_t *, void *));
void program_sigsys(siginfo_t *info, void *context);

/* threads.c: arms new threads and processes. */
bool is_clone_call(long nr);
long clone_call(long nr, long a, long b, long c, long d, long e, const long long *regs);
void watch_forks(void);
void child_entry(void);
int fork_only(void);

#endif /* MINIRING_PRELOAD_H */
