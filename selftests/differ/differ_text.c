// SPDX-License-Identifier: GPL-2.0
/* Prints programs and transcripts of the differential fuzzer. */
#include <poll.h>
#include "differ.h"
#include "ring_base.h"

static const char *const op_names[] = {
	[OP_NOP] = "NOP",
	[OP_POLL] = "POLL_ADD",
	[OP_POLL_REMOVE] = "POLL_REMOVE",
	[OP_CANCEL] = "ASYNC_CANCEL",
	[OP_TIMEOUT] = "TIMEOUT",
	[OP_TIMEOUT_REMOVE] = "TIMEOUT_REMOVE",
	[OP_READ] = "READ",
	[OP_WRITE] = "WRITE",
	[OP_MESSAGE] = "MSG_RING",
	[OP_BAD] = "invalid",
};

static const struct {
	unsigned int flag;
	const char *name;
} flag_names[] = {
	{ IOSQE_IO_LINK, "IO_LINK" },
	{ IOSQE_IO_HARDLINK, "IO_HARDLINK" },
	{ IOSQE_IO_DRAIN, "IO_DRAIN" },
	{ IOSQE_CQE_SKIP_SUCCESS, "CQE_SKIP_SUCCESS" },
	{ IOSQE_ASYNC, "ASYNC" },
	{ IOSQE_FIXED_FILE, "FIXED_FILE" },
	{},
};

static const char *file_name(int file)
{
	static char name[16];

	if (file < PIPES) {
		snprintf(name, sizeof(name), "pipe%d%s", file,
			 file == PIPE_NONBLOCK ? "(nonblock)" : "");
		return name;
	}
	return file == EVENTFD ? "eventfd" : file == ZERO ? "/dev/zero" :
	       file == MEMFD ? "memfd" : "-1";
}

static const char *time_name(unsigned int time)
{
	return !time ? "1000 s" : time == 1 ? "3 ms" : "15 ms";
}

void op_print(const struct op *op)
{
	printf("#     %u: %s", op->user_data, op_names[op->kind]);
	switch (op->kind) {
	case OP_NOP:
		printf(" how 0x%x res %d", op->how, op->res);
		break;
	case OP_POLL:
		printf(" %s events 0x%x how 0x%x", file_name(op->file), op->events, op->how);
		break;
	case OP_POLL_REMOVE:
		printf(" of %u how 0x%x events 0x%x", op->target, op->how, op->events);
		break;
	case OP_CANCEL:
		printf(" of %u how 0x%x opcode %u %s", op->target, op->how, op->len,
		       op->how & IORING_ASYNC_CANCEL_FD ? file_name(op->file) : "");
		break;
	case OP_TIMEOUT:
		printf(" %s count %u how 0x%x", time_name(op->events), op->len, op->how);
		break;
	case OP_TIMEOUT_REMOVE:
		printf(" of %u how 0x%x %s", op->target, op->how, time_name(op->events));
		break;
	case OP_READ:
	case OP_WRITE:
		if (op->how == READ_MUCH)
			printf(" %s much", file_name(op->file));
		else
			printf("%s %s %u bytes", op->how ? "V" : "", file_name(op->file), op->len);
		break;
	case OP_MESSAGE:
		printf(" to itself res %d how 0x%x", op->res, op->how);
		break;
	}
	for (int i = 0; flag_names[i].name; i++)
		if (op->flags & flag_names[i].flag)
			printf(" %s", flag_names[i].name);
	printf("\n");
}

static void step_print(int nr, const struct step *step)
{
	printf("#   step %d: ", nr);
	switch (step->kind) {
	case STEP_SUBMIT:
		if (step->arg)
			printf("submit, wait for %u%s\n", step->arg,
			       step->min_wait ? " with min_wait" : "");
		else
			printf("submit\n");
		break;
	case STEP_WAIT:
		printf("wait for %u more than there are%s\n", step->arg,
		       step->min_wait ? " with min_wait" : "");
		break;
	case STEP_WRITE:
		printf("write %u bytes to %s\n", step->arg, file_name(step->file));
		break;
	case STEP_READ:
		printf("read all of %s\n", file_name(step->file));
		break;
	case STEP_REAP:
		printf("reap %u\n", step->arg);
		break;
	case STEP_EXPIRE:
		printf("submit, wait for a timeout%s\n", step->min_wait ? " with min_wait" : "");
		break;
	}
	for (int i = 0; i < step->nr; i++)
		op_print(&step->ops[i]);
}

void program_print(const struct program *program)
{
	printf("#   ring: setup flags 0x%x, SQ %u, CQ %u\n", program->setup_flags,
	       program->sq_entries, program->cq_entries);
	for (int i = 0; i < program->nr; i++)
		step_print(i, &program->steps[i]);
}

static void entry_print(const char *side, const struct entry *entry)
{
	printf("#   %-8s step %u: ", side, entry->step);
	switch (entry->kind) {
	case ENTRY_ENTER:
		printf("call returned %s\n", result_name(entry->res));
		break;
	case ENTRY_EXPIRE:
		printf("the wait %s\n", entry->res ? "was ended" : "lasted");
		break;
	case ENTRY_CQE:
		printf("CQE %llu %s flags 0x%x data 0x%x\n", entry->user_data,
		       result_name(entry->res), entry->flags, entry->data);
		break;
	case ENTRY_STATE:
		printf("tail %d, %u kept, overflow flag 0x%x, overflow and dropped 0x%llx\n",
		       entry->res, entry->data, entry->flags, entry->user_data);
		break;
	}
}

void transcript_print(const struct transcript *transcript)
{
	for (int i = 0; i < transcript->nr; i++)
		entry_print("", &transcript->entries[i]);
}

/* Prints both transcripts, from the step before the first difference. */
void transcripts_print(const struct transcript *expected, const struct transcript *got)
{
	unsigned int same = 0, step = 0;

	while (same < expected->nr && same < got->nr &&
	       !memcmp(&expected->entries[same], &got->entries[same], sizeof(struct entry)))
		same++;
	if (same < expected->nr)
		step = expected->entries[same].step;
	for (int i = 0; i < expected->nr; i++)
		if (expected->entries[i].step + 1 >= step && expected->entries[i].step <= step)
			entry_print("expected", &expected->entries[i]);
	for (int i = 0; i < got->nr; i++)
		if (got->entries[i].step + 1 >= step && got->entries[i].step <= step)
			entry_print("got", &got->entries[i]);
}
