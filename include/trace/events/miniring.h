/* SPDX-License-Identifier: GPL-2.0 */
/* What an apply of queued static keys did; called from rust/static_key. */

#undef TRACE_SYSTEM
#define TRACE_SYSTEM miniring

#if !defined(_TRACE_MINIRING_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_MINIRING_H

#include <linux/tracepoint.h>

/*
 * A batch was patched: so many jump entries, with so many synchronisations of
 * all CPUs, after which all places of so many keys are done.
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
 * All requests were carried out. Keys that were changed one at a time are among
 * the keys; their entries and synchronisations are not counted.
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

#endif /* _TRACE_MINIRING_H */

/* Must be outside of the guard. */
#include <trace/define_trace.h>
