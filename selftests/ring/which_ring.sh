#!/bin/sh
# SPDX-License-Identifier: GPL-2.0
# What samples/which-ring.sh says about programs that make a ring: one that the preload
# library is loaded into, and one that drops LD_PRELOAD because it is set-user-ID. Needs
# the stage of the VM: its user, and a dynamic program.

here=$(cd "$(dirname "$0")/.." && pwd)
program=/tmp/which_ring.$$
nr=0 failed=0

echo "TAP version 13"
if [ ! -e "$here/which-ring.sh" ] || ! grep -q '^user:' /etc/passwd; then
	echo "1..0 # SKIP not in the VM"
	exit 4
fi
echo "1..4"

# The command's standard error has a line like this pattern, and it ends with this status.
says() { # NAME PATTERN STATUS COMMAND...
	name=$1 pattern=$2 expected=$3
	shift 3
	nr=$((nr + 1))
	said=$("$here/which-ring.sh" "$@" 2>&1 >/dev/null </dev/null)
	status=$?
	if [ $status = "$expected" ] && echo "$said" | grep -qE "^which-ring.sh: $pattern\$"; then
		echo "ok $nr $name"
	else
		echo "# status $status: $said"
		echo "not ok $nr $name"
		failed=1
	fi
}

cp "$here/crate-ring" $program
chown 0:0 $program
says preloaded_program_runs_on_miniring 'which_ring.*-[0-9]+: miniring, [0-9]+ rings?' 0 $program
chmod 4755 $program
says set_user_id_program_runs_on_io_uring 'which_ring.*-[0-9]+: io_uring, [0-9]+ rings?' 0 \
	su user -c $program
says program_without_rings_is_told_of 'no ring was made' 0 true
says exit_status_is_that_of_the_program 'no ring was made' 1 false
rm -f $program
exit $failed
