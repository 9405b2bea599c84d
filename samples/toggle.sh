#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Turns every pr_debug() site of the running kernel on and off again, first as
# the kernel does it, then through miniring's queue, and prints what each cost.
# Needs miniring.ko loaded, debugfs on /sys/kernel/debug, and root.

stock=/proc/dynamic_debug/control
queued=/sys/kernel/debug/miniring/control
stats=/sys/kernel/debug/miniring/stats

# Function-call interrupts so far, on the busiest CPU but this script's (0).
ipis() {
	awk '/CAL:/ { for (i = 3; $i ~ /^[0-9]+$/; i++) if ($i > max) max = $i }
	     END { print max + 0 }' /proc/interrupts
}

# Milliseconds since boot, in steps of ten.
now() { awk '{ printf "%d\n", $1 * 1000 }' /proc/uptime; }

stat() { awk -v name="$1:" '$1 == name { print $2 }' $stats; }

sites_on() { grep -c '=p' $stock; }

cost() { # FILE ON OFF
	before=$(ipis)
	start=$(now)
	echo "$2" >"$1" || exit 1
	on=$(now)
	sites=$(sites_on)
	middle=$(now)
	echo "$3" >"$1" || exit 1
	ms=$((on - start + $(now) - middle))
	ipis=$(($(ipis) - before))
	[ "$(sites_on)" = 0 ] || { echo "some sites are still on" >&2; exit 1; }
}

taskset -p 1 $$ >/dev/null || exit 1
cpus=$(grep -c ^processor /proc/cpuinfo)
echo -p >$stock

printf '%-34s %6s %8s %14s %8s\n' "all sites on, then off, $cpus CPUs" sites entries \
	"IPIs per CPU" ms
cost $stock '+p' '-p'
stock_ipis=$ipis stock_sites=$sites
entries=$(stat entries)
stock_ms=$ms
cost $queued 'kernel +p' 'kernel -p'
entries=$((($(stat entries) - entries) / 2))
printf '%-34s %6d %8d %14d %8d\n' "stock: one key at a time" "$stock_sites" "$entries" \
	"$stock_ipis" "$stock_ms"
printf '%-34s %6d %8d %14d %8d\n' "queued: one apply for all" "$sites" "$entries" "$ipis" "$ms"

[ "$sites" = "$stock_sites" ] || { echo "the two did not turn on the same sites" >&2; exit 1; }
if [ "$(stat backend)" = batched ]; then
	[ "$ipis" -le 100 ] || { echo "more than 100 IPIs for a queued toggle" >&2; exit 1; }
	[ "$stock_ipis" -gt $((50 * ipis)) ] || { echo "less than 50 times fewer IPIs" >&2; exit 1; }
fi
