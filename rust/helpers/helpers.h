/* SPDX-License-Identifier: GPL-2.0 */
/* C for what only C can reach: inline functions and macros. No decisions. */
#ifndef MINIRING_HELPERS_H
#define MINIRING_HELPERS_H

#include <linux/signal_types.h>
#include <linux/types.h>

struct percpu_ref;
struct wait_queue_head;

bool miniring_eventfd_signal_allowed(void);

bool miniring_percpu_ref_tryget_live(struct percpu_ref *ref);
bool miniring_percpu_ref_is_dying(struct percpu_ref *ref);
void miniring_percpu_ref_put(struct percpu_ref *ref);

void miniring_push_sigmask(sigset_t *mask);
void miniring_pop_sigmask(void);

bool miniring_wq_has_sleeper(struct wait_queue_head *wq);
void miniring_wake_up_input(struct wait_queue_head *wq);

#endif /* MINIRING_HELPERS_H */
