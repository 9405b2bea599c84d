/* SPDX-License-Identifier: GPL-2.0 */
/* Input of bindgen; rust/bindings/parameters says what is taken from it. */

#include <linux/dynamic_debug.h>
#include <linux/eventfd.h>
#include <linux/io_uring_types.h>
#include <linux/jump_label.h>
#include <linux/kprobes.h>
#include <linux/percpu-refcount.h>
#include <linux/vmalloc.h>
#include <uapi/linux/eventpoll.h>
#include <uapi/linux/io_uring.h>
#include <uapi/linux/miniring.h>

#include "../helpers/helpers.h"
