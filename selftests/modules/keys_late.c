// SPDX-License-Identifier: GPL-2.0
/*
 * Requests a key of miniring_keys_test when that module unloads, from a notifier of the priority
 * @priority. /sys/module/miniring_keys_late/parameters/result has the result, or 1 before.
 */

#include <linux/jump_label.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/static_key_queued.h>

static int priority;
module_param(priority, int, 0);

static int result = 1;
module_param(result, int, 0444);

static int on_module(struct notifier_block *nb, unsigned long state, void *data)
{
	struct module *mod = data;
	int i;

	if (state != MODULE_STATE_GOING || strcmp(mod->name, "miniring_keys_test"))
		return NOTIFY_OK;
	for (i = 0; i < mod->num_jump_entries; i++) {
		struct static_key *key = jump_entry_key(&mod->jump_entries[i]);

		if (within_module((unsigned long)key, mod)) {
			result = static_key_disable_queued(key);
			break;
		}
	}
	return NOTIFY_OK;
}

static struct notifier_block late = { .notifier_call = on_module };

static int __init keys_late_init(void)
{
	late.priority = priority;
	return register_module_notifier(&late);
}
module_init(keys_late_init);

static void __exit keys_late_exit(void)
{
	unregister_module_notifier(&late);
}
module_exit(keys_late_exit);

MODULE_DESCRIPTION("A request for a key of a module that goes");
MODULE_LICENSE("GPL");
