#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 400
# Rules of POSIX and Linux, on orchfs and, as the measure, on the XFS below.
. "$(dirname "$0")/lib.sh"

skipped() {
	sed -n 's/^ok [0-9]* - \(.*\) # SKIP$/\1/p' "$1" | sort
}

measure=$(mktemp -d "$ORCH_VOLUME_MNT/posix.XXXXXX")
at_exit "rm -rf $measure"
posixcheck "$measure" >/tmp/posix.xfs ||
	{ grep -v '^ok' /tmp/posix.xfs; fail "a rule does not hold on XFS"; }

posixcheck "$TEST_DIR" | tee /tmp/posix.orch |
	grep --line-buffered -Ev '^ok [0-9]+ - [^#]*$' || :
grep -q '^# [0-9]* passed, 0 failed' /tmp/posix.orch ||
	fail "rules do not hold"
is "$(comm -13 <(skipped /tmp/posix.xfs) <(skipped /tmp/posix.orch))" "" \
	"rules that were skipped though XFS keeps them"
fsck_clean
