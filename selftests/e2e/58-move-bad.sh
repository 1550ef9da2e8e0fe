#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# debug: no: about the daemon
# timeout: 400
# Moves that are refused, met by others, given up.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/move.lib"

slow_volume

head -c 5000000 /dev/urandom >file

note "what is open for writing stays"
exec 3>>file
refused "open for writing" orchctl move file slow
echo again >&3
exec 3>&-
is "$(tail -c 6 file)" again "what was written"
is "$(places file)" "$fast valid" "where it is"
python3 -I -c '
import mmap, os, subprocess
fd = os.open("file", os.O_RDWR)
m = mmap.mmap(fd, 4096)
os.close(fd)
r = subprocess.run(["orchctl", "move", "file", "slow"], capture_output=True,
                   text=True)
assert r.returncode == 1 and "mapped for writing" in r.stderr, r'
orchctl move file slow

note "bad input"
refused "slow already" orchctl move file slow
refused "no volume nowhere" orchctl move file nowhere
refused "No such file" orchctl move nothing slow
refused "not on orchfs" orchctl move /etc slow
ln -s file link
refused "neither a file nor a directory" orchctl move link "$fast"
refused "no job 999" orchctl jobs show 999
refused "no job 999" orchctl jobs cancel 999
refused "no number" orchctl jobs watch x
refused "ended already" orchctl jobs cancel 1
out=$(orchctl move . slow 2>&1) || fail "$out"

note "a full volume"
head -c 20000000 /dev/urandom >large
sum=$(sha256sum <large)
fallocate -l "$(($(stat -f -c '%a*%S' /mnt/slow) - 10000000))" /mnt/slow/rest
refused "no room" orchctl move large slow
is "$(places large)" "$fast valid" "where it is"
is "$(sha256sum <large)" "$sum" "content"
rm /mnt/slow/rest

note "a volume that can only be read"
mount -o remount,ro /mnt/slow
refused "Read-only" orchctl move large slow
mount -o remount,rw /mnt/slow
is "$(places large)" "$fast valid" "where it is"

note "a slow move is watched and cancelled"
kept=$(volume_says slow instances)
n=$(orchctl move --detach --rate 100K large slow)
wait_until 30 "the copy" job_is "$n" step copy
wait_until 30 "bytes" eval '[ "$(job "$n" reading)" -gt 0 ]'
is "$(places large)" "$fast valid, slow filling" "during the copy"
orchctl where large | grep -q filling
orchctl jobs list | grep -q "running *copy"
refused "job $n is moving it" orchctl move large slow
fsck_clean
orchctl jobs cancel "$n"
is "$(job "$n" state)" cancelled "state of the job"
is "$(places large)" "$fast valid" "after it was cancelled"

note "cancelled at its steps"
# as_before N FILE: job N ended as cancelled, the copy of FILE is gone
as_before() {
	is "$(job "$1" state)" cancelled "state of the job, $step"
	is "$(places "$2")" "$fast valid" "where $2 is, $step"
}
mkdir four
for i in {1..4}; do head -c 1000000 /dev/urandom >four/$i; done
sums=$(sha256sum large four/*)
running=()
for step in begun half frozen queued; do
	rate=1M
	case $step in
	half) rate=8M ;;
	queued)
		for i in {1..4}; do
			running+=("$(orchctl move --detach --rate 10K four/$i \
				slow)")
		done
		;;
	esac
	n=$(orchctl move --detach --rate $rate large slow)
	case $step in
	begun) wait_until 30 "the copy" job_is "$n" step copy ;;
	half) wait_until 30 "bytes" at_least 8000000 job "$n" reading ;;
	frozen)
		wait_until 30 "bytes" at_least 1 job "$n" reading
		fsfreeze -f /mnt/slow
		;;
	queued)
		is "$(job "$n" state)" queued "state of a fifth job"
		watch_out=/tmp/watch.$$
		orchctl jobs watch "$n" >/dev/null 2>"$watch_out" &
		watcher=$!
		wait_until 20 "why it waits to be told" eval \
			'grep -q "job $n: waits for its turn: 4 jobs" "$watch_out"'
		;;
	esac
	if [ $step = frozen ]; then
		orchctl jobs cancel "$n" >/dev/null &
		wait_until 20 "it to be told" eval \
			'orchctl jobs show "$n" | grep -q cancelled'
		fsfreeze -u /mnt/slow
		wait $!
	else
		soon 30 orchctl jobs cancel "$n" >/dev/null
	fi
	as_before "$n" large
done
wait "$watcher" && fail "a job that is cancelled counts as done"
is "$(grep -c "waits for" "$watch_out")" 1 "times that it is told why it waits"
rm "$watch_out"
for i in {1..4}; do
	soon 30 orchctl jobs cancel "${running[i - 1]}" >/dev/null
	as_before "${running[i - 1]}" four/$i
done
is "$(sha256sum large four/*)" "$sums" "contents after what was cancelled"
orchctl sync
is "$(volume_says slow instances)" "$kept" "instances on the other volume"
fsck_clean

note "a slow move meets a writer, a truncate, an unlink"
n=$(orchctl move --detach --rate 100K large slow)
wait_until 30 "bytes" eval '[ "$(job "$n" reading)" -gt 0 ]'
soon 20 bash -c 'echo x >>large'
refused "opened for writing" orchctl jobs watch "$n"
is "$(tail -c 2 large)" x "what was written"
n=$(orchctl move --detach --rate 100K large slow)
wait_until 30 "bytes" eval '[ "$(job "$n" reading)" -gt 0 ]'
soon 20 truncate -s 1000 large
refused "opened for writing" orchctl jobs watch "$n"
head -c 20000000 /dev/urandom >large
n=$(orchctl move --detach --rate 100K large slow)
wait_until 30 "bytes" eval '[ "$(job "$n" reading)" -gt 0 ]'
rm large
refused "deleted" orchctl jobs watch "$n"
orchctl sync
fsck_clean
