/* SPDX-License-Identifier: GPL-2.0 */
/* Wrappers of inline functions and macros that Rust cannot call. No decisions. */
#ifndef MINIRING_HELPERS_H
#define MINIRING_HELPERS_H

#include <linux/dynamic_debug.h>
#include <linux/jump_label.h>
#include <linux/signal_types.h>
#include <linux/stop_machine.h>
#include <linux/types.h>

struct cred;
struct eventfd_ctx;
struct file;
struct iov_iter;
struct kiocb;
struct page;
struct percpu_ref;
struct poll_table_struct;
struct user_struct;
struct wait_queue_entry;
struct wait_queue_head;
struct workqueue_struct;

bool miniring_eventfd_signal_if_allowed(struct eventfd_ctx *ctx, __u32 mask);

void miniring_call_rcu_hurry(struct rcu_head *head, rcu_callback_t func);
bool miniring_in_softirq(void);

void *miniring_kmalloc_64(void);
void *miniring_kmalloc_96(void);
void *miniring_kmalloc_128(void);

bool miniring_percpu_ref_tryget_live(struct percpu_ref *ref);
bool miniring_percpu_ref_is_dying(struct percpu_ref *ref);
void miniring_percpu_ref_get(struct percpu_ref *ref);
void miniring_percpu_ref_put(struct percpu_ref *ref);

struct user_struct *miniring_get_current_user(void);
unsigned long miniring_memlock_limit(void);
struct page *miniring_compound_head(struct page *page);
unsigned long miniring_compound_nr(struct page *page);
unsigned long miniring_array_index_nospec(unsigned long index, unsigned long size);
bool miniring_in_compat_syscall(void);

/* request.c */
struct workqueue_struct *miniring_alloc_workqueue(const char *name);
__poll_t miniring_vfs_poll(struct file *file, struct poll_table_struct *table);
void miniring_wait_remove(struct wait_queue_head *head, struct wait_queue_entry *entry);
void miniring_wait_take(struct wait_queue_entry *entry);
bool miniring_exiting(struct task_struct *task);
bool miniring_in_system_call(void);
bool miniring_current_exiting(void);
int miniring_socket_family(struct file *file);
const char *miniring_anon_name(const struct file *file);
void *miniring_current_files(void);
u64 miniring_exec_id(const struct task_struct *task);
bool miniring_is_worker(void);
const struct cred *miniring_current_cred(void);
const struct cred *miniring_override_creds(const struct cred *cred);
const struct cred *miniring_revert_creds(const struct cred *cred);
void miniring_synchronize_rcu_tasks(void);
s64 miniring_timens_to_host(int clock, s64 time);

/* ring.c */
void miniring_mutex_lock_second(struct mutex *lock);
bool miniring_cpu_online(unsigned int cpu);

/* rw.c */
int miniring_kiocb_set_rw_flags(struct kiocb *iocb, int flags, int type);
void miniring_start_write(struct file *file);
bool miniring_start_write_trylock(struct file *file);
void miniring_end_write(struct file *file);
void miniring_fsnotify_access(struct file *file);
void miniring_fsnotify_modify(struct file *file);
bool miniring_access_ok(unsigned long addr, size_t len);
unsigned short miniring_current_ioprio(void);
size_t miniring_iov_iter_count(const struct iov_iter *iter);
void __user *miniring_iter_iov_addr(struct iov_iter *iter);
size_t miniring_iter_iov_len(struct iov_iter *iter);

bool miniring_sigpending(void);
void miniring_clear_notify_signal(void);
void miniring_push_sigmask(sigset_t *mask);
void miniring_pop_sigmask(void);

bool miniring_wq_has_sleeper(struct wait_queue_head *wq);
void miniring_wake_up_input(struct wait_queue_head *wq);
void miniring_set_iowait(bool on);
s64 miniring_timens_monotonic_to_host(s64 ns);

/* thread.c */
typedef bool (*miniring_step_fn)(void *data);
typedef void (*miniring_killed_fn)(void *data);
bool miniring_has_threads(void);
void *miniring_thread_create(miniring_step_fn step, miniring_killed_fn killed, void *data,
			     const char *name);
void miniring_thread_start(void *thread);
void miniring_thread_stop(void *thread);
void *miniring_get_files(void);
void miniring_adopt_files(void *files);
void miniring_set_running(void);
void miniring_stay_on_cpu(unsigned int cpu);
void miniring_notice_task_work(void);

/* trace.c */
void miniring_trace_create(const void *ctx, u32 sq_entries, u32 cq_entries, u32 flags);
void miniring_trace_register(const void *ctx, unsigned int opcode, unsigned int nr_bufs,
			     bool eventfd, long ret);
void miniring_trace_submit_req(const void *ctx, u64 user_data, u8 opcode, u8 flags);
void miniring_trace_complete(const void *ctx, u64 user_data, int res, unsigned int cflags);
void miniring_trace_cqe_overflow(const void *ctx, u64 user_data, int res, unsigned int cflags);

/* tracepoint.c */
void *miniring_find_tracepoint(const char *name);
int miniring_tracepoint_probe_register(void *tp, void *probe);
void miniring_tracepoint_probe_unregister(void *tp, void *probe);

/* static_key.c */
extern char *miniring_backend;
extern char *miniring_without;

void miniring_trace_static_key_batch(unsigned int keys, unsigned int entries,
				     unsigned int syncs, u64 ns);
void miniring_trace_static_key_apply(unsigned int requests, unsigned int keys,
				     unsigned int entries, unsigned int syncs, u64 ns);

unsigned long miniring_kallsyms_lookup_name(const char *name);
void miniring_set_kallsyms_lookup_name(void *func);
int miniring_kernel_text_address(unsigned long addr);
void miniring_set_kernel_text_address(void *func);
void *miniring___module_address(unsigned long addr);
void miniring_set___module_address(void *func);
void miniring_jump_label_lock(void);
void miniring_set_jump_label_lock(void *func);
void miniring_jump_label_unlock(void);
void miniring_set_jump_label_unlock(void *func);
bool miniring_arch_jump_label_transform_queue(struct jump_entry *entry,
					      enum jump_label_type type);
void miniring_set_arch_jump_label_transform_queue(void *func);
void miniring_arch_jump_label_transform_apply(void);
void miniring_set_arch_jump_label_transform_apply(void *func);

void miniring_task_work_run(void);
void miniring_set_task_work_run(void *func);
int miniring_stop_machine_cpuslocked(cpu_stop_fn_t fn, void *data,
				     const struct cpumask *cpus);
void miniring_set_stop_machine_cpuslocked(void *func);

/* Rust functions behind the exports of <linux/static_key_queued.h>. */
int miniring_static_key_enable_queued(struct static_key *key);
int miniring_static_key_disable_queued(struct static_key *key);
void miniring_static_key_apply_queued(void);

void miniring_mmap_read_lock(void *mm);
void miniring_mmap_read_unlock(void *mm);
void *miniring_text_page(unsigned long addr);
void *miniring_map_pages(void **pages, unsigned int count);
unsigned int miniring_num_online_cpus(void);
const struct cpumask *miniring_cpu_online_mask(void);
void miniring_sync_core(void);
void *miniring_probe_address(const char *name);
unsigned long miniring_jump_entry_code(const struct jump_entry *entry);
unsigned long miniring_jump_entry_target(const struct jump_entry *entry);
struct static_key *miniring_jump_entry_key(const struct jump_entry *entry);
bool miniring_jump_entry_is_branch(const struct jump_entry *entry);
bool miniring_jump_entry_is_init(const struct jump_entry *entry);
bool miniring_within_module(const void *addr, const void *mod);
bool miniring_within_ro_after_init(unsigned long addr, const void *mod);
bool miniring_is_writable(unsigned long addr);
bool miniring_system_running(void);
void miniring_cond_resched(void);
struct static_key *miniring_linked_key(void);
bool miniring_linked_key_branch(void);

/* dyndbg.c */
bool miniring_may_complain(void);

#endif /* MINIRING_HELPERS_H */
