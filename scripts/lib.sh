# SPDX-License-Identifier: GPL-2.0
# Shared by the scripts of this folder: messages, progress, and the cache
# outside the checkout. Sourced, never run.

set -euo pipefail

say() { printf '%s\n' "miniring: $*" >&2; }
die() { say "error: $*"; exit 1; }

# Neither make nor Kbuild can quote a space or a colon in a path.
buildable() { # PATH
	case $1 in
	*[[:space:]:]*)
		die "Kbuild takes no space and no colon in a path: move or rename '$1'"
		;;
	esac
}

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
CACHE=${XDG_CACHE_HOME:-${HOME:+$HOME/.cache}}/miniring
BUILD=$TOP/build
export TOP CACHE BUILD

buildable "$TOP"
if [ -z "${XDG_CACHE_HOME-}${HOME-}" ]; then
	die "set HOME or XDG_CACHE_HOME: the toolchain and the kernels are kept there"
fi
case $CACHE in
/*) buildable "$CACHE" ;;
*) die "XDG_CACHE_HOME or HOME is a relative path: set it to an absolute one, not '$CACHE'" ;;
esac
if [ -L "$BUILD" ] || [ -e "$BUILD" ]; then
	[ -d "$BUILD" ] || die "$BUILD is no folder, nor a link to one: make one, or remove it"
	buildable "$(readlink -f "$BUILD")"
fi

# step TEXT LOG COMMAND...: run a long command with its output in LOG; print its
# start, its progress every ten seconds, and its end.
step() {
	local text=$1 log=$2 start=$SECONDS pid rc=0 shown
	shift 2
	mkdir -p "$(dirname "$log")"
	say "$text ..."
	("$@") >"$log" 2>&1 </dev/null &
	pid=$!
	shown=$SECONDS
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.2
		if ((SECONDS - shown >= 10)); then
			shown=$SECONDS
			say "  $((SECONDS - start)) s: $(tail -c 400 "$log" | tr '\r' '\n' |
				tail -n 1 | sed 's|[a-z+]*://[^ ]* *||g' | cut -c 1-90)"
		fi
	done
	wait "$pid" || rc=$?
	if ((rc)); then
		tail -n 15 "$log" >&2
		die "$text failed (status $rc); the whole log: $log"
	fi
	say "$text: done in $((SECONDS - start)) s"
}

# digest STRING...: a short key for a cache entry made from these inputs.
digest() { printf '%s\0' "$@" | sha256sum | cut -c 1-12; }

# An entry of the cache is made under a temporary name and renamed when it is
# complete. So a directory with the final name was complete once. The required
# files are checked too, so that an entry damaged later is replaced.
entry_whole() { # DIR FILE...
	local dir=$1 file
	shift
	[ -e "$dir/.complete" ] || return 1
	for file; do
		[ -s "$dir/$file" ] || return 1
	done
}

# Succeeds if an entry must be made. Takes a lock, held until the calling shell
# ends, so that entries are made one at a time.
entry_missing() { # DIR FILE...
	local lock
	! entry_whole "$@" || return 1
	mkdir -p "$CACHE"
	exec {lock}>"$CACHE/lock-$(basename "$1")"
	flock -n "$lock" || { say "waiting for another setup to finish"; flock "$lock"; }
	! entry_whole "$@"
}

entry_begin() { # DIR: prints the temporary name
	rm -rf --one-file-system "$1" "$1.partial"
	mkdir -p "$1.partial"
	printf '%s\n' "$1.partial"
}

entry_finish() { # DIR
	touch "$1.partial/.complete"
	mv "$1.partial" "$1"
}

# Inside the toolchain root nothing more is mounted, and unshare would fail,
# because "/" is not a mount point there.
need_root() {
	[ "$(id -u)" = 0 ] || die "must run as root: the toolchain lives in a chroot"
	[ -n "${MINIRING_INSIDE-}" ] || unshare --mount --propagation private true 2>/dev/null ||
		die "this root may not mount (no CAP_SYS_ADMIN): give the container that" \
			"capability, or use a machine or VM"
}

need_disk() { # GIB
	local free
	mkdir -p "$CACHE"
	free=$(df --output=avail -k "$CACHE" | tail -n 1)
	((free >= $1 * 1024 * 1024)) ||
		die "$CACHE has $((free / 1024 / 1024)) GiB free, setting up needs $1"
}
