#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# In the VM of `make run`: runs the demonstration. Fails if a part of it fails.

say() { printf "\n== %s\n" "$*"; }
say "$(uname -sr), $(grep -c ^processor /proc/cpuinfo) CPUs: unmodified, not built here"
insmod miniring.ko || exit 1
dmesg | sed -n "s/^.*miniring: \(static keys\|kernel sites\)/miniring: \1/p"
say "The ring: io_uring in miniature, its eventfd protected by RCU"
./notify || exit 1
say "Queued static keys: every pr_debug() site of this kernel"
echo "A switched-off message costs a NOP in the kernel code; switching it on rewrites
that instruction, and all CPUs must synchronise: an interrupt (IPI) to each other one,
several times a rewrite. The kernel does this message by message. The queue sorts
the instructions by address and rewrites 256 at a time."
./toggle.sh || exit 1
rmmod miniring || exit 1
say "Unloaded; nothing is left behind"
