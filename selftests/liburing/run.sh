#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# run.sh io_uring|miniring|record SECONDS TEST...: run tests of liburing, or other programs
# of /miniring, in an empty folder and no longer than SECONDS each. What a test prints
# comes between "::begin TEST" and "::end TEST STATUS"; record has between them, on
# io_uring, one ":: KIND VALUES" for each thing that the test asked of io_uring.

backend=$1 limit=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
tracing=/sys/kernel/tracing

# What io_uring's tracepoints do not tell, from the registers and memory that a
# function of the kernel's starts with: on x86-64 a prep function has the request in di
# and the SQE in si, a system call its registers' place in di.
probes="
p:miniring/msg_ring io_msg_ring_prep command=+16(%si):u64
p:miniring/enter __x64_sys_io_uring_enter flags=+56(%di):u32 min_wait=+u12(+72(%di)):u32
"
# KIND EVENT KEYS
recorded="
op io_uring/io_uring_submit_req opcode,flags
setup io_uring/io_uring_create flags
register io_uring/io_uring_register opcode
msg_ring miniring/msg_ring command
enter miniring/enter flags,min_wait
"

record_start() {
	echo "$probes" | while read -r probe; do
		[ -z "$probe" ] || echo "$probe" >>$tracing/kprobe_events || exit 1
	done || exit 1
	echo "$recorded" | while read -r _ event keys; do
		[ -z "$event" ] ||
			echo "hist:keys=$keys:size=4096" >"$tracing/events/$event/trigger" || exit 1
	done || exit 1
}

record_clear() {
	echo "$recorded" | while read -r _ event keys; do
		[ -z "$event" ] ||
			echo "hist:keys=$keys:size=4096:clear" >>"$tracing/events/$event/trigger"
	done
}

record_print() {
	echo "$recorded" | while read -r kind event _; do
		[ -z "$event" ] ||
			sed -n "s/^{ \(.*\) } hitcount:.*/:: $kind \1/p" \
				"$tracing/events/$event/hist"
	done
}

# Processes that a test left behind are no part of the next one.
end_leftovers() {
	for process in /proc/[0-9]*; do
		case $(readlink "$process/exe") in
		"$here"/tests/*) kill -KILL "${process#/proc/}" && sleep 0.2 ;;
		esac
	done
}

[ "$backend" != record ] || record_start || exit 1
for test; do
	folder=/tmp/liburing
	mkdir -p $folder && cd $folder || exit 1
	program=$here/tests/$test.t
	[ -e "$program" ] || program=$here/$test
	echo "::begin $test"
	[ "$backend" != record ] || record_clear
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
	[ "$backend" != record ] || record_print
	echo "::end $test $status"
	cd / && rm -rf $folder
done
