// SPDX-License-Identifier: GPL-2.0
/*
 * A key that becomes read-only with the module's __ro_after_init data, for
 * selftests/keys/static_key_modules.c. The module's init requests the key if @in_init is
 * set. Commands in /sys/kernel/debug/miniring_keys_sealed/command also request it.
 */

#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/static_key_queued.h>

static DEFINE_STATIC_KEY_FALSE_RO(sealed_key);

static bool in_init;
module_param(in_init, bool, 0);

static bool fails;
module_param(fails, bool, 0);

static noinline int sealed_taken(void)
{
	return static_branch_unlikely(&sealed_key) ? 1 : 0;
}

static int state_show(struct seq_file *m, void *unused)
{
	seq_printf(m, "sealed %d %d\n", static_key_count(&sealed_key.key), sealed_taken());
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(state);

static ssize_t command_write(struct file *file, const char __user *buf, size_t len, loff_t *pos)
{
	int err = static_branch_enable_queued(&sealed_key);

	return err ?: len;
}

static const struct file_operations command_fops = {
	.owner = THIS_MODULE,
	.write = command_write,
};

static struct dentry *dir;

static int __init keys_sealed_init(void)
{
	int err = in_init ? static_branch_enable_queued(&sealed_key) : 0;

	if (err || fails)
		return err ?: -ENXIO;
	dir = debugfs_create_dir("miniring_keys_sealed", NULL);
	debugfs_create_file("state", 0400, dir, NULL, &state_fops);
	debugfs_create_file("command", 0200, dir, NULL, &command_fops);
	return 0;
}
module_init(keys_sealed_init);

static void __exit keys_sealed_exit(void)
{
	debugfs_remove(dir);
}
module_exit(keys_sealed_exit);

MODULE_DESCRIPTION("A static key that becomes read-only");
MODULE_LICENSE("GPL");
