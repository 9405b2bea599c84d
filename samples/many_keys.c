// SPDX-License-Identifier: GPL-2.0
/*
 * A module with 100,000 static keys, each with one branch in its code.
 *
 * A write to /sys/kernel/debug/miniring_many_keys changes a number of keys:
 *
 *   "queued on 4096"     queues 4096 requests and applies them together
 *   "single on 4096"     lets the kernel change one key after the other
 *   "requested on 4096"  queues the requests for the next apply of any caller
 *
 * A read returns the number of branches taken.
 */

#include <linux/debugfs.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/static_key_queued.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#define MANY	100000

static struct static_key many_keys[MANY] __used;

/*
 * Branches on a thousand keys as static_branch_unlikely() does. A function has
 * no more branches, because objtool follows them by recursion.
 */
#define THOUSAND(n)							\
	static noinline unsigned int taken_##n(void)			\
	{								\
		unsigned int taken = 0;					\
									\
		asm volatile(".set many_keys_n, 1000 * %c1\n"		\
			     ".rept 1000\n"				\
			     ARCH_STATIC_BRANCH_ASM("many_keys + %c2 * many_keys_n", "2f") \
			     "jmp 3f\n"					\
			     "2: incl %0\n"				\
			     "3:\n"					\
			     ".set many_keys_n, many_keys_n + 1\n"	\
			     ".endr\n"					\
			     : "+r"(taken)				\
			     : "i"(1##n - 100), "i"(sizeof(struct static_key)) \
			     : "cc");					\
		return taken;						\
	}

#define TEN(f, n)	f(n##0) f(n##1) f(n##2) f(n##3) f(n##4)		\
			f(n##5) f(n##6) f(n##7) f(n##8) f(n##9)
#define HUNDRED(f)	TEN(f, 0) TEN(f, 1) TEN(f, 2) TEN(f, 3) TEN(f, 4)	\
			TEN(f, 5) TEN(f, 6) TEN(f, 7) TEN(f, 8) TEN(f, 9)

HUNDRED(THOUSAND)

#define TAKEN(n)	+ taken_##n()

static unsigned int taken(void)
{
	return 0 HUNDRED(TAKEN);
}

static int request(bool on, unsigned int count)
{
	unsigned int i;
	int err = 0;

	for (i = 0; i < count && !err; i++)
		err = on ? static_key_enable_queued(&many_keys[i]) :
			   static_key_disable_queued(&many_keys[i]);
	return err;
}

static void change_one_by_one(bool on, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		if (on)
			static_key_enable(&many_keys[i]);
		else
			static_key_disable(&many_keys[i]);
	}
}

static ssize_t many_keys_write(struct file *file, const char __user *user, size_t len,
			       loff_t *pos)
{
	char text[64], how[16], state[16];
	unsigned int count;
	int err = 0;
	bool on;

	if (len >= sizeof(text))
		return -E2BIG;
	if (copy_from_user(text, user, len))
		return -EFAULT;
	text[len] = '\0';
	if (sscanf(text, "%15s %15s %u", how, state, &count) != 3 || count > MANY)
		return -EINVAL;
	on = !strcmp(state, "on");
	if (!strcmp(how, "single"))
		change_one_by_one(on, count);
	else
		err = request(on, count);
	if (!strcmp(how, "queued"))
		static_key_apply_queued();
	return err ?: len;
}

static int many_keys_show(struct seq_file *m, void *unused)
{
	seq_printf(m, "%u\n", taken());
	return 0;
}

static int many_keys_open(struct inode *inode, struct file *file)
{
	return single_open(file, many_keys_show, NULL);
}

static const struct file_operations many_keys_fops = {
	.owner = THIS_MODULE,
	.open = many_keys_open,
	.read = seq_read,
	.write = many_keys_write,
	.llseek = seq_lseek,
	.release = single_release,
};

static struct dentry *file;

static int __init many_keys_init(void)
{
	file = debugfs_create_file("miniring_many_keys", 0600, NULL, NULL, &many_keys_fops);
	return 0;
}
module_init(many_keys_init);

static void __exit many_keys_exit(void)
{
	debugfs_remove(file);
}
module_exit(many_keys_exit);

MODULE_DESCRIPTION("A sample of queued static keys: a hundred thousand of them");
MODULE_LICENSE("GPL");
