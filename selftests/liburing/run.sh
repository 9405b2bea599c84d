#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# run.sh io_uring|miniring SECONDS TEST...: run tests of liburing, or other programs of
# /miniring, at most SECONDS each. The folder of a test has only exec-target.t, which some
# tests execute. The output of a test comes between "::begin TEST" and "::end TEST STATUS".
# If the kernel has histograms of events, a line ":: RING KIND VALUES" follows there for each
# request, ring or registration that the test made on io_uring or miniring.

backend=$1 limit=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
tracing=/sys/kernel/tracing

# Probes for values that io_uring's tracepoints lack, from the registers at the start of a
# kernel function. On x86-64 a prep function has the request in di and the SQE in si. A
# system call has the address of its registers in di.
probes="
p:liburing/msg_ring io_msg_ring_prep command=+16(%si):u64
p:liburing/enter __x64_sys_io_uring_enter flags=+56(%di):u32 min_wait=+u12(+72(%di)):u32
p:liburing/register __x64_sys_io_uring_register fd=+112(%di):s32 opcode=+104(%di):u32
"
# RING KIND EVENT KEYS [FILTER]. io_uring's event of a registration needs a ring.
recorded="
io_uring op io_uring/io_uring_submit_req opcode,flags
io_uring setup io_uring/io_uring_create flags
io_uring register io_uring/io_uring_register opcode,ret
io_uring register liburing/register opcode if fd == -1
io_uring msg_ring liburing/msg_ring command
io_uring enter liburing/enter flags,min_wait
miniring op miniring/miniring_submit_req opcode,flags
miniring setup miniring/miniring_create flags
miniring register miniring/miniring_register opcode,ret
miniring refused miniring/miniring_complete res if res == -22
"

each_recorded() { # FUNCTION: called with a line's fields, the filter as one
	echo "$recorded" | while read -r ring kind event keys filter; do
		[ -z "$ring" ] || "$1" "$ring" "$kind" "$event" "$keys" "$filter" || exit 1
	done
}

hist_start() { echo "hist:keys=$4:size=4096 $5" >"$tracing/events/$3/trigger"; }
hist_clear() { echo "hist:keys=$4:size=4096:clear $5" >>"$tracing/events/$3/trigger"; }
hist_stop() { echo "!hist:keys=$4:size=4096 $5" >>"$tracing/events/$3/trigger"; }
hist_print() {
	sed -n "s/^{ \(.*\) } hitcount: *\([0-9]*\).*/:: $1 $2 \1, hits: \2/p" \
		"$tracing/events/$3/hist"
}

record_start() {
	[ -e $tracing/kprobe_events ] && [ -e $tracing/events/io_uring/io_uring_create/hist ] ||
		return
	recording=yes
	grep -q ':liburing/enter ' $tracing/kprobe_events ||
		echo "$probes" | while read -r probe; do
			[ -z "$probe" ] || echo "$probe" >>$tracing/kprobe_events || exit 1
		done || exit 1
	each_recorded hist_start || exit 1
}

# Processes that a test left behind are no part of the next one.
end_leftovers() {
	for process in /proc/[0-9]*; do
		case $(readlink "$process/exe") in
		"$here"/tests/*)
			kill -KILL "${process#/proc/}"
			while readlink "$process/exe" >/dev/null; do
				sleep 0.1
			done
			;;
		esac
	done
}

recording=
record_start
for test; do
	folder=/tmp/liburing
	mkdir -p $folder && cd $folder || exit 1
	program=$here/tests/$test.t
	[ -e "$program" ] || program=$here/$test
	ln -s "$here/tests/exec-target.t" exec-target.t
	echo "::begin $test"
	[ -z "$recording" ] || each_recorded hist_clear
	if [ "$backend" = miniring ]; then
		timeout -s KILL "$limit" env LD_PRELOAD="$here/miniring-preload.so" \
			"$program" </dev/null >/tmp/output 2>&1
	else
		timeout -s KILL "$limit" "$program" </dev/null >/tmp/output 2>&1
	fi
	status=$?
	end_leftovers
	head -c 100000 /tmp/output | tail -n 15
	echo
	[ -z "$recording" ] || each_recorded hist_print
	echo "::end $test $status"
	cd / && rm -rf $folder
done
# The module could go with its events still asked for, which the kernel takes for a bug.
[ -z "$recording" ] || each_recorded hist_stop
