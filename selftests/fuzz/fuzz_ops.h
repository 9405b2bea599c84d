/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Declarations shared by the files of the fuzzer's operations. An operation do_*() runs one @op of
 * a program for @w.
 */
#ifndef MINIRING_SELFTEST_FUZZ_OPS_H
#define MINIRING_SELFTEST_FUZZ_OPS_H

#include "fuzz.h"

#define PAGE 4096UL

/* fuzz_worker.c: shared parts of the operations. */

void begin(struct worker *w);

#define CALL(w, call) (begin(w), (call))

unsigned int number(unsigned int gene);
unsigned int entries(unsigned int gene);
unsigned long place(struct worker *w, unsigned int gene, const void *obj, size_t size);

struct slot *slot_of(struct worker *w, const struct op *op);
int slot_fd(const struct slot *s);
void slot_set(struct worker *w, struct slot *s, int fd);

#define ALLOWED(...) ((const int[]){ __VA_ARGS__, 0 })

void expect(struct worker *w, const char *what, int ret, const int *allowed);
int result(long ret);
void arm(struct worker *w, unsigned int nth);

/* fuzz_files.c */

void do_open(struct worker *w, const struct op *op);
void do_close(struct worker *w, const struct op *op);
void do_dup(struct worker *w, const struct op *op);
void do_pass(struct worker *w, const struct op *op);
void do_other(struct worker *w, const struct op *op);
void do_map(struct worker *w, const struct op *op);
void do_map_oddly(struct worker *w, const struct op *op);
void do_unmap(struct worker *w, const struct op *op);

/* fuzz_sqes.c */

void do_prepare(struct worker *w, const struct op *op);
void do_reap(struct worker *w, const struct op *op);
void do_scribble(struct worker *w, const struct op *op);

/* fuzz_calls.c */

void do_setup(struct worker *w, const struct op *op);
void do_submit(struct worker *w, const struct op *op);
void do_short_submit(struct worker *w, const struct op *op);
void do_burst(struct worker *w, const struct op *op);
void do_wait(struct worker *w, const struct op *op);
void do_enter_oddly(struct worker *w, const struct op *op);
void do_register(struct worker *w, const struct op *op);
void do_register_oddly(struct worker *w, const struct op *op);
void do_buffers(struct worker *w, const struct op *op);
void do_enable(struct worker *w, const struct op *op);
void do_eventfd(struct worker *w, const struct op *op);
void do_poll(struct worker *w, const struct op *op);
void do_epoll(struct worker *w, const struct op *op);

/* fuzz_control.c */

void do_fdinfo(struct worker *w, const struct op *op);
void do_control_read(struct worker *w, const struct op *op);
void do_control(struct worker *w, const struct op *op);

#endif /* MINIRING_SELFTEST_FUZZ_OPS_H */
