// SPDX-License-Identifier: GPL-2.0
/*
 * A regular file of one page, in debugfs. Without waiting it transfers only its first bytes, as a
 * file on a disk with only that part in memory.
 */

#include <linux/debugfs.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/uio.h>

#define SIZE 4096
#define AT_ONCE 100

static char contents[SIZE];

/* Returns the number of bytes of a transfer. */
static ssize_t available(const struct kiocb *iocb)
{
	loff_t end = SIZE;

	if (iocb->ki_flags & IOCB_NOWAIT) {
		end = AT_ONCE;
		if (iocb->ki_pos >= end)
			return -EAGAIN;
	}
	return max(end - iocb->ki_pos, 0);
}

/* Reads or writes, by the direction of the iterator. */
static ssize_t parts_iter(struct kiocb *iocb, struct iov_iter *iter)
{
	bool write = iov_iter_rw(iter) == WRITE;
	ssize_t len = available(iocb);
	char *at = contents + iocb->ki_pos;

	if (!len && write)
		return -ENOSPC;
	len = min_t(ssize_t, len, iov_iter_count(iter));
	if (len <= 0)
		return len;
	len = write ? copy_from_iter(at, len, iter) : copy_to_iter(at, len, iter);
	iocb->ki_pos += len;
	return len ?: -EFAULT;
}

static int parts_open(struct inode *inode, struct file *file)
{
	file->f_mode |= FMODE_NOWAIT;
	return 0;
}

static const struct file_operations parts_fops = {
	.owner = THIS_MODULE,
	.open = parts_open,
	.llseek = default_llseek,
	.read_iter = parts_iter,
	.write_iter = parts_iter,
};

static struct dentry *file;

static int __init file_in_parts_init(void)
{
	/*
	 * The file is not safe against removal while open: the module's
	 * reference count prevents the removal.
	 */
	file = debugfs_create_file_unsafe("miniring_file_in_parts", 0600, NULL, NULL, &parts_fops);
	return PTR_ERR_OR_ZERO(file);
}
module_init(file_in_parts_init);

static void __exit file_in_parts_exit(void)
{
	debugfs_remove(file);
}
module_exit(file_in_parts_exit);

MODULE_DESCRIPTION("A file that is had in parts, to test miniring with");
MODULE_LICENSE("GPL");
