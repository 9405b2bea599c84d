/* SPDX-License-Identifier: GPL-2.0 */
/* C for what only C can reach: inline functions and macros. No decisions. */
#ifndef MINIRING_HELPERS_H
#define MINIRING_HELPERS_H

#include <linux/types.h>

bool miniring_eventfd_signal_allowed(void);

#endif /* MINIRING_HELPERS_H */
