#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 600
# The channel's socket is full: no request is lost, nor an open file left over.
. "$(dirname "$0")/lib.sh"
at_exit "orch-kill >/dev/null"

JOBS=60
STRAYS=1500		# more than ORCHFS_STRAYS_MAX

# Messages that found no room in a generic netlink socket.
drops() {
	awk '$2 == 16 && $3 != 0 { n += $9 } END { print n + 0 }' \
		/proc/net/netlink
}

# Files without a name that somebody has open, by what the daemon believes.
orphans() {
	orchctl status --json | python3 -I -c '
import json, sys
print(sum(n["orphans"] for n in json.load(sys.stdin)["namespaces"]))'
}

orphans_are() {
	[ "$(orphans)" = "$1" ]
}

mkdirs() {
	local i
	for ((i = 1; i <= JOBS; i++)); do
		mkdir "p$i/$1" &
		jobs[i]=$!
	done
}

mkdirs_done() {
	local i
	for ((i = 1; i <= JOBS; i++)); do
		wait "${jobs[i]}" || fail "mkdir p$i/$1"
		[ -d "p$i/$1" ] || fail "p$i/$1 was not made"
	done
	wait_until 20 "no request under way" kernel_says_is waiting 0
}

for ((i = 1; i <= JOBS; i++)); do
	mkdir "p$i"
done
mkdir strays
for ((i = 0; i < STRAYS; i++)); do
	echo "mknod('strays/$i')"
done | python3 -I -c 'from os import mknod; import sys; exec(sys.stdin.read())'
orch-kill --no-restart
export ORCHD_FAULT=small-socket

note "requests that wait for a daemon with a small socket"
mkdirs a
request_waits $JOBS
soon 60 orch-start
mkdirs_done a

note "requests that find no room"
dropped=$(drops)
daemon=$(daemon_pid)
kill -STOP "$daemon"
mkdirs b
request_waits $JOBS
[ "$(drops)" -gt "$dropped" ] || fail "the socket was never full"
kill -CONT "$daemon"
mkdirs_done b

note "layouts that nobody takes, while the socket is full"
echo kept >unlinked
exec 3<unlinked
rm unlinked
mount -o remount,upcall_timeout=300 "$ORCH_MNT"
# the remount emptied the cache of names: only the opens shall wait
ls -l strays >/dev/null
kill -STOP "$daemon"
python3 -I - "$STRAYS" <<'EOP' &
import os, sys, threading
threading.stack_size(65536)
for i in range(int(sys.argv[1])):
    threading.Thread(target=os.open, args=(f"strays/{i}", os.O_RDONLY)).start()
EOP
opener=$!
wait_until 240 "requests that wait" at_least "$STRAYS" kernel_says waiting
kill -KILL $opener
wait $opener 2>/dev/null || :
kill -CONT "$daemon"
wait_until 60 "no request under way" kernel_says_is waiting 0
is "$(cat strays/1 strays/2)" "" "content of what was nearly opened"
rm -r strays
wait_until 60 "only the open file to be kept" orphans_are 1
is "$(cat <&3)" kept "content of a file without name"
usual_timeout
exec 3<&-
wait_until 60 "no file without a name" orphans_are 0
unset ORCHD_FAULT
orch-kill
fsck_clean
