// SPDX-License-Identifier: GPL-2.0
/*
 * Static keys of all kinds for selftests/keys/static_key.c. The test changes the keys through
 * /sys/kernel/debug/miniring_keys_test/command, and reads in .../state the branches that the
 * code takes.
 */

#include <linux/debugfs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/static_key_queued.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/ucopysize.h>
#include <linux/vmalloc.h>

static DEFINE_STATIC_KEY_TRUE(on_key);
static DEFINE_STATIC_KEY_FALSE(off_key);
static DEFINE_STATIC_KEY_FALSE(counted_key);
static DEFINE_STATIC_KEY_FALSE(many_key);
static DEFINE_STATIC_KEY_FALSE(unused_key);
static DEFINE_STATIC_KEY_FALSE(left_key);
static DEFINE_STATIC_KEY_FALSE(right_key);
DEFINE_STATIC_KEY_FALSE(miniring_test_shared_key);
EXPORT_SYMBOL_GPL(miniring_test_shared_key);

/* Returns the number of taken branches of a key: all or none, unless broken. */
#define BOTH_BRANCHES(name)						\
	static noinline int name##_taken(void)				\
	{								\
		int taken = 0;						\
									\
		if (static_branch_likely(&name##_key))			\
			taken++;					\
		if (static_branch_unlikely(&name##_key))		\
			taken++;					\
		return taken;						\
	}

BOTH_BRANCHES(on)
BOTH_BRANCHES(off)
BOTH_BRANCHES(counted)
BOTH_BRANCHES(left)
BOTH_BRANCHES(right)

static noinline int shared_taken(void)
{
	return static_branch_unlikely(&miniring_test_shared_key) ? 1 : 0;
}

#define BRANCH		do { if (static_branch_unlikely(&many_key)) taken++; } while (0)
#define TEN_BRANCHES	do { BRANCH; BRANCH; BRANCH; BRANCH; BRANCH;	\
			     BRANCH; BRANCH; BRANCH; BRANCH; BRANCH; } while (0)

static noinline int many_taken(void)
{
	int taken = 0;

	TEN_BRANCHES; TEN_BRANCHES; TEN_BRANCHES; TEN_BRANCHES; TEN_BRANCHES;
	TEN_BRANCHES; TEN_BRANCHES; TEN_BRANCHES; TEN_BRANCHES; TEN_BRANCHES;
	TEN_BRANCHES; TEN_BRANCHES; TEN_BRANCHES; TEN_BRANCHES; TEN_BRANCHES;
	TEN_BRANCHES; TEN_BRANCHES; TEN_BRANCHES; TEN_BRANCHES; TEN_BRANCHES;
	TEN_BRANCHES; TEN_BRANCHES; TEN_BRANCHES; TEN_BRANCHES; TEN_BRANCHES;
	TEN_BRANCHES; TEN_BRANCHES; TEN_BRANCHES; TEN_BRANCHES; TEN_BRANCHES;
	return taken;
}

static int none_taken(void)
{
	return 0;
}

static const struct test_key {
	const char *name;
	struct static_key *key;
	int (*taken)(void);
} keys[] = {
	{ "on", &on_key.key, on_taken },
	{ "off", &off_key.key, off_taken },
	{ "counted", &counted_key.key, counted_taken },
	{ "many", &many_key.key, many_taken },
	{ "unused", &unused_key.key, none_taken },
	{ "left", &left_key.key, left_taken },
	{ "right", &right_key.key, right_taken },
	{ "shared", &miniring_test_shared_key.key, shared_taken },
#ifdef CONFIG_HARDENED_USERCOPY
	{ "sealed", &validate_usercopy_range.key, none_taken },
#endif
};

/* Queues that many keys without branches, applies, and checks each key. */
static int flood(unsigned int count)
{
	struct static_key *flooded = vcalloc(count, sizeof(*flooded));
	unsigned int i;
	int err = 0;

	if (!flooded)
		return -ENOMEM;
	for (i = 0; i < count && !err; i++)
		err = static_key_enable_queued(&flooded[i]);
	static_key_apply_queued();
	for (i = 0; i < count && !err; i++)
		if (static_key_count(&flooded[i]) != 1)
			err = -EIO;
	vfree(flooded);
	return err;
}

static int run(const char *verb, const char *arg)
{
	struct static_key *key = NULL;
	int i;

	if (!strcmp(verb, "apply")) {
		static_key_apply_queued();
		return 0;
	}
	if (!strcmp(verb, "say")) {
		pr_debug("said %s\n", arg);
		return 0;
	}
	if (!strcmp(verb, "flood")) {
		unsigned int count;

		return kstrtouint(arg, 10, &count) ?: flood(count);
	}
	for (i = 0; i < ARRAY_SIZE(keys); i++)
		if (!strcmp(keys[i].name, arg))
			key = keys[i].key;
	if (!key)
		return -ENOENT;

	if (!strcmp(verb, "queue_on"))
		return static_key_enable_queued(key);
	if (!strcmp(verb, "queue_off"))
		return static_key_disable_queued(key);
	if (!strcmp(verb, "on"))
		static_key_enable(key);
	else if (!strcmp(verb, "off"))
		static_key_disable(key);
	else if (!strcmp(verb, "inc"))
		static_key_slow_inc(key);
	else if (!strcmp(verb, "dec"))
		static_key_slow_dec(key);
	else
		return -ENOENT;
	return 0;
}

/* Runs commands separated by newlines, until one fails. */
static ssize_t command_write(struct file *file, const char __user *user,
			     size_t len, loff_t *pos)
{
	char *text, *rest, *line;
	int err = 0;

	if (len > PAGE_SIZE)
		return -E2BIG;
	text = memdup_user_nul(user, len);
	if (IS_ERR(text))
		return PTR_ERR(text);
	rest = text;
	while (!err && (line = strsep(&rest, "\n"))) {
		char *verb = strsep(&line, " ");

		if (*verb)
			err = run(verb, line ?: "");
	}
	kfree(text);
	return err ?: len;
}

static const struct file_operations command_fops = {
	.owner = THIS_MODULE,
	.write = command_write,
};

/* Writes a line for each key: its name, its count, and the number of taken branches. */
static int state_show(struct seq_file *m, void *unused)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(keys); i++)
		seq_printf(m, "%s %d %d\n", keys[i].name,
			   static_key_count(keys[i].key), keys[i].taken());
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(state);

static struct dentry *dir;

static int __init keys_test_init(void)
{
	dir = debugfs_create_dir("miniring_keys_test", NULL);
	debugfs_create_file("command", 0200, dir, NULL, &command_fops);
	debugfs_create_file("state", 0400, dir, NULL, &state_fops);
	return 0;
}
module_init(keys_test_init);

static void __exit keys_test_exit(void)
{
	debugfs_remove(dir);
}
module_exit(keys_test_exit);

MODULE_DESCRIPTION("Static keys to test miniring with");
MODULE_LICENSE("GPL");
