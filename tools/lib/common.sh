# SPDX-License-Identifier: Apache-2.0
# Sourced by the tools: messages and the project's root folder.
# shellcheck shell=bash

shopt -s inherit_errexit

ORCHFS_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
ORCHFS_CACHE=${ORCHFS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/orchfs}
export ORCHFS_ROOT ORCHFS_CACHE

say() {
	printf '%s\n' "$*" >&2
}

# die "what is wrong: remedy"
die() {
	printf '%s: error: %s\n' "${0##*/}" "$*" >&2
	exit 1
}

# run_logged LOGFILE "what it does" COMMAND...: quiet unless it fails. The
# function RUN_LOGGED_WHY, when set, may know a better remedy than to repeat it.
run_logged() {
	local log=$1 what=$2 start=$SECONDS status
	shift 2
	mkdir -p "$(dirname "$log")"
	say "  $what ..."
	# not `if ! "$@"`: that would turn errexit off inside a function
	set +e
	(set -e; "$@") >"$log" 2>&1 </dev/null
	status=$?
	set -e
	if [ $status != 0 ]; then
		say "--- last lines of $log"
		tail -n 25 "$log" >&2
		[ -z "${RUN_LOGGED_WHY:-}" ] || "$RUN_LOGGED_WHY" "$log"
		die "$what failed: see $log, then run the same command again"
	fi
	[ $((SECONDS - start)) -lt 5 ] || say "  $what: $((SECONDS - start)) s"
}

os_field() {
	(. /etc/os-release && eval "printf '%s\n' \"\${$1:-}\"")
}

need_root() {
	[ "$(id -u)" = 0 ] ||
		die "must run as root (packages, chroot): use sudo $0"
}
