/* SPDX-License-Identifier: GPL-2.0 */
/* Input of bindgen. rust/bindings/parameters selects the items. */

#include <linux/dynamic_debug.h>
#include <linux/eventfd.h>
#include <linux/io_uring_types.h>
#include <linux/jump_label.h>
#include <linux/kprobes.h>
#include <linux/kthread.h>
#include <linux/percpu-refcount.h>
#include <linux/vmalloc.h>
#include <linux/poll.h>
#include <trace/events/miniring.h>
#include <uapi/linux/io_uring.h>
#include <uapi/linux/miniring.h>

#include "../helpers/helpers.h"

/* Constants that bindgen cannot evaluate from their macros. */
#define CONSTANT(name) static const __u32 CONST_##name = (__force __u32)(name)

CONSTANT(EPOLLERR);
CONSTANT(EPOLLET);
CONSTANT(EPOLLEXCLUSIVE);
CONSTANT(EPOLLHUP);
CONSTANT(EPOLLIN);
CONSTANT(EPOLLNVAL);
CONSTANT(EPOLLONESHOT);
CONSTANT(EPOLLOUT);
CONSTANT(EPOLLPRI);
CONSTANT(EPOLLRDHUP);
CONSTANT(EPOLLRDNORM);
CONSTANT(EPOLLWRNORM);
CONSTANT(EPOLL_URING_WAKE);
CONSTANT(FMODE_NOWAIT);
CONSTANT(FMODE_PATH);
CONSTANT(FMODE_READ);
CONSTANT(FMODE_STREAM);
CONSTANT(FMODE_WRITE);
CONSTANT(FOP_BUFFER_WASYNC);
CONSTANT(IOCB_DIRECT);
CONSTANT(IOCB_HIPRI);
CONSTANT(IOCB_NOWAIT);
CONSTANT(IOCB_WRITE);
CONSTANT(IOSQE_ASYNC);
CONSTANT(IOSQE_BUFFER_SELECT);
CONSTANT(IOSQE_CQE_SKIP_SUCCESS);
CONSTANT(IOSQE_FIXED_FILE);
CONSTANT(IOSQE_IO_DRAIN);
CONSTANT(IOSQE_IO_HARDLINK);
CONSTANT(IOSQE_IO_LINK);
CONSTANT(POLLFREE);
CONSTANT(RWF_NOWAIT);
