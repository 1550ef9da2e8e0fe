#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
# The channel's socket is full: no request is lost.
. "$(dirname "$0")/lib.sh"
at_exit "orch-kill >/dev/null"

JOBS=60

# Messages that found no room in a generic netlink socket.
drops() {
	awk '$2 == 16 && $3 != 0 { n += $9 } END { print n + 0 }' \
		/proc/net/netlink
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

unset ORCHD_FAULT
orch-kill
fsck_clean
