// SPDX-License-Identifier: GPL-2.0
/* Inline functions for reading and writing a file. */

#include <linux/fs.h>
#include <linux/fsnotify.h>
#include <linux/ioprio.h>
#include <linux/uaccess.h>
#include <linux/uio.h>

#include "helpers.h"

int miniring_kiocb_set_rw_flags(struct kiocb *iocb, int flags, int type)
{
	return kiocb_set_rw_flags(iocb, (__force rwf_t)flags, type);
}

void miniring_start_write(struct file *file)
{
	sb_start_write(file_inode(file)->i_sb);
}

bool miniring_start_write_trylock(struct file *file)
{
	return sb_start_write_trylock(file_inode(file)->i_sb);
}

void miniring_end_write(struct file *file)
{
	sb_end_write(file_inode(file)->i_sb);
}

void miniring_fsnotify_access(struct file *file)
{
	fsnotify_access(file);
}

void miniring_fsnotify_modify(struct file *file)
{
	fsnotify_modify(file);
}

/* Returns whether a range of addresses is inside the user address space. */
bool miniring_access_ok(unsigned long addr, size_t len)
{
	return access_ok((void __user *)addr, len);
}

unsigned short miniring_current_ioprio(void)
{
	return get_current_ioprio();
}

size_t miniring_iov_iter_count(const struct iov_iter *iter)
{
	return iov_iter_count(iter);
}

void __user *miniring_iter_iov_addr(struct iov_iter *iter)
{
	return iter_iov_addr(iter);
}

size_t miniring_iter_iov_len(struct iov_iter *iter)
{
	return iter_iov_len(iter);
}
