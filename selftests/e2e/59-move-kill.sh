#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 900
# The daemon dies at each step of a move.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/move.lib"

slow_volume 500

mkdir tree
python3 -I - "$SEED" <<'EOP'
import os, random, sys
r = random.Random(int(sys.argv[1]))
for d in range(8):
    os.makedirs(f"tree/{d}/sub")
    for f in range(10):
        with open(f"tree/{d}/{'sub/' if f % 2 else ''}{f}", "wb") as o:
            o.write(r.randbytes(r.choice((0, 1, 100, 5000, 70000, 300000))))
EOP
(cd tree && find . -type f -print0 | sort -z | xargs -0 sha256sum) >sums
# A shell that begins looks at its folder and at the one before, which would
# wait for the daemon. Nor may the daemon inherit a file of its own.
start() {
	(cd / && unset OLDPWD && exec orch-start 5<&-)
}

to=slow
n=$(orchctl jobs list --json | grep -c '"job":') || :
for point in begun made:7 copied verified switched:7 swapped:7 retired:7; do
	orch-kill --no-restart
	ORCHD_FAULT=move-$point start
	daemon=$(daemon_pid)
	cat tree/*/sub/1 | sha256sum >before
	exec 5<tree/3/4
	# it may die before it has answered
	orchctl move --detach tree "$to" || :
	wait_until 60 "the daemon to die at $point" daemon_gone "$daemon"
	cat tree/*/sub/1 | sha256sum | cmp - before
	start
	n=$((n + 1))
	soon 120 orchctl jobs watch "$n" >/dev/null
	sha256sum - <&5 >/dev/null
	exec 5<&-
	drop_caches
	(cd tree && sha256sum --quiet -c ../sums)
	is "$(places tree/3/4)" "$to valid" "where tree/3/4 is after $point"
	orchctl sync
	fsck_clean
	[ "$to" = slow ] && to=$fast || to=slow
done
