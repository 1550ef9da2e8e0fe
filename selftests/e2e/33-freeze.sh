#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# debug: leaks
# timeout: 300
# Freezing: this mount alone, stores to mappings too, with and without a daemon.
. "$(dirname "$0")/lib.sh"
at_exit "fsfreeze -u $ORCH_MNT 2>/dev/null; orch-start >/dev/null"

# Stores a byte each time that a line comes, through one mapping.
cat >/tmp/mapper.py <<'E2'
import mmap, os, sys
f = os.open(sys.argv[1], os.O_RDWR)
m = mmap.mmap(f, 8192)
for line in sys.stdin:
    m[4096] = ord(line[0])
    print("stored", line[0], flush=True)
E2

waits() {
	wait_until 30 "$2 to wait" asleep "$1"
	! ended "$1" || fail "$2 did not wait"
}

# Process PID waits in the kernel and no signal wakes it: in no read of a pipe.
in_fault() {
	[ "$(sed 's/.*) //' "/proc/$1/stat" | cut -c 1)" = D ]
}

note "what changes waits, what reads doesn't"
mkdir sub
head -c 8192 /dev/zero >mapped
echo text >file
exec 3>>file
coproc MAPPER { exec python3 -I /tmp/mapper.py mapped; }
echo a >&"${MAPPER[1]}"
read -r -t 30 answer <&"${MAPPER[0]}"
is "$answer" "stored a" "a store before freezing"
fsfreeze -f "$ORCH_MNT"
is "$(soon 10 cat file)" text "read while frozen"
soon 10 ls -l . >/dev/null
soon 10 touch "$ORCH_VOLUME_MNT/not-frozen"
rm "$ORCH_VOLUME_MNT/not-frozen"
refused_soon 10 "Device or resource busy" fsfreeze -f "$ORCH_MNT"
mkdir sub/dir &
mkdir=$!
sh -c 'echo more >&3' &
write=$!
chmod 600 file &
chmod=$!
truncate -s 3 mapped.2 &
truncate=$!
echo b >&"${MAPPER[1]}"
waits $mkdir mkdir
waits $write write
waits $chmod chmod
waits $truncate truncate
wait_until 30 "a store to wait" in_fault "$MAPPER_PID"
is "$(stat -c %s file)" 5 "size while frozen"
fsfreeze -u "$ORCH_MNT"
for pid in $mkdir $write $chmod $truncate; do
	wait "$pid" || fail "what waited fails"
done
read -r -t 30 answer <&"${MAPPER[0]}"
is "$answer" "stored b" "a store after thawing"
is "$(cat file)" "text
more" "contents"
is "$(head -c 4097 mapped | tail -c 1)" b "contents of the mapping"

note "the daemon dies while frozen"
fsfreeze -f "$ORCH_MNT"
orch-kill --no-restart
touch sub/waits &
touch=$!
waits $touch touch
is "$(soon 10 cat file)" "text
more" "read while frozen and detached"
soon 10 fsfreeze -u "$ORCH_MNT"
orch-start
wait $touch || fail "touch fails after thawing"

note "freezing without a daemon"
mount -o remount,upcall_timeout=5 "$ORCH_MNT"
echo change >changed
orch-kill --no-restart
echo written >&3
refused_soon 60 "Input/output error" fsfreeze -f "$ORCH_MNT"
soon 10 sh -c 'echo goes on >&3'
# the write that nobody could make durable is made so now, and no error is left
mount -o remount,upcall_timeout=600 "$ORCH_MNT"
fsfreeze -f "$ORCH_MNT" &
freeze=$!
waits $freeze fsfreeze
orch-start
wait $freeze || fail "freezing fails though the daemon came back"
fsfreeze -u "$ORCH_MNT"
sync -f .
usual_timeout
exec 3>&-
exec {MAPPER[1]}>&-
fsck_clean "$ORCH_NAMESPACE"
