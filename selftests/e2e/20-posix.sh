#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 240
# Rules of POSIX and Linux, on orchfs and, as the measure, on the XFS below.
. "$(dirname "$0")/lib.sh"

# what no issue asks for
optional='rename: WHITEOUT|handle: name_to_handle_at'

measure=$(mktemp -d "$ORCH_VOLUME_MNT/posix.XXXXXX")
at_exit "rm -rf $measure"
posixcheck "$measure" >/tmp/posix.xfs ||
	{ grep -v '^ok' /tmp/posix.xfs; fail "a rule does not hold on XFS"; }

posixcheck "$TEST_DIR" | tee /tmp/posix.orch |
	grep --line-buffered -Ev '^ok [0-9]+ - [^#]*$' || :
grep -q '^# [0-9]* passed, 0 failed' /tmp/posix.orch ||
	fail "rules do not hold"
! grep 'SKIP$' /tmp/posix.orch | grep -Ev "$optional" ||
	fail "rules were skipped that XFS keeps"
fsck_clean
