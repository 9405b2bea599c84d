// SPDX-License-Identifier: GPL-2.0
/*
 * C for rust/static_key: inline functions, exports, and calls of functions that
 * the kernel does not export.
 */

#include <linux/jump_label.h>
#include <linux/kallsyms.h>
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/mm.h>
#include <linux/mmap_lock.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/sched.h>
#include <linux/static_call.h>
#include <linux/static_key_queued.h>
#include <linux/stop_machine.h>
#include <linux/task_work.h>
#include <linux/vmalloc.h>
#include <trace/events/module.h>
#include <asm/sync_core.h>

#define CREATE_TRACE_POINTS
#include <trace/events/miniring.h>

#include "helpers.h"

int static_key_enable_queued(struct static_key *key)
{
	return miniring_static_key_enable_queued(key);
}
EXPORT_SYMBOL_GPL(static_key_enable_queued);

int static_key_disable_queued(struct static_key *key)
{
	return miniring_static_key_disable_queued(key);
}
EXPORT_SYMBOL_GPL(static_key_disable_queued);

void static_key_apply_queued(void)
{
	miniring_static_key_apply_queued();
}
EXPORT_SYMBOL_GPL(static_key_apply_queued);

char *miniring_backend = "auto";
module_param_named(backend, miniring_backend, charp, 0444);
MODULE_PARM_DESC(backend, "how static keys change: auto, batched, immediate, stopped or unsorted");

char *miniring_without = "";
module_param_named(without, miniring_without, charp, 0444);
MODULE_PARM_DESC(without, "symbols to take for missing, separated by commas, for tests only");

void miniring_trace_static_key_batch(unsigned int keys, unsigned int entries,
				     unsigned int syncs, u64 ns)
{
	trace_static_key_batch(keys, entries, syncs, ns);
}

void miniring_trace_static_key_apply(unsigned int requests, unsigned int keys,
				     unsigned int entries, unsigned int syncs, u64 ns)
{
	trace_static_key_apply(requests, keys, entries, syncs, ns);
}

/*
 * Calls a function that is not exported through a static call, once its address
 * is known. With IBT a call through a pointer could trap: the kernel may have
 * sealed the ENDBR of a function whose address it never takes.
 */
#define MINIRING_UNEXPORTED(ret, name, params, args)		\
	DEFINE_STATIC_CALL_NULL(miniring_##name, name);		\
	void miniring_set_##name(void *func)			\
	{							\
		static_call_update(miniring_##name, func);	\
	}							\
	ret miniring_##name params				\
	{							\
		return static_call(miniring_##name)args;	\
	}

MINIRING_UNEXPORTED(unsigned long, kallsyms_lookup_name,
		    (const char *name), (name))
MINIRING_UNEXPORTED(int, kernel_text_address, (unsigned long addr), (addr))
MINIRING_UNEXPORTED(void *, __module_address, (unsigned long addr), (addr))
MINIRING_UNEXPORTED(void, jump_label_lock, (void), ())
MINIRING_UNEXPORTED(void, jump_label_unlock, (void), ())
MINIRING_UNEXPORTED(bool, arch_jump_label_transform_queue,
		    (struct jump_entry *entry, enum jump_label_type type),
		    (entry, type))
MINIRING_UNEXPORTED(void, arch_jump_label_transform_apply, (void), ())
MINIRING_UNEXPORTED(void, task_work_run, (void), ())
MINIRING_UNEXPORTED(int, stop_machine_cpuslocked,
		    (cpu_stop_fn_t fn, void *data, const struct cpumask *cpus),
		    (fn, data, cpus))

/* Returns the address of a function, or the error of register_kprobe(). */
void *miniring_probe_address(const char *name)
{
	struct kprobe probe = { .symbol_name = name };
	int err = register_kprobe(&probe);

	if (err)
		return ERR_PTR(err);
	unregister_kprobe(&probe);
	return probe.addr;
}

void miniring_mmap_read_lock(void *mm)
{
	mmap_read_lock(mm);
}

void miniring_mmap_read_unlock(void *mm)
{
	mmap_read_unlock(mm);
}

/* Returns the page of an address in the text of the kernel or of a module. */
void *miniring_text_page(unsigned long addr)
{
	if (is_vmalloc_or_module_addr((void *)addr))
		return vmalloc_to_page((void *)addr);
	return virt_to_page(addr);
}

void *miniring_map_pages(void **pages, unsigned int count)
{
	return vmap((struct page **)pages, count, VM_MAP, PAGE_KERNEL);
}

unsigned int miniring_num_online_cpus(void)
{
	return num_online_cpus();
}

const struct cpumask *miniring_cpu_online_mask(void)
{
	return cpu_online_mask;
}

void miniring_sync_core(void)
{
	sync_core();
}

unsigned long miniring_jump_entry_code(const struct jump_entry *entry)
{
	return jump_entry_code(entry);
}

unsigned long miniring_jump_entry_target(const struct jump_entry *entry)
{
	return jump_entry_target(entry);
}

struct static_key *miniring_jump_entry_key(const struct jump_entry *entry)
{
	return jump_entry_key(entry);
}

bool miniring_jump_entry_is_branch(const struct jump_entry *entry)
{
	return jump_entry_is_branch(entry);
}

bool miniring_jump_entry_is_init(const struct jump_entry *entry)
{
	return jump_entry_is_init(entry);
}

bool miniring_within_module(const void *addr, const void *mod)
{
	return within_module((unsigned long)addr, mod);
}

bool miniring_within_ro_after_init(unsigned long addr, const void *mod)
{
	return within_module_mem_type(addr, mod, MOD_RO_AFTER_INIT);
}

/* Returns whether the kernel maps @addr for writing. */
bool miniring_is_writable(unsigned long addr)
{
#ifdef CONFIG_X86
	unsigned int level;
	pte_t *pte = lookup_address(addr, &level);

	return pte && pte_write(*pte);
#else
	return true;
#endif
}

bool miniring_system_running(void)
{
	return system_state >= SYSTEM_RUNNING;
}

void miniring_cond_resched(void)
{
	cond_resched();
}

/*
 * A branch in this module on a key of the kernel makes the key a linked key.
 * rust/static_key compares the key's list of users with the expected layout.
 */
struct static_key *miniring_linked_key(void)
{
	return &__tracepoint_module_get.key.key;
}

bool miniring_linked_key_branch(void)
{
	return static_branch_unlikely(&__tracepoint_module_get.key);
}
