/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Events of rings, in the format of io_uring, and of applies of queued static
 * keys. Called from rust/ring and rust/static_key.
 */

#undef TRACE_SYSTEM
#define TRACE_SYSTEM miniring

#if !defined(_TRACE_MINIRING_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_MINIRING_H

#include <linux/tracepoint.h>

/*
 * A batch of @entries jump entries was patched, with @syncs synchronisations of
 * all CPUs. The batch completed @keys keys.
 */
TRACE_EVENT(static_key_batch,

	TP_PROTO(unsigned int keys, unsigned int entries, unsigned int syncs, u64 ns),

	TP_ARGS(keys, entries, syncs, ns),

	TP_STRUCT__entry(
		__field(unsigned int,	keys)
		__field(unsigned int,	entries)
		__field(unsigned int,	syncs)
		__field(u64,		ns)
	),

	TP_fast_assign(
		__entry->keys = keys;
		__entry->entries = entries;
		__entry->syncs = syncs;
		__entry->ns = ns;
	),

	TP_printk("keys=%u entries=%u syncs=%u ns=%llu",
		  __entry->keys, __entry->entries, __entry->syncs, __entry->ns)
);

/*
 * All requests were carried out. @keys includes keys that were changed one at a
 * time, whose entries and synchronisations are not counted.
 */
TRACE_EVENT(static_key_apply,

	TP_PROTO(unsigned int requests, unsigned int keys, unsigned int entries,
		 unsigned int syncs, u64 ns),

	TP_ARGS(requests, keys, entries, syncs, ns),

	TP_STRUCT__entry(
		__field(unsigned int,	requests)
		__field(unsigned int,	keys)
		__field(unsigned int,	entries)
		__field(unsigned int,	syncs)
		__field(u64,		ns)
	),

	TP_fast_assign(
		__entry->requests = requests;
		__entry->keys = keys;
		__entry->entries = entries;
		__entry->syncs = syncs;
		__entry->ns = ns;
	),

	TP_printk("requests=%u keys=%u entries=%u syncs=%u ns=%llu",
		  __entry->requests, __entry->keys, __entry->entries,
		  __entry->syncs, __entry->ns)
);

/* A ring was made. */
TRACE_EVENT(miniring_create,

	TP_PROTO(const void *ctx, u32 sq_entries, u32 cq_entries, u32 flags),

	TP_ARGS(ctx, sq_entries, cq_entries, flags),

	TP_STRUCT__entry(
		__field(const void *,	ctx)
		__field(u32,		sq_entries)
		__field(u32,		cq_entries)
		__field(u32,		flags)
	),

	TP_fast_assign(
		__entry->ctx = ctx;
		__entry->sq_entries = sq_entries;
		__entry->cq_entries = cq_entries;
		__entry->flags = flags;
	),

	TP_printk("ring %p, sq size %u, cq size %u, flags 0x%x", __entry->ctx,
		  __entry->sq_entries, __entry->cq_entries, __entry->flags)
);

/* A register operation ended. @nr_bufs and @eventfd are the new state. */
TRACE_EVENT(miniring_register,

	TP_PROTO(const void *ctx, unsigned int opcode, unsigned int nr_bufs,
		 bool eventfd, long ret),

	TP_ARGS(ctx, opcode, nr_bufs, eventfd, ret),

	TP_STRUCT__entry(
		__field(const void *,	ctx)
		__field(unsigned int,	opcode)
		__field(unsigned int,	nr_bufs)
		__field(bool,		eventfd)
		__field(long,		ret)
	),

	TP_fast_assign(
		__entry->ctx = ctx;
		__entry->opcode = opcode;
		__entry->nr_bufs = nr_bufs;
		__entry->eventfd = eventfd;
		__entry->ret = ret;
	),

	TP_printk("ring %p, opcode %u, nr_user_bufs %u, eventfd %d, ret %ld",
		  __entry->ctx, __entry->opcode, __entry->nr_bufs,
		  __entry->eventfd, __entry->ret)
);

/* An SQE was taken off the queue. */
TRACE_EVENT(miniring_submit_req,

	TP_PROTO(const void *ctx, u64 user_data, u8 opcode, u8 flags),

	TP_ARGS(ctx, user_data, opcode, flags),

	TP_STRUCT__entry(
		__field(const void *,	ctx)
		__field(u64,		user_data)
		__field(u8,		opcode)
		__field(u8,		flags)
	),

	TP_fast_assign(
		__entry->ctx = ctx;
		__entry->user_data = user_data;
		__entry->opcode = opcode;
		__entry->flags = flags;
	),

	TP_printk("ring %p, user_data 0x%llx, opcode %u, flags 0x%x", __entry->ctx,
		  __entry->user_data, __entry->opcode, __entry->flags)
);

DECLARE_EVENT_CLASS(miniring_cqe,

	TP_PROTO(const void *ctx, u64 user_data, int res, unsigned int cflags),

	TP_ARGS(ctx, user_data, res, cflags),

	TP_STRUCT__entry(
		__field(const void *,	ctx)
		__field(u64,		user_data)
		__field(int,		res)
		__field(unsigned int,	cflags)
	),

	TP_fast_assign(
		__entry->ctx = ctx;
		__entry->user_data = user_data;
		__entry->res = res;
		__entry->cflags = cflags;
	),

	TP_printk("ring %p, user_data 0x%llx, result %d, cflags 0x%x", __entry->ctx,
		  __entry->user_data, __entry->res, __entry->cflags)
);

/* A CQE was put into the queue. */
DEFINE_EVENT(miniring_cqe, miniring_complete,

	TP_PROTO(const void *ctx, u64 user_data, int res, unsigned int cflags),

	TP_ARGS(ctx, user_data, res, cflags)
);

/* A CQE did not fit into the queue, and is kept until the queue has room. */
DEFINE_EVENT_PRINT(miniring_cqe, miniring_cqe_overflow,

	TP_PROTO(const void *ctx, u64 user_data, int res, unsigned int cflags),

	TP_ARGS(ctx, user_data, res, cflags),

	TP_printk("ring %p, user_data 0x%llx, res %d, cflags 0x%x", __entry->ctx,
		  __entry->user_data, __entry->res, __entry->cflags)
);

#endif /* _TRACE_MINIRING_H */

/* Outside the guard: define_trace.h includes this file again. */
#include <trace/define_trace.h>
