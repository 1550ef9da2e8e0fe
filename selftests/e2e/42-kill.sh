#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
# The daemon dies: what is open goes on, what needs it waits, nothing hangs.
. "$(dirname "$0")/lib.sh"
at_exit "orch-start >/dev/null"

note "open files and what is cached go on"
echo before >file
# a directory each: the VFS holds its lock while one request waits
mkdir dir dir1 dir2 dir3
sync
exec 3<>file
head -c 100000 /dev/urandom >data
sum=$(sha256sum <data)
exec 4<data
ls -l . dir* >/dev/null
sync
before=$(upcalls)
sync -f . && sync
is "$(upcalls)" "$before" "upcalls after syncs of what is durable"
orch-kill --no-restart
is "$(kernel_says state)" detached "state of the channel"
soon 10 sync -f .
soon 10 stat file dir >/dev/null
soon 10 bash -c 'echo "written while detached" >&3; sync -d /proc/self/fd/3'
is "$(soon 10 sha256sum <&4)" "$sum" "read while detached"
soon 10 flock 4
soon 10 flock -u 4

note "what needs the daemon waits and then goes on"
mkdir dir1/waiting &
first=$!
sh -c 'echo made >dir2/waiting' &
second=$!
sync -f . &
sync=$!
request_waits 3
! ended $first || fail "mkdir did not wait"
! ended $sync || fail "syncfs did not wait after a write"

note "waiting can be killed"
mkdir dir3/killed &
third=$!
request_waits 4
kill -KILL $third
wait_until 10 "the killed mkdir to end" ended $third
wait $third || :
orch-start
wait $first || fail "mkdir that waited"
wait $second || fail "create that waited"
wait $sync || fail "syncfs that waited"
[ -d dir1/waiting ] || fail "no directory was made"
is "$(cat dir2/waiting)" made "content"
is "$(cat file)" "written while detached" "content written while detached"
exec 3>&- 4<&-
rmdir dir3/killed 2>/dev/null || :
mkdir dir3/killed

note "the deadline"
deadline=$(long_or 3 3 30)
mount -o remount,upcall_timeout=$deadline,upcall_errno=ETIMEDOUT "$ORCH_MNT"
orch-kill --no-restart
start=$SECONDS
refused_soon 90 "timed out" mkdir late
[ $((SECONDS - start)) -ge $((deadline - 1)) ] || fail "the deadline came too early"
mount -o remount,upcall_timeout=600,upcall_errno=EIO "$ORCH_MNT"
orch-start
rmdir late 2>/dev/null || :
mkdir late

note "that nobody answers ends no mount below"
mkdir below
mount --bind dir1 below
at_exit "umount -q $PWD/below; orch-start >/dev/null"
mount -o remount,upcall_timeout=$deadline,upcall_errno=ESTALE "$ORCH_MNT"
# names are revalidated after a daemon's start
orch-kill
orch-kill --no-restart
refused_soon 90 "Stale file handle" stat below/none
orch-start
mount -o remount,upcall_timeout=600,upcall_errno=EIO "$ORCH_MNT"
mountpoint -q below || fail "a slow daemon has ended a mount"
umount below

note "a daemon that does not answer"
mkdir apart
echo apart >apart/file
# a remount empties the cache of names
mount -o remount,upcall_timeout=$deadline "$ORCH_MNT"
stat apart/file >/dev/null
daemon=$(daemon_pid)
kill -STOP "$daemon"
refused_soon 90 "nput/output error" mkdir dir1/given-up
mkdir dir2/killed-too &
job=$!
request_waits
kill -KILL $job
wait_until 10 "the killed mkdir to end" ended $job
wait $job || :
kill -CONT "$daemon"
wait_until 60 "no request under way" kernel_says_is waiting 0
note "what a killed change doesn't concern stays cached"
(
	cd apart
	costs 0 stat file >/dev/null
)
mount -o remount,upcall_timeout=600 "$ORCH_MNT"
mkdir -p dir1/given-up dir2/killed-too
rmdir dir1/given-up dir2/killed-too

note "many at once, killed in the middle"
for i in {1..8}; do
	(
		for k in {1..40}; do
			mkdir "d$i.$k" || exit 1
			echo "$i $k" >"d$i.$k/f" || exit 1
			mv "d$i.$k" "e$i.$k" || exit 1
		done
	) &
	jobs[i]=$!
done
orch-kill
orch-kill
for i in {1..8}; do
	wait "${jobs[i]}" || fail "job $i"
done
is "$(ls -d e*.* | wc -l)" 320 "directories"
is "$(cat e8.40/f)" "8 40" "content of the last"
fsck_clean

note "umount with a dead daemon"
head -c 3000000 /dev/urandom >last
sum=$(sha256sum <last)
cd /
orch-kill --no-restart
soon 20 umount "$ORCH_MNT"
refused_soon 20 orchd mount.orchfs "$ORCH_NAMESPACE" "$ORCH_MNT"
orch-start
is "$(sha256sum <"$TEST_DIR/last")" "$sum" "content after the umount"
fsck_clean
