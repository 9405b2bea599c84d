/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Queued static keys: request any number of changes, then make them all with
 * one machine-wide synchronisation per batch of jump entries.
 *
 * Exported by miniring.ko. The functions sleep; they take, in this order, a
 * mutex of their own, cpus_read_lock() and the jump label mutex, so none of
 * these may be held by the caller.
 */
#ifndef _LINUX_STATIC_KEY_QUEUED_H
#define _LINUX_STATIC_KEY_QUEUED_H

#include <linux/jump_label.h>

/**
 * static_key_enable_queued() - request that a key be on
 * @key: a key that is used as a boolean
 *
 * Nothing changes before static_key_apply_queued(): the branches and
 * static_key_enabled() stay as they are. The last request for a key wins. A
 * request is forgotten when the module that the key is in goes away. Where
 * there is no memory to remember it, the change is made at once.
 *
 * A key that is reference counted by the time of the apply is left alone, and
 * counted as refused in the statistics.
 *
 * Return: 0; -EBUSY if the key has more than one reference; -EROFS if it was
 * sealed at the end of boot (DEFINE_STATIC_KEY_*_RO). Other requests stay.
 */
int static_key_enable_queued(struct static_key *key);

/**
 * static_key_disable_queued() - request that a key be off
 * @key: a key that is used as a boolean
 *
 * As static_key_enable_queued().
 *
 * Return: as static_key_enable_queued().
 */
int static_key_disable_queued(struct static_key *key);

/**
 * static_key_apply_queued() - make the requested changes
 *
 * Every request that the caller made before is carried out when this returns,
 * by this call or by another one.
 */
void static_key_apply_queued(void);

#define static_branch_enable_queued(x)	static_key_enable_queued(&(x)->key)
#define static_branch_disable_queued(x)	static_key_disable_queued(&(x)->key)

#endif /* _LINUX_STATIC_KEY_QUEUED_H */
