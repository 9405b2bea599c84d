// SPDX-License-Identifier: GPL-2.0
/*
 * For a test VM that QEMU emulates (TCG), where a virtual CPU can execute a breakpoint
 * that is no longer in memory.
 *
 * A store to code has what was translated of it dropped before it is done. A CPU that
 * comes to that code in between translates the byte that is about to be replaced, and
 * nothing drops that translation any more. Should the byte be the breakpoint that
 * patching of text begins with, the next CPU there takes an int3 of which nobody knows,
 * and the kernel dies. No processor does that: it sees its own memory.
 *
 * So an int3 of which memory has none is not one: another store, of what is there, drops
 * the translation, and the CPU goes back to the instruction. See Documentation/building.rst.
 */

#include <linux/kdebug.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/ptrace.h>
#include <asm/cpuid/api.h>
#include <asm/special_insns.h>
#include <asm/text-patching.h>

static atomic_t taken_back = ATOMIC_INIT(0);

static int get_taken_back(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%d\n", atomic_read(&taken_back));
}

static const struct kernel_param_ops taken_back_ops = { .get = get_taken_back };

module_param_cb(taken_back, &taken_back_ops, NULL, 0444);
MODULE_PARM_DESC(taken_back, "how many breakpoints were executed that were not there");

/* An atomic store that changes nothing, whatever others store meanwhile. */
static __always_inline void store_again(u8 *code)
{
	unsigned long cr0 = native_read_cr0();

	asm volatile("mov %1, %%cr0\n\t"
		     "lock orb $0, %0\n\t"
		     "mov %2, %%cr0"
		     : "+m" (*code)
		     : "r" (cr0 & ~X86_CR0_WP), "r" (cr0)
		     : "memory", "cc");
}

/* Runs with interrupts off. */
static int take_back(struct notifier_block *block, unsigned long val, void *data)
{
	struct pt_regs *regs = ((struct die_args *)data)->regs;
	u8 *code = (u8 *)regs->ip - INT3_INSN_SIZE;

	if (val != DIE_INT3 || user_mode(regs) || READ_ONCE(*code) == INT3_INSN_OPCODE)
		return NOTIFY_DONE;
	store_again(code);
	regs->ip = (unsigned long)code;
	atomic_inc(&taken_back);
	return NOTIFY_STOP;
}
NOKPROBE_SYMBOL(take_back);

static struct notifier_block block = { .notifier_call = take_back };

static int __init stale_int3_init(void)
{
	if (!cpuid_base_hypervisor("TCGTCGTCGTCG", 0))
		return -ENODEV;
	/* With it, code cannot be made writable in this way. */
	if (__read_cr4() & X86_CR4_CET)
		return -EOPNOTSUPP;
	return register_die_notifier(&block);
}

static void __exit stale_int3_exit(void)
{
	unregister_die_notifier(&block);
}

module_init(stale_int3_init);
module_exit(stale_int3_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Breakpoints that QEMU's TCG executes though they are gone");
