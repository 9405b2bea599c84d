#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# In the VM of `make profile-keys`: prints the instructions per key of an apply of 256 to
# 100,000 keys, by miniring's tracepoints. Needs a clock that counts instructions
# (--icount). The keys are those of samples/many_keys.c.

trace=/sys/kernel/tracing
insmod miniring.ko && insmod miniring_many_keys.ko || exit 1
echo 10000 >$trace/buffer_size_kb
echo 1 >$trace/events/miniring/enable
# Wait until the kernel is idle after boot: its work would be counted.
sleep 30

instructions() { # KEYS on|off
	echo >$trace/trace
	echo "write begins" >$trace/trace_marker
	echo "queued $2 $1" >/sys/kernel/debug/miniring_many_keys || exit 1
	echo "write ends" >$trace/trace_marker
	awk -v keys="$1" -v state="$2" '
		{ for (i = 1; i < NF; i++) if ($i ~ /^[0-9]+\.[0-9]+:$/) now = $i + 0 }
		/write begins/ { begin = now }
		/write ends/ { end = now }
		/static_key_apply:/ { sub(/.*ns=/, ""); apply += $0 }
		/static_key_batch:/ { sub(/.*ns=/, ""); batches += $0; count++ }
		END {
			printf "%8d %4s %8d %10.0f %10.0f %10.0f %10.0f\n", keys, state, count,
				((end - begin) * 1e9 - apply) / keys, (apply - batches) / keys,
				batches / keys, (end - begin) * 1e9 / keys
		}' $trace/trace
}

echo "instructions a key, $(uname -r), 1 CPU"
printf "%8s %4s %8s %10s %10s %10s %10s\n" keys "" batches requests planning batches all
for keys in 256 1024 4096 16384 65536 100000; do
	instructions $keys on
	instructions $keys off
done
rmmod miniring_many_keys && rmmod miniring
