#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# long: only
# debug: no: it takes minutes and has the seconds of a clock in it
# vm: --cpus 2
# timeout: 300
# stress-ng's file system stressors, all at once: none fails or is skipped that
# doesn't on XFS.
. "$(dirname "$0")/lib.sh"

# bad FILE: the names of the stressors that failed or were skipped, and how
bad() {
	sed -nE 's/^stress-ng: fail: *\[[0-9]+\] ([^:]+): .*/\1 fails/p
		s/^stress-ng: error: .*\(([^)]+)\) terminated .*/\1 fails/p
		s/^stress-ng: [a-z]+: *\[[0-9]+\] ([^ :]+): .*skip.*/\1 is skipped/p
		s/^stress-ng: warn: .*\(([^)]+)\) aborted early.*/\1 gives up/p' \
		"$1" | sort -u
}

# stress DIR NAME
stress() {
	local status=0
	mkdir "$1"
	(cd "$1" && exec stress-ng --class filesystem --all 1 -t 60 --verify) \
		>"/tmp/$2.log" 2>&1 || status=$?
	note "$2: status $status"
	cut -c 1-200 "/tmp/$2.log"
	is "$(ls -A "$1")" "" "what is left on $2"
	rmdir "$1"
	grep -q 'dispatching hogs: 1 access, ' "/tmp/$2.log" ||
		fail "stress-ng did not begin"
	bad "/tmp/$2.log" >"/tmp/$2.bad"
	# 3: one was skipped
	[ $status = 0 ] || [ $status = 3 ] || [ -s "/tmp/$2.bad" ] ||
		fail "status $status on $2, and no stressor is to blame"
}

xfs=$ORCH_VOLUME_MNT/stress
at_exit "rm -rf $xfs"
stress "$xfs" xfs
stress "$TEST_DIR/stress" orchfs
note "on XFS:" "$(xargs -d '\n' printf ' %s;' </tmp/xfs.bad)"
note "on orchfs:" "$(xargs -d '\n' printf ' %s;' </tmp/orchfs.bad)"
is "$(comm -13 /tmp/xfs.bad /tmp/orchfs.bad)" "" "stressors bad on orchfs only"
fsck_clean
