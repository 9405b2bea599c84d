/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * The user interface of /dev/miniring. Three ioctls are the three io_uring
 * system calls; two more pass the argument of ENTER and of REGISTER by value.
 * Flags, opcodes, offsets, structures and error codes are those of
 * <linux/io_uring.h>, unchanged.
 */
#ifndef _UAPI_LINUX_MINIRING_H
#define _UAPI_LINUX_MINIRING_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define MINIRING_IOC_MAGIC	0xf0

/*
 * Selects how a change of the eventfd registration excludes signals of
 * completions. See Documentation/review/eventfd-rcu.rst.
 */
enum {
	MINIRING_NOTIFY_RCU		= 0,
	MINIRING_NOTIFY_SPINLOCK	= 1,
	MINIRING_NOTIFY_QUIESCE		= 2,
};

/**
 * struct miniring_setup - io_uring_setup(2)
 * @entries:	number of submission queue entries asked for
 * @notify_model: one of MINIRING_NOTIFY_*
 * @params:	address of a struct io_uring_params, read and written
 */
struct miniring_setup {
	__u32	entries;
	__u32	notify_model;
	__u64	params;
};

/**
 * struct miniring_enter - io_uring_enter(2)
 * @to_submit:	number of submission queue entries to consume
 * @min_complete: number of completions to wait for with IORING_ENTER_GETEVENTS
 * @flags:	IORING_ENTER_*
 * @resv:	must be zero
 * @arg:	address of a signal mask, or of a struct io_uring_getevents_arg
 * @argsz:	size of the structure at @arg, in bytes
 */
struct miniring_enter {
	__u32	to_submit;
	__u32	min_complete;
	__u32	flags;
	__u32	resv;
	__u64	arg;
	__u64	argsz;
};

/**
 * struct miniring_register - io_uring_register(2)
 * @opcode:	IORING_REGISTER_* or IORING_UNREGISTER_*
 * @nr_args:	number of elements @arg points to
 * @arg:	address of the opcode's argument
 */
struct miniring_register {
	__u32	opcode;
	__u32	nr_args;
	__u64	arg;
};

/* Makes the file a ring. Returns 0. */
#define MINIRING_IOC_SETUP	_IOW(MINIRING_IOC_MAGIC, 0x00, struct miniring_setup)
/* Submits and waits. Returns the number of submission queue entries consumed. */
#define MINIRING_IOC_ENTER	_IOW(MINIRING_IOC_MAGIC, 0x01, struct miniring_enter)
/* Carries out a register operation. Returns the result of the operation. */
#define MINIRING_IOC_REGISTER	_IOW(MINIRING_IOC_MAGIC, 0x02, struct miniring_register)
/*
 * ENTER by value: ioctl(fd, MINIRING_IOC_SUBMIT,
 * MINIRING_SUBMIT(to_submit, min_complete)). Returns what ENTER returns. Waits
 * if min_complete is not 0. A 32-bit program passes to_submit only.
 */
#define MINIRING_IOC_SUBMIT	_IO(MINIRING_IOC_MAGIC, 0x03)
#define MINIRING_SUBMIT(to_submit, min_complete) \
	((__u64)(to_submit) | (__u64)(min_complete) << 32)
/*
 * REGISTER of an eventfd by value: ioctl(fd, MINIRING_IOC_EVENTFD,
 * MINIRING_REGISTER(opcode, value)). The opcode is IORING_REGISTER_EVENTFD or
 * _EVENTFD_ASYNC and the value a file descriptor, or IORING_UNREGISTER_EVENTFD
 * and the value 0. Returns what REGISTER returns, and -EINVAL for other
 * opcodes. For 64-bit programs.
 */
#define MINIRING_IOC_EVENTFD	_IO(MINIRING_IOC_MAGIC, 0x04)
#define MINIRING_REGISTER(opcode, value) \
	((__u64)(__u32)(value) | (__u64)(opcode) << 32)

#endif /* _UAPI_LINUX_MINIRING_H */
