// SPDX-License-Identifier: GPL-2.0
/*
 * Enables and then disables one static key before an apply. The order of calls is that of the RFC
 * for queued static keys, which crashes a kernel. With via=miniring the changes go through
 * miniring's functions. Only scripts/rfc-crash loads this module.
 */

#define pr_fmt(fmt) "rfc_order: " fmt

#include <linux/jump_label.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/static_call.h>
#include <linux/static_key_queued.h>
#include <linux/string.h>

static char *via = "rfc";
module_param(via, charp, 0);
MODULE_PARM_DESC(via, "rfc, which is fatal, or miniring");

static DEFINE_STATIC_KEY_FALSE(order_key);

static noinline int rfc_order_taken(void)
{
	return static_branch_unlikely(&order_key) ? 1 : 0;
}

/* These functions are not exported, so they are called as in rust/helpers/static_key.c. */
#define UNEXPORTED(name, prototype)					\
	DEFINE_STATIC_CALL_NULL(rfc_##name, prototype)

typedef unsigned long lookup_fn(const char *name);

UNEXPORTED(lookup, lookup_fn);
UNEXPORTED(lock, jump_label_lock);
UNEXPORTED(unlock, jump_label_unlock);
UNEXPORTED(queue, arch_jump_label_transform_queue);
UNEXPORTED(apply, arch_jump_label_transform_apply);

#define FIND(name, symbol)						\
({									\
	void *found = (void *)static_call(rfc_lookup)(symbol);		\
									\
	if (found)							\
		static_call_update(rfc_##name, found);			\
	found;								\
})

static int find_functions(void)
{
	struct kprobe probe = { .symbol_name = "kallsyms_lookup_name" };
	int err = register_kprobe(&probe);

	if (err)
		return err;
	unregister_kprobe(&probe);
	static_call_update(rfc_lookup, (lookup_fn *)probe.addr);

	if (!FIND(lock, "jump_label_lock") || !FIND(unlock, "jump_label_unlock") ||
	    !FIND(queue, "arch_jump_label_transform_queue") ||
	    !FIND(apply, "arch_jump_label_transform_apply"))
		return -ENOENT;
	return 0;
}

/* Passes each entry of the key to the architecture. The key's count is set. */
static void queue_entries(bool enabled)
{
	struct jump_entry *entry = THIS_MODULE->jump_entries;
	struct jump_entry *stop = entry + THIS_MODULE->num_jump_entries;

	for (; entry < stop; entry++)
		if (jump_entry_key(entry) == &order_key.key)
			static_call(rfc_queue)(entry, enabled != jump_entry_is_branch(entry));
}

static void rfc_enable_queued(void)
{
	static_call(rfc_lock)();
	atomic_set(&order_key.key.enabled, -1);
	queue_entries(true);
	atomic_set_release(&order_key.key.enabled, 1);
	static_call(rfc_unlock)();
}

static void rfc_disable_queued(void)
{
	static_call(rfc_lock)();
	if (atomic_cmpxchg(&order_key.key.enabled, 1, 0) == 1)
		queue_entries(false);
	static_call(rfc_unlock)();
}

static int by_rfc(void)
{
	int err = find_functions();

	if (err)
		return err;
	rfc_enable_queued();
	pr_info("enabled, not applied: static_key_enabled() is %d, its branch is %s\n",
		static_key_enabled(&order_key), rfc_order_taken() ? "taken" : "not taken");
	rfc_disable_queued();
	static_call(rfc_apply)();
	return 0;
}

static int by_miniring(void)
{
	typeof(static_key_enable_queued) *enable = symbol_get(static_key_enable_queued);
	typeof(static_key_disable_queued) *disable = symbol_get(static_key_disable_queued);
	typeof(static_key_apply_queued) *apply = symbol_get(static_key_apply_queued);
	int err = -ENOENT;

	if (enable && disable && apply) {
		err = enable(&order_key.key);
		pr_info("enabled, not applied: static_key_enabled() is %d, its branch is %s\n",
			static_key_enabled(&order_key), rfc_order_taken() ? "taken" : "not taken");
		err = err ?: disable(&order_key.key);
		apply();
	}
	if (enable)
		symbol_put(static_key_enable_queued);
	if (disable)
		symbol_put(static_key_disable_queued);
	if (apply)
		symbol_put(static_key_apply_queued);
	return err;
}

static int __init rfc_order_init(void)
{
	int err = !strcmp(via, "miniring") ? by_miniring() : by_rfc();

	if (!err)
		pr_info("disabled and applied by %s: static_key_enabled() is %d, its branch is %s\n",
			via, static_key_enabled(&order_key),
			rfc_order_taken() ? "taken" : "not taken");
	return err;
}
module_init(rfc_order_init);

static void __exit rfc_order_exit(void)
{
}
module_exit(rfc_order_exit);

MODULE_DESCRIPTION("The RFC's queued static keys: enabled, then disabled");
MODULE_LICENSE("GPL");
