#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# debug: no: about the daemon
# vm: --cpus 2 --timeout 1500
# timeout: 600
# A volume is drained while its files are in use: it gets no new ones, what is
# in use is named and waited for, kills and restarts in between; and back again.
. "$(dirname "$0")/lib.sh"

# new_file_on VOLUME: where a file made now goes.
new_file_on() {
	local name=probe.$RANDOM on
	: >"$name"
	on=$(volume_of "$name")
	rm "$name"
	is "$on" "$1" "volume of a new file"
}

# job ID KEY
job() {
	orchctl jobs show --json "$1" | json_first "$2"
}

# job_has ID STATE LEFT WAITING
job_has() {
	[ "$(job "$1" state) $(job "$1" left) $(job "$1" waiting)" = "$2 $3 $4" ]
}

memory_volume() {
	memory_drive "$1" "$2"
	mkfs.xfs -q "/dev/$1"
	mkdir -p "/mnt/$1"
	mount "/dev/$1" "/mnt/$1"
	orchctl volume add "$1" "/mnt/$1/v" --tier "$3" >/dev/null
}

first=$ORCH_VOLUME

note "what can't be drained"
refused "no volume nosuch" orchctl volume drain nosuch
refused "is the only one: add" orchctl volume drain "$first"
refused "not being drained" orchctl volume drain "$first" --cancel
refused "goes with neither" orchctl volume drain "$first" --cancel --detach
memory_volume second 600 1
orchctl volume set second --reserve 1T >/dev/null
refused "no other volume takes" orchctl volume drain "$first"
orchctl volume set second --reserve 0 >/dev/null
is "$(volume_says "$first" state)" online "state of what was refused"

note "a volume that is in use"
mkdir tree
python3 -I - <<'EOP'
import random
r = random.Random(7)
for i in range(150):
    with open(f"tree/f{i}", "wb") as f:
        f.write(r.randbytes(r.randrange(1, 60000)))
with open("tree/large", "wb") as f:
    f.write(r.randbytes(8 << 20))
EOP
ln tree/f1 link
truncate -s 1G sparse
echo end >>sparse
sums=$(cd tree && sha256sum -- *)
echo held >held
echo gone >gone
head -c 100000 /dev/urandom >mapped
: >/tmp/go
at_exit "rm -f /tmp/go"
python3 -I - mapped <<'EOP' &
import mmap, os, sys
with open(sys.argv[1], "rb") as f:
    m = mmap.mmap(f.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ)
    before = m[:]
    while os.path.exists("/tmp/go"):
        assert m[:] == before
EOP
mapper=$!
(
	while [ -e /tmp/go ]; do
		is "$(cd tree && sha256sum -- *)" "$sums" "sums meanwhile"
	done
) &
reader=$!
# nobody else shall inherit these
exec 3>>held 4<gone
rm gone

is "$(volume_of tree/f0)" "$first" "volume of the tree"
id=$(orchctl volume drain "$first" --detach)
new_file_on second
is "$(volume_says "$first" state)" draining "state in show"
orchctl volume list | grep -q "^$first .* draining " || fail "state in list"
[[ $(volume_says "$first" problem) == *"jobs show $id"* ]] ||
	fail "show does not tell the job"
orchctl status | grep -q "volume $first is being drained" ||
	fail "status does not tell"
orchctl jobs list | grep -q "(others) *drain of volume $first" ||
	fail "jobs list does not tell"
refused "job $id is draining" orchctl volume drain "$first"
refused "is being drained" orchctl move tree/f0 "$first"
refused "no other volume takes" orchctl volume drain second

note "what is in use is named, and tried again"
wait_until 120 "the drain to wait" job_has "$id" waiting 2 1
new_file_on second
for i in 0 1 77 149; do
	is "$(volume_of "tree/f$i")" second "volume of f$i"
done
is "$(volume_of held)" "$first" "volume of what is open for writing"
orchctl jobs show "$id" >/tmp/show
grep -q "left .*/held: open for writing" /tmp/show || fail "$(cat /tmp/show)"
grep -q "left .*(no name): deleted, but still open" /tmp/show ||
	fail "$(cat /tmp/show)"
grep -q "switch .*/mapped" /tmp/show || fail "$(cat /tmp/show)"
refused "orchctl volume drain $first" orchctl volume remove "$first"
fsck_clean "$ORCH_NAMESPACE"

note "a restart"
orch-kill 3>&- 4<&-
wait_until 60 "the drain to go on" job_has "$id" waiting 2 1
is "$(volume_says "$first" state)" draining "state after a kill"
new_file_on second
orchctl jobs watch "$id" >/tmp/watch 2>/tmp/watch.err 3>&- 4<&- &
watch=$!
wait_until 60 "the watcher to tell" grep -q "/held: open for writing" \
	/tmp/watch.err
echo more >&3
exec 3>&-
wait_until 60 "one file less" job_has "$id" waiting 1 1
is "$(volume_of held)" second "volume of what was open for writing"
is "$(cat held)" "held
more" "content of what was open for writing"
is "$(cat <&4)" gone "content of what was deleted"
exec 4<&-
rm /tmp/go
wait $mapper || fail "the mapping"
wait $reader || fail "the reader"
wait $watch || fail "watch ended with $?: $(cat /tmp/watch.err)"
grep -q "orchctl volume remove $first" /tmp/watch || fail "$(cat /tmp/watch)"
is "$(job "$id" state)" "done" "state of the job"
is "$(job "$id" left)" 0 "files left"
is "$(volume_says "$first" instances)" 0 "instances on the drained volume"
[[ $(volume_says "$first" problem) == *"volume remove $first"* ]] ||
	fail "show does not tell what comes next"
is "$(cd tree && sha256sum -- *)" "$sums" "sums"
[ "$(stat -c %b sparse)" -lt 1000 ] || fail "the hole was filled"
orchctl sync
is "$(find "/mnt/nvme0" -path '*/data/*' -type f -size +0 | wc -l)" 0 \
	"files with contents on the drained volume"
fsck_clean "$ORCH_NAMESPACE"

note "it is taken back"
orchctl volume drain "$first" --cancel >/tmp/back
grep -q "takes new files again" /tmp/back || fail "$(cat /tmp/back)"
wait_until 30 "the volume" volume_is "$first" online
new_file_on "$first"
orchctl status | grep -q drained && fail "status still tells"

note "given up in the middle, slowly"
id=$(orchctl volume drain second --detach --rate 1M)
wait_until 60 "some progress" eval "[ \$(job $id reading) -gt 0 ]"
is "$(volume_says second state)" draining "state of the second"
refused "cancelled" orchctl jobs watch "$id" &
watch=$!
orchctl jobs cancel "$id" >/tmp/back
wait $watch || fail "the watcher of what was cancelled"
is "$(job "$id" state)" cancelled "state of the job"
is "$(volume_says second state)" online "state after that"
is "$(cd tree && sha256sum -- *)" "$sums" "sums after that"

note "kills in between"
orchctl volume drain second --rate 8M >/tmp/drain.log 2>&1 &
drain=$!
for i in 1 2 3; do
	wait_until 60 "the drain" volume_is second draining
	orch-kill
done
wait $drain || fail "the drain: $(cat /tmp/drain.log)"
grep -q "orchctl volume remove second" /tmp/drain.log ||
	fail "$(cat /tmp/drain.log)"
is "$(volume_says second instances)" 0 "instances on the second"
is "$(cd tree && sha256sum -- *)" "$sums" "sums after kills"

note "no room elsewhere"
orchctl volume drain second --cancel >/dev/null
orchctl volume set second \
	--reserve $(($(volume_says second free) - (3 << 20))) >/dev/null
id=$(orchctl volume drain "$first" --detach)
wait_until 120 "a file without room" eval "orchctl jobs show $id |
	grep -q 'tree/large: no other volume has room for its 8388608 bytes'"
is "$(volume_of tree/large)" "$first" "volume of what has no room"
wait_until 60 "the drain to wait" eval "[ \$(job $id state) = waiting ]"
orchctl volume drain "$first" --cancel >/dev/null
is "$(job "$id" state)" cancelled "state of the job"
orchctl volume set second --reserve 0 >/dev/null
soon 120 orchctl volume drain second >/dev/null
is "$(volume_says second instances)" 0 "instances on the second"
is "$(cd tree && sha256sum -- *)" "$sums" "sums after the lack of room"
orchctl volume remove second
fsck_clean "$ORCH_NAMESPACE"
umount /mnt/second

note "read-only and lost"
memory_volume third 600 1
wait_until 30 "a read-only remount" mount -o remount,ro /mnt/third
wait_until 30 "state read-only" volume_is third read-only
refused "cannot be moved away now: volume third" orchctl volume drain third
mount -o remount,rw /mnt/third
wait_until 30 "state online" volume_is third online
# nothing else would take what is on the first one
xfs_io -x -c "shutdown -f" /mnt/third
wait_until 30 "state lost" volume_is third lost
refused "cannot be moved away now: volume third" orchctl volume drain third
refused "no other volume takes" orchctl volume drain "$first"
