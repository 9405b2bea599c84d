// SPDX-License-Identifier: GPL-2.0
/* The same module as keys_user.c under another name: a third user of the key. */

#include "keys_user.c"
