// SPDX-License-Identifier: GPL-2.0
/* Trace events of rings. rust/ring/abi/trace.rs calls these if the event is enabled. */

#include <trace/events/miniring.h>

#include "helpers.h"

void miniring_trace_create(const void *ctx, u32 sq_entries, u32 cq_entries, u32 flags)
{
	trace_miniring_create(ctx, sq_entries, cq_entries, flags);
}

void miniring_trace_register(const void *ctx, unsigned int opcode, unsigned int nr_bufs,
			     bool eventfd, long ret)
{
	trace_miniring_register(ctx, opcode, nr_bufs, eventfd, ret);
}

void miniring_trace_submit_req(const void *ctx, u64 user_data, u8 opcode, u8 flags)
{
	trace_miniring_submit_req(ctx, user_data, opcode, flags);
}

void miniring_trace_complete(const void *ctx, u64 user_data, int res, unsigned int cflags)
{
	trace_miniring_complete(ctx, user_data, res, cflags);
}

void miniring_trace_cqe_overflow(const void *ctx, u64 user_data, int res, unsigned int cflags)
{
	trace_miniring_cqe_overflow(ctx, user_data, res, cflags);
}
