// SPDX-License-Identifier: GPL-2.0
/*
 * Carries out the three io_uring system calls by the three ioctls.
 *
 * A table of ring descriptors would miss descriptors that came by fork(), dup()
 * or a socket. So the ioctl is tried on any descriptor. If the ioctl fails with
 * ENOTTY, the descriptor is not a ring of miniring, and the kernel gets the
 * original system call.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <linux/miniring.h>
#include <string.h>
#include <sys/syscall.h>
#include "preload.h"

#define DEVICE "/dev/miniring"

long ring_setup(unsigned int entries, void *params)
{
	struct miniring_setup setup = {
		.entries = entries,
		.params = (uintptr_t)params,
	};
	long fd, ret;

	fd = kernel4(SYS_openat, AT_FDCWD, DEVICE, O_RDWR | O_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	ret = kernel3(SYS_ioctl, fd, MINIRING_IOC_SETUP, &setup);
	if (!ret)
		return fd;
	kernel1(SYS_close, fd);
	return ret;
}

/*
 * The handler of a signal that ends the wait runs with the signal mask of the
 * wait, and may use a ring. So SIGSYS is removed from the mask. If the mask
 * cannot be read, the driver refuses it.
 */
long ring_enter(unsigned int fd, unsigned int to_submit, unsigned int min_complete,
		unsigned int flags, const void *arg, size_t argsz)
{
	struct io_uring_getevents_arg ext;
	struct miniring_enter enter = {
		.to_submit = to_submit,
		.min_complete = min_complete,
		.flags = flags,
		.arg = (uintptr_t)arg,
		.argsz = argsz,
	};
	unsigned long mask;
	long ret = -ENOTTY;

	if (!(flags & IORING_ENTER_EXT_ARG)) {
		enter.arg = (uintptr_t)without_sigsys(arg, argsz, &mask);
	} else if (argsz == sizeof(ext) && can_read(arg, sizeof(ext))) {
		memcpy(&ext, arg, sizeof(ext));
		ext.sigmask = (uintptr_t)without_sigsys((void *)(uintptr_t)ext.sigmask,
							ext.sigmask_sz, &mask);
		enter.arg = (uintptr_t)&ext;
	}
	/* A registered ring is named by an index, not by a descriptor. */
	if (!(flags & IORING_ENTER_REGISTERED_RING))
		ret = kernel3(SYS_ioctl, fd, MINIRING_IOC_ENTER, &enter);
	if (ret != -ENOTTY)
		return ret;
	return kernel_call(SYS_io_uring_enter, fd, to_submit, min_complete, flags,
			   (long)arg, argsz);
}

long ring_register(unsigned int fd, unsigned int opcode, void *arg, unsigned int nr_args)
{
	struct miniring_register reg = {
		.opcode = opcode,
		.nr_args = nr_args,
		.arg = (uintptr_t)arg,
	};
	long ret = -ENOTTY;

	/* Without a ring no driver can answer; the kernel would answer for io_uring. */
	if (fd == -1U)
		return -EINVAL;
	if (!(opcode & IORING_REGISTER_USE_REGISTERED_RING))
		ret = kernel3(SYS_ioctl, fd, MINIRING_IOC_REGISTER, &reg);
	if (ret != -ENOTTY)
		return ret;
	return kernel4(SYS_io_uring_register, fd, opcode, arg, nr_args);
}
