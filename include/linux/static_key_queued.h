/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Queued static keys: request any number of changes, then make them all with
 * one machine-wide synchronisation per batch of jump entries.
 *
 * Exported by miniring.ko.
 *
 * Context: process; may sleep. The functions take the queue's mutexes,
 * cpus_read_lock() and the jump label mutex, in this order. The caller must
 * hold none of these locks.
 */
#ifndef _LINUX_STATIC_KEY_QUEUED_H
#define _LINUX_STATIC_KEY_QUEUED_H

#include <linux/jump_label.h>

/**
 * static_key_enable_queued() - requests that a key be on
 * @key: a key that is used as a boolean
 *
 * The branches and static_key_enabled() do not change before
 * static_key_apply_queued(). The last request for a key wins. A request is
 * dropped when the key's module is unloaded. Without memory for the request,
 * the change is made at once.
 *
 * An apply does not change a key that has become reference counted, but counts
 * the request as refused in the statistics.
 *
 * Return: 0; -EBUSY if the key has more than one reference; -ENODEV if the
 * key's module is being unloaded; -EROFS if the key is read-only. A key is
 * read-only if it was sealed at the end of boot (DEFINE_STATIC_KEY_*_RO), or is
 * __ro_after_init in a loaded module. Other requests stay.
 */
int static_key_enable_queued(struct static_key *key);

/**
 * static_key_disable_queued() - requests that a key be off
 * @key: a key that is used as a boolean
 *
 * Works as static_key_enable_queued().
 *
 * Return: as static_key_enable_queued().
 */
int static_key_disable_queued(struct static_key *key);

/**
 * static_key_apply_queued() - makes the requested changes
 *
 * When this function returns, every earlier request of the caller has been
 * carried out, by this call or by a concurrent call.
 */
void static_key_apply_queued(void);

#define static_branch_enable_queued(x)	static_key_enable_queued(&(x)->key)
#define static_branch_disable_queued(x)	static_key_disable_queued(&(x)->key)

#endif /* _LINUX_STATIC_KEY_QUEUED_H */
