// SPDX-License-Identifier: GPL-2.0
/*
 * A second user of a key of keys_test.c, for selftests/keys/static_key.c: the key becomes a
 * linked key. Also the module's own key, queued while the module loads or fails to load, with a
 * branch in init code.
 */

#include <linux/debugfs.h>
#include <linux/module.h>
#include <linux/seq_file.h>
#include <linux/static_key_queued.h>

DECLARE_STATIC_KEY_FALSE(miniring_test_shared_key);
static DEFINE_STATIC_KEY_FALSE(own_key);

static bool queue;
module_param(queue, bool, 0);
MODULE_PARM_DESC(queue, "queue a key of its own when loaded");

static bool apply;
module_param(apply, bool, 0);
MODULE_PARM_DESC(apply, "and apply");

static bool fail;
module_param(fail, bool, 0);
MODULE_PARM_DESC(fail, "and fail to load");

static int init_taken;
static struct dentry *dir;

static noinline int shared_taken(void)
{
	return static_branch_unlikely(&miniring_test_shared_key) ? 1 : 0;
}

static noinline int own_taken(void)
{
	return static_branch_unlikely(&own_key) ? 1 : 0;
}

static noinline int __init own_taken_in_init(void)
{
	return static_branch_unlikely(&own_key) ? 1 : 0;
}

static int state_show(struct seq_file *m, void *unused)
{
	seq_printf(m, "shared %d %d\nown %d %d\ninit %d %d\n",
		   static_key_count(&miniring_test_shared_key.key), shared_taken(),
		   static_key_count(&own_key.key), own_taken(), init_taken, init_taken);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(state);

static int __init keys_user_init(void)
{
	if (queue)
		static_branch_enable_queued(&own_key);
	if (apply)
		static_key_apply_queued();
	if (fail)
		return -ECANCELED;
	init_taken = own_taken_in_init();
	dir = debugfs_create_dir(KBUILD_MODNAME, NULL);
	debugfs_create_file("state", 0400, dir, NULL, &state_fops);
	return 0;
}
module_init(keys_user_init);

static void __exit keys_user_exit(void)
{
	debugfs_remove(dir);
}
module_exit(keys_user_exit);

MODULE_DESCRIPTION("A second user of a static key to test miniring with");
MODULE_LICENSE("GPL");
