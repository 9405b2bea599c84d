// SPDX-License-Identifier: GPL-2.0
/* Inline functions for requests that complete later. */

#include <linux/cred.h>
#include <linux/dcache.h>
#include <linux/fs.h>
#include <linux/net.h>
#include <linux/poll.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/time_namespace.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "helpers.h"

struct workqueue_struct *miniring_alloc_workqueue(const char *name)
{
	return alloc_workqueue("%s", WQ_UNBOUND, 0, name);
}

__poll_t miniring_vfs_poll(struct file *file, struct poll_table_struct *table)
{
	return vfs_poll(file, table);
}

/* Removes @entry from its queue. Does nothing if list_del_init() removed it before. */
void miniring_wait_remove(struct wait_queue_head *head, struct wait_queue_entry *entry)
{
	unsigned long flags;

	spin_lock_irqsave(&head->lock, flags);
	list_del_init(&entry->entry);
	spin_unlock_irqrestore(&head->lock, flags);
}

/* Removes an entry, as list_del_init() does. The caller holds the queue's lock. */
void miniring_wait_take(struct wait_queue_entry *entry)
{
	list_del_init(&entry->entry);
}

bool miniring_exiting(struct task_struct *task)
{
	return READ_ONCE(task->flags) & PF_EXITING;
}

/*
 * Returns whether the current task will return to userspace: it is in a system
 * call or a fault.
 */
bool miniring_in_system_call(void)
{
	return in_task() && !(current->flags & (PF_KTHREAD | PF_USER_WORKER | PF_EXITING));
}

bool miniring_current_exiting(void)
{
	return miniring_exiting(current);
}

/* Returns the family of a socket, AF_UNSPEC for other files. */
int miniring_socket_family(struct file *file)
{
	struct socket *sock = sock_from_file(file);

	return sock ? sock->ops->family : AF_UNSPEC;
}

/* Returns the name of an anonymous-inode file, which is never freed; NULL for others. */
const char *miniring_anon_name(const struct file *file)
{
	return IS_ANON_FILE(file_inode(file)) ? file->f_path.dentry->d_name.name : NULL;
}

/*
 * Returns the identity of the current descriptor table, as flush operations get
 * it. The pointer is only compared.
 */
void *miniring_current_files(void)
{
	return current->files;
}

/* Returns a number that changes when @task executes another program. */
u64 miniring_exec_id(const struct task_struct *task)
{
	return READ_ONCE(task->self_exec_id);
}

/* Returns whether the current task is a kernel thread without an address space. */
bool miniring_is_worker(void)
{
	return in_task() && current->flags & PF_KTHREAD && !current->mm;
}

const struct cred *miniring_current_cred(void)
{
	return current_cred();
}

const struct cred *miniring_override_creds(const struct cred *cred)
{
	return override_creds(cred);
}

const struct cred *miniring_revert_creds(const struct cred *cred)
{
	return revert_creds(cred);
}

/* Waits for an RCU-tasks grace period: no task is still inside a callback. */
void miniring_synchronize_rcu_tasks(void)
{
	synchronize_rcu_tasks();
}

s64 miniring_timens_to_host(int clock, s64 time)
{
	return timens_ktime_to_host(clock, time);
}
