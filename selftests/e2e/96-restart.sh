#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: --nodes 2 --cluster --volumes --cpus 2 --timeout 900
# timeout: 400
# The daemon of a node is restarted while another node has written to a file
# there and hasn't synced: nothing is lost, and no writer hears that it may be.
. "$(dirname "$0")/lib.sh"

d2=$(node_dir 2)

online() {
	volume_is nvme0 online && volume_is node2 online
}

cat >/tmp/unsynced.py <<'EOP'
import os, sys, time

fd = os.open(sys.argv[1], os.O_RDWR)
assert os.pwrite(fd, b'before', 0) == 6
open('/tmp/unsynced.wrote', 'w').close()
while not os.path.exists('/tmp/unsynced.go'):
    time.sleep(0.02)
assert os.pwrite(fd, b'behind', 6) == 6
os.fsync(fd)
assert os.pread(fd, 100, 0) == b'beforebehind', os.pread(fd, 100, 0)
EOP

# unsynced FILE NODE: and the daemon of the node where it lies
unsynced() {
	local signal writer
	for signal in TERM KILL; do
		note "SIG$signal at node $2"
		rm -f /tmp/unsynced.wrote /tmp/unsynced.go
		python3 -I /tmp/unsynced.py "$1" &
		writer=$!
		wait_until 30 "the write" test -e /tmp/unsynced.wrote
		at_node "$2" daemon_signal $signal
		at_node "$2" daemon_start
		wait_until 60 "volumes to be online" online
		touch /tmp/unsynced.go
		wait $writer || fail "its writer"
	done
}

wait_until 60 "volumes to be online" online
: >f
is "$(volume_of f)" nvme0 "where f is"
unsynced "$d2/f" 1
: >"$d2/g"
is "$(volume_of g)" node2 "where g is"
unsynced "$PWD/g" 2
