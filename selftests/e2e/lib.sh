# SPDX-License-Identifier: Apache-2.0
# Sourced by the end-to-end tests, which run in the emulated machine in an
# empty folder of the mounted namespace ($TEST_DIR).
# shellcheck shell=bash

set -euo pipefail
. /inject/lib.sh

# Says where a command failed; a bare `exit status 1` helps nobody.
trap 'echo "$BASH_SOURCE:$LINENO: failed: $BASH_COMMAND" >&2' ERR

LONG=${ORCH_LONG:-0}

# The seed of the run and of this test: the same seed repeats the test.
SEED=${ORCH_SEED:-1}

note() {
	printf '%s\n' "$*"
}

fail() {
	printf 'FAIL: %s\n' "$*" >&2
	exit 1
}

skip() {
	printf 'SKIP: %s\n' "$*"
	exit 4
}

# is ACTUAL EXPECTED WHAT
is() {
	[ "$1" = "$2" ] || fail "$3: got '$1', want '$2'"
}

# refused ERRTEXT COMMAND...: COMMAND must fail and say ERRTEXT.
refused() {
	local text=$1 out
	shift
	if out=$("$@" 2>&1); then
		fail "'$*' succeeded, want an error with '$text'"
	fi
	[[ $out == *"$text"* ]] ||
		fail "'$*' failed with '$out', want an error with '$text'"
}

# long_or LONG SHORT: how much to do.
long_or() {
	if [ "$LONG" = 1 ]; then echo "$1"; else echo "$2"; fi
}

# upcalls [KIND]: how many requests of that kind (or of all) the kernel has
# sent to the daemon since the mount.
upcalls() {
	orchctl upcalls --json | python3 -c '
import json, sys
kind = sys.argv[1] if len(sys.argv) > 1 else None
kinds = json.load(sys.stdin)["upcalls"]
print(sum(v for k, v in kinds.items() if kind in (None, k)))' "$@"
}

# costs MAX COMMAND...: COMMAND makes at most MAX upcalls.
costs() {
	local max=$1 before after
	shift
	before=$(upcalls)
	"$@"
	after=$(upcalls)
	[ $((after - before)) -le "$max" ] || fail \
		"'$*' made $((after - before)) upcalls, the budget is $max"
}

fsck_clean() {
	orchctl fsck || fail "orchctl fsck found faults"
}
