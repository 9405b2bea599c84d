#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# which-ring.sh COMMAND...: runs COMMAND on miniring by the preload library. Then prints
# on standard error the rings that each process made: a program that drops LD_PRELOAD
# silently runs on io_uring. Exits with the status of COMMAND, or 125 if it cannot trace.
#
# Needs miniring.ko loaded, tracefs on /sys/kernel/tracing, and root.

instance=/sys/kernel/tracing/instances/which-ring-$$

fail() { echo "which-ring.sh: $*" >&2; exit 125; }

[ $# -gt 0 ] || fail "usage: which-ring.sh COMMAND..."
here=$(cd "$(dirname "$0")" && pwd)
mkdir $instance 2>/dev/null || fail "no root, or no tracefs on /sys/kernel/tracing"
trap 'rmdir $instance' EXIT
# Trace this process and its children.
echo 1 >$instance/options/event-fork
echo $$ >$instance/set_event_pid
echo 1 2>/dev/null >$instance/events/miniring/miniring_create/enable ||
	fail "miniring.ko is not loaded"
echo 1 >$instance/events/io_uring/io_uring_create/enable || exit 125

env LD_PRELOAD="$here/miniring-preload.so" "$@"
status=$?

awk '
	match($0, /-[0-9]+ +\[/) {
		process = substr($0, 1, RSTART + RLENGTH - 2)
		gsub(/^ +| +$/, "", process)
		if (/ miniring_create: /)
			made[process ": miniring"]++
		else if (/ io_uring_create: /)
			made[process ": io_uring"]++
	}
	END {
		for (which in made)
			print "which-ring.sh: " which ", " made[which] (made[which] > 1 ? " rings" : " ring")
		if (!length(made))
			print "which-ring.sh: no ring was made"
	}' $instance/trace >&2
exit $status
