// SPDX-License-Identifier: GPL-2.0
/*
 * For a test VM that QEMU emulates (TCG), where a virtual CPU can execute a breakpoint that is no
 * longer in memory.
 *
 * A store to code drops the translation of that code before the store is done. A CPU that reaches
 * the code in between translates the old byte, and that translation stays until the next store.
 * The old byte can be the breakpoint with which text patching begins. Then the next CPU takes an
 * int3 without a handler, and the kernel dies. A real processor executes the instruction in
 * memory.
 *
 * So an int3 without a breakpoint in memory is ignored, and the instruction in memory is executed.
 * See Documentation/building.rst.
 */

#include <linux/kdebug.h>
#include <linux/kprobes.h>
#include <linux/module.h>
#include <linux/notifier.h>
#include <linux/ptrace.h>
#include <linux/string.h>
#include <linux/unaligned.h>
#include <asm/cpuid/api.h>
#include <asm/nops.h>
#include <asm/text-patching.h>

static atomic_t executed = ATOMIC_INIT(0);

static int get_executed(char *buffer, const struct kernel_param *kp)
{
	return sysfs_emit(buffer, "%d\n", atomic_read(&executed));
}

static const struct kernel_param_ops executed_ops = { .get = get_executed };

module_param_cb(executed, &executed_ops, NULL, 0444);
MODULE_PARM_DESC(executed, "how many breakpoints were executed that were not there");

/*
 * Executes the instruction at @code, if a jump label or a static call can have it. Interrupts are
 * off, so a CPU that patches it again waits for this CPU after its breakpoint. So the bytes are
 * either all from before that, or the breakpoint.
 */
static bool emulate(struct pt_regs *regs, const u8 *code)
{
	static const u8 nop2[] = { BYTES_NOP2 }, nop5[] = { BYTES_NOP5 };
	unsigned long next = (unsigned long)code;

	switch (READ_ONCE(*code)) {
	case JMP8_INSN_OPCODE:
		next += JMP8_INSN_SIZE;
		int3_emulate_jmp(regs, next + (s8)code[1]);
		return true;
	case JMP32_INSN_OPCODE:
		next += JMP32_INSN_SIZE;
		int3_emulate_jmp(regs, next + (s32)get_unaligned_le32(code + 1));
		return true;
	case CALL_INSN_OPCODE:
		next += CALL_INSN_SIZE;
		int3_emulate_call(regs, next, next + (s32)get_unaligned_le32(code + 1));
		return true;
	}
	if (!memcmp(code, nop2, sizeof(nop2)))
		next += sizeof(nop2);
	else if (!memcmp(code, nop5, sizeof(nop5)))
		next += sizeof(nop5);
	else
		return false;
	int3_emulate_jmp(regs, next);
	return true;
}

static int on_die(struct notifier_block *block, unsigned long val, void *data)
{
	struct pt_regs *regs = ((struct die_args *)data)->regs;

	if (val != DIE_INT3 || user_mode(regs) ||
	    !emulate(regs, (const u8 *)regs->ip - INT3_INSN_SIZE))
		return NOTIFY_DONE;
	atomic_inc(&executed);
	return NOTIFY_STOP;
}
NOKPROBE_SYMBOL(on_die);

static struct notifier_block block = { .notifier_call = on_die };

static int __init stale_int3_init(void)
{
	if (!cpuid_base_hypervisor("TCGTCGTCGTCG", 0))
		return -ENODEV;
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
