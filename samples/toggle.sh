#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# Turns every pr_debug() site of the running kernel on and off again, and prints the cost.
# Does it first through dynamic debug's own control file, then through miniring's queue.
# Needs miniring.ko loaded, debugfs on /sys/kernel/debug, tracefs on /sys/kernel/tracing,
# and root.
#
# The cost of patching code is the synchronisations of all CPUs. Their number does not
# depend on the load, so it is checked; interrupts and milliseconds depend on it, and are
# only printed.

stock=/proc/dynamic_debug/control
queued=/sys/kernel/debug/miniring/control
stats=/sys/kernel/debug/miniring/stats
tracing=/sys/kernel/tracing
instance=$tracing/instances/miniring_toggle

fail() { echo "toggle.sh: $*" >&2; exit 1; }

# Prints the function-call interrupts so far, on the busiest CPU except this script's (0).
ipis() {
	awk '/CAL:/ { for (i = 3; $i ~ /^[0-9]+$/; i++) if ($i > max) max = $i }
	     END { print max + 0 }' /proc/interrupts
}

# Prints the milliseconds since boot, in steps of ten.
now() { awk '{ printf "%d\n", $1 * 1000 }' /proc/uptime; }

sites_on() { grep -c '=p' $stock; }

# Counts calls of do_sync_core(), which each CPU makes once for each synchronisation.
# Without kprobes, the kernel's own synchronisations are not counted.
start_counting() {
	mkdir $instance || fail "no tracefs on $tracing"
	trap stop_counting EXIT
	echo 1 >$instance/events/miniring/static_key_apply/enable || fail "no tracepoints"
	echo 'p:miniring_toggle/sync do_sync_core' 2>/dev/null >>$tracing/kprobe_events &&
		echo 1 >$instance/events/miniring_toggle/sync/enable
}

stop_counting() {
	[ ! -e $instance/events/miniring_toggle ] ||
		echo 0 >$instance/events/miniring_toggle/sync/enable
	rmdir $instance
	echo '-:miniring_toggle/sync' 2>/dev/null >>$tracing/kprobe_events
}

# Prints the synchronisations so far, of all callers; nothing if they are not counted.
syncs() {
	awk -v cpus="$cpus" '$1 == "sync" { print int($2 / cpus) }' $tracing/kprobe_profile \
		2>/dev/null
}

# Prints the jump entries and the synchronisations of the queue's applies, and the maximum
# of the latter: three for each 256 entries or fewer.
applied() {
	awk '/static_key_apply:/ {
		for (i = 1; i <= NF; i++)
			if (split($i, field, "=") == 2)
				value[field[1]] = field[2]
		entries = value["entries"]
		syncs += value["syncs"]
		bound += 3 * int((entries + 255) / 256)
	}
	END { print entries + 0, syncs + 0, bound + 0 }' $instance/trace
}

cost() { # FILE ON OFF
	ipis=$(ipis)
	syncs=$(syncs)
	start=$(now)
	echo "$2" >"$1" || exit 1
	on=$(now)
	sites=$(sites_on)
	middle=$(now)
	echo "$3" >"$1" || exit 1
	ms=$((on - start + $(now) - middle))
	ipis=$(($(ipis) - ipis))
	[ -z "$syncs" ] || syncs=$(($(syncs) - syncs))
	[ "$(sites_on)" = 0 ] || fail "some sites are still on"
}

row() { printf '%-34s %6s %8s %6s %13s %6s\n' "$@"; }

taskset -p 1 $$ >/dev/null || exit 1
cpus=$(grep -c ^processor /proc/cpuinfo)
echo -p >$stock || exit 1
start_counting

cost $stock '+p' '-p'
stock_sites=$sites stock_syncs=$syncs stock_ipis=$ipis stock_ms=$ms
echo >$instance/trace
cost $queued 'kernel +p' 'kernel -p'
# shellcheck disable=SC2046 # three numbers
set -- $(applied)

row "all sites on, then off, $cpus CPUs" sites entries syncs "IPIs per CPU" ms
row "stock: one key at a time" "$stock_sites" "$1" "${stock_syncs:--}" "$stock_ipis" "$stock_ms"
row "queued: one apply for all" "$sites" "$1" "$2" "$ipis" "$ms"

[ "$sites" = "$stock_sites" ] || fail "the two did not turn on the same sites"
if [ "$(cat "${stats%/*}/backend")" = batched ]; then
	[ "$2" -gt 0 ] || fail "the queue changed no code"
	[ "$2" -le "$3" ] || fail "$2 synchronisations, where $3 are enough"
	[ -z "$stock_syncs" ] || [ "$2" -lt "$stock_syncs" ] ||
		fail "as many synchronisations as without the queue"
fi
