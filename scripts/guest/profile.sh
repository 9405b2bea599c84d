#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# In the VM of `make profile`: measures turning on every pr_debug() site of the kernel.
# Does it by dynamic debug's control file and by miniring's, in one boot. A run without
# the function tracer measures the total and miniring's tracepoints. A run with it
# measures the share of some functions of the kernel. Needs a kernel with the function
# graph tracer.

cd /sys/kernel/tracing || exit 1
functions="__text_poke smp_text_poke_batch_finish smp_text_poke_sync_each_cpu
	smp_text_poke_batch_add arch_jump_label_transform_queue jump_label_lock"
stock=/proc/dynamic_debug/control
queued=/sys/kernel/debug/miniring/control

# Prints the trace of writing QUERY to FILE, between two markers.
trace_of() { # FILE QUERY
	echo >trace
	echo "write begins" >trace_marker
	echo "$2" >"$1" || exit 1
	echo "write ends" >trace_marker
	cat trace
}

whole() { # FILE QUERY
	trace_of "$@" | awk '
		{ for (i = 1; i < NF; i++) if ($i ~ /^[0-9]+\.[0-9]+:$/) now = $i + 0 }
		/write begins/ { begin = now }
		/write ends/ { end = now }
		/static_key_apply:/ { sub(/.*ns=/, ""); apply += $0 }
		/static_key_batch:/ { sub(/.*ns=/, ""); batches += $0; count++ }
		END {
			printf "  %-42s %8s %10.1f\n", "the whole write", "", (end - begin) * 1e3
			if (!count)
				exit
			printf "  %-42s %8s %10.1f\n", "matching and flags: not in the apply", "",
				(end - begin) * 1e3 - apply / 1e6
			printf "  %-42s %8s %10.1f\n", "planning: in the apply, not in a batch", "",
				(apply - batches) / 1e6
			printf "  %-42s %8d %10.1f\n", "batches", count, batches / 1e6
		}'
}

parts() { # FILE QUERY
	echo function_graph >current_tracer
	trace_of "$@" | awk '
		/write begins/ { inside = 1 }
		/write ends/ { inside = 0 }
		inside && / us  *\|/ {
			name = ""
			if (match($0, /[a-z_0-9]+\(\);/))
				name = substr($0, RSTART, RLENGTH - 3)
			else if (match($0, /\} \/\* [a-z_0-9]+ \*\//))
				name = substr($0, RSTART + 5, RLENGTH - 8)
			if (name == "")
				next
			us = $0
			sub(/ us .*/, "", us)
			sub(/.*[^0-9.]/, "", us)
			calls[name]++
			total[name] += us
		}
		END {
			for (name in calls)
				printf "  %-42s %8d %10.1f\n", name, calls[name], total[name] / 1e3
		}' | sort -k 3 -n -r
	echo nop >current_tracer
}

insmod /miniring/miniring.ko || exit 1
echo 40000 >buffer_size_kb
echo 0 >options/overwrite
echo 1 >options/funcgraph-tail
echo 1 >events/miniring/enable
grep -q function_graph available_tracers || { echo "no function_graph tracer" >&2; exit 1; }
known=$(for name in $functions; do grep -x "$name" available_filter_functions; done)
echo "$(uname -r), $(grep -c ^processor /proc/cpuinfo) CPUs; $(grep -c . $stock) lines in $stock"
printf "%-44s %8s %10s\n" "turning all of them on" calls ms
for round in 1 2; do
	echo -p >$stock
	echo "stock, round $round"
	whole $stock +p
	echo -p >$stock
	echo "queued, round $round"
	whole $queued "kernel +p"
done
echo "$known" >set_ftrace_filter
echo "The same with these functions traced, which makes them slower:"
echo -p >$stock
echo "stock"
parts $stock +p
echo -p >$stock
echo "queued"
parts $queued "kernel +p"
echo -p >$stock
cd /
rmmod miniring
