#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# debug: no: about the daemon
# vm: --cpus 2 --timeout 1500
# timeout: 900
# Several volumes: where new files go, one that fills up in the middle of a
# write, one that becomes read-only, one that is shut down under load, one whose
# drive fails under load.
. "$(dirname "$0")/lib.sh"

# new_file_on VOLUME: do files made now go there? Of equal tiers the small one
# gets one of eight or so.
new_file_on() {
	local i status=1
	for i in {1..16}; do
		: >"probe$i" || return 1
	done
	for i in {1..16}; do
		[ "$(volume_of "probe$i")" != "$1" ] || {
			status=0
			break
		}
	done
	rm probe{1..16}
	return $status
}

# drive NAME SIZE_MB: with XFS, mounted.
memory_volume() {
	memory_drive "$1" "$2"
	mkfs.xfs -q "/dev/$1"
	mkdir -p "/mnt/$1"
	mount "/dev/$1" "/mnt/$1"
}

df_kib() {
	df -k --output="$1" . | tail -n 1 | tr -d ' '
}

note "the lowest tier first"
size=$(df_kib size)
avail=$(df_kib avail)
memory_volume second 600
orchctl volume add second /mnt/second/v --tier 1 >/dev/null
for i in {1..20}; do : >"first$i"; done
for i in {1..20}; do
	is "$(volume_of "first$i")" "$ORCH_VOLUME" "volume of a new file"
done
[ $(($(df_kib size) - size)) -gt 500000 ] ||
	fail "the size is not a sum: $size, then $(df_kib size)"

note "a reserve sends new files elsewhere, and statfs tells"
total=$(volume_says "$ORCH_VOLUME" size)
orchctl volume set "$ORCH_VOLUME" --reserve "$total" >/dev/null
is "$(volume_says "$ORCH_VOLUME" state)" full "state below the reserve"
[[ $(volume_says "$ORCH_VOLUME" problem) == *"volume set"* ]] ||
	fail "no remedy for a full volume"
: >elsewhere
is "$(volume_of elsewhere)" second "volume beyond a reserve"
echo grows >>first1
is "$(cat first1)" grows "an old file grows into the reserve"
[ "$(df_kib avail)" -lt "$avail" ] || fail "avail counts the reserve"
refused "volume second holds files: its tier" \
	orchctl volume set second --tier 0
refused "no volume" orchctl volume set nosuch --reserve 1
refused "--tier" orchctl volume set second
orchctl volume set "$ORCH_VOLUME" --reserve 0 >/dev/null
: >back
is "$(volume_of back)" "$ORCH_VOLUME" "volume without a reserve"

note "equal tiers share, by free space"
rm elsewhere
wait_until 60 "the second volume to be empty" eval \
	'orchctl sync && orchctl volume set second --tier 0 >/dev/null 2>&1'
orchctl volume set second --reserve 0 >/dev/null
python3 -I -c '
for i in range(60):
    open(f"share{i}", "x").close()'
on_second=0
for i in {0..59}; do
	[ "$(volume_of "share$i")" != second ] || on_second=$((on_second + 1))
done
note "$on_second of 60 files on the smaller volume"
[ $on_second -ge 1 ] && [ $on_second -le 40 ] ||
	fail "$on_second of 60 files went to the smaller volume"
rm share*

note "a volume that fills up in the middle of a write"
# tier 0 is small now: the large one gives all but 200 MB away
orchctl volume set "$ORCH_VOLUME" --reserve "$total" >/dev/null
: >filler
is "$(volume_of filler)" second "volume of the filler"
orchctl volume set "$ORCH_VOLUME" --reserve 0 >/dev/null
echo "kept" >beside
# files are made all the time meanwhile; none may fail
python3 -I - >/tmp/makers.log 2>&1 <<'EOP' &
import os, time
made, slowest = 0, 0
while not os.path.exists("stop"):
    start = time.monotonic()
    with open(f"made{made}", "x") as f:
        f.write("x" * 100)
    slowest = max(slowest, time.monotonic() - start)
    made += 1
print(made, "files, the slowest took", round(slowest, 3), "s")
EOP
makers=$!
status=0
dd if=/dev/zero of=filler bs=1M status=none oflag=append conv=notrunc \
	2>/tmp/dd.log || status=$?
[ $status != 0 ] || fail "a volume of 600 MB took all"
grep -q "No space" /tmp/dd.log || fail "dd says: $(cat /tmp/dd.log)"
[ "$(stat -c %s filler)" -gt 400000000 ] || fail "the write ended early"
wait_until 120 "new files to go elsewhere" new_file_on "$ORCH_VOLUME"
: >stop
wait $makers || fail "a create failed: $(tail -n 1 /tmp/makers.log)"
cat /tmp/makers.log
for i in {1..10}; do
	: >"after$i"
	is "$(volume_of "after$i")" "$ORCH_VOLUME" "volume while the other is full"
	echo data >"after$i"
done
is "$(cat beside)" kept "a file beside"
rm filler made* after*
orchctl sync
wait_until 120 "the volume to be used again" new_file_on second

note "read-only"
for i in {1..40}; do echo "read $i" >"ro$i"; done
for i in {1..40}; do
	[ "$(volume_of "ro$i")" != second ] || there=ro$i
done
[ -n "${there:-}" ] || fail "no file on the second volume"
content=$(cat "$there")
sync -f .
echo 2 >/proc/sys/vm/drop_caches
wait_until 30 "a read-only remount" mount -o remount,ro /mnt/second
wait_until 30 "state read-only" volume_is second read-only
orchctl status | grep -q "second.*read-only" || fail "status does not tell"
[[ $(volume_says second problem) == *remount* ]] || fail "no remedy"
is "$(cat "$there")" "$content" "content on a read-only volume"
echo 2 >/proc/sys/vm/drop_caches
is "$(cat "$there")" "$content" "content, asked anew"
refused "ead-only" bash -c "echo more >>$there"
for i in {1..20}; do
	echo new >"while$i"
	is "$(volume_of "while$i")" "$ORCH_VOLUME" "volume beside a read-only one"
done
rm "$there"
chmod 600 ro1
soon 60 sync -f .
mount -o remount,rw /mnt/second
wait_until 30 "state online" volume_is second online
orchctl status | grep -q "read-only" && fail "status still tells"
wait_until 120 "new files on it" new_file_on second
orchctl sync
rm ro* while*
fsck_clean "$ORCH_NAMESPACE"

# load BESIDE THERE: appends to both files and makes others, until told to stop.
load() {
	rm -f stop2
	python3 -I - "$@" >/tmp/writers.log 2>&1 <<'EOP' &
import errno, os, sys
fds = [os.open(n, os.O_RDWR | os.O_APPEND) for n in sys.argv[1:]]
done, failed = [0, 0], [0, 0]
while not os.path.exists("stop2"):
    for k in (0, 1):
        try:
            os.write(fds[k], b"y" * 4096)
            if done[k] % 64 == 63:
                os.fsync(fds[k])
            done[k] += 1
        except OSError as e:
            if e.errno != errno.EIO:
                raise
            failed[k] += 1
    try:
        with open("made%d" % done[0], "w") as f:
            f.write("z")
    except OSError as e:
        # its volume may be found out by this very file
        if e.errno != errno.EIO:
            raise
print(*done, *failed)
EOP
	writers=$!
	wait_until 60 "the writers" at_least 5000 stat -c %s "$2"
}

# load_end WHAT: some writes THERE, on a volume that is WHAT, were refused, and
# none BESIDE it.
load_end() {
	local ok1 ok2 bad1 bad2
	: >stop2
	wait $writers || fail "a writer failed: $(tail -n 3 /tmp/writers.log)"
	read -r ok1 ok2 bad1 bad2 </tmp/writers.log
	note "writes: $ok1 beside, $ok2 on the $1 volume, $bad2 of them refused"
	[ "$bad1" = 0 ] || fail "$bad1 writes on the other volume failed"
	[ "$bad2" -gt 0 ] || fail "no write on the $1 volume failed"
}

note "the drive is lost under load"
for i in {1..60}; do echo "lost $i" >"lost$i"; done
sync -f .
mine=() theirs=()
for i in {1..60}; do
	if [ "$(volume_of "lost$i")" = second ]; then
		theirs+=("$i")
	else
		mine+=("$i")
	fi
done
[ ${#theirs[@]} -ge 3 ] && [ ${#mine[@]} -ge 2 ] || fail "no files on both"
t=${theirs[0]} u=${theirs[1]} m=${mine[0]}
exec 5<>"lost$u"
# stored to by a mapping: its new times are never told, as nobody can be asked
coproc MAPPED {
	exec python3 -I -c '
import mmap, sys
with open(sys.argv[1], "r+b") as f:
    m = mmap.mmap(f.fileno(), 0)
m[0:1] = m[0:1]
print("stored", flush=True)
sys.stdin.read()' "lost${theirs[2]}"
}
mapped=$MAPPED_PID
read -r -u "${MAPPED[0]}" said
is "$said" stored "the mapping"
load "lost$m" "lost$t"
xfs_io -x -c "shutdown -f" /mnt/second
wait_until 30 "state lost" volume_is second lost
orchctl status | grep -q "second.*drive" || fail "status does not tell"
refused_soon 20 "nput/output error" cat "lost$t"
for i in {1..20}; do
	echo new >"while$i"
	is "$(volume_of "while$i")" "$ORCH_VOLUME" "volume beside a lost one"
done
is "$(head -n 1 "lost$m" | tr -d y)" "lost $m" "a file on the other volume"
load_end lost
# what was not written back is lost, and told once
refused_soon 60 "nput/output error" sync -f .
soon 60 sync -f .
refused_soon 20 "nput/output error" cat <&5
exec 5>&-
rm "lost$u"
exec {MAPPED[1]}>&-
wait "$mapped" || fail "the mapping"

note "the drive returns: unmounted, checked, mounted"
wait_until 60 "the lost volume to be let go" umount /mnt/second
mount /dev/second /mnt/second
wait_until 60 "state online" volume_is second online
for i in "${theirs[@]:2}"; do
	is "$(cat "lost$i")" "lost $i" "content of the volume that returned"
done
is "$(head -n 1 "lost$t" | tr -d y)" "lost $t" "synced content"
echo more >>"lost${theirs[2]}"
wait_until 120 "new files on it" new_file_on second
rm lost* made* while*
orchctl sync
fsck_clean "$ORCH_NAMESPACE"

note "a drive fails under load, and is repaired"
echo "beside" >beside
# nobody makes device nodes but dmsetup
export DM_DISABLE_UDEV=1
memory_drive third 400
sectors=$(blockdev --getsz /dev/third)
dmsetup create pulled --table "0 $sectors linear /dev/third 0"
# becomes TABLE...: at once, whatever is on its way there
becomes() {
	dmsetup suspend --noflush --nolockfs pulled
	dmsetup load pulled --table "0 $sectors $*"
	dmsetup resume pulled
}
mkfs.xfs -q /dev/mapper/pulled
mkdir -p /mnt/third
mount /dev/mapper/pulled /mnt/third
orchctl volume add third /mnt/third/v >/dev/null
for volume in "$ORCH_VOLUME" second; do
	orchctl volume set $volume --reserve "$(volume_says $volume size)" \
		>/dev/null
done
for i in {1..4}; do echo "failed $i" >"failed$i"; done
for volume in "$ORCH_VOLUME" second; do
	orchctl volume set $volume --reserve 0 >/dev/null
done
is "$(volume_of failed1) $(volume_of failed4)" "third third" "where they are"
sync -f .
load beside failed1
becomes error
wait_until 60 "state lost" volume_is third lost
orchctl status | grep -q "third.*drive" || fail "status does not tell"
[[ $(volume_says third problem) == *"check the drive"* ]] || fail "no remedy"
# what is cached can still be read until XFS itself gives up
refused_soon 20 "nput/output error" \
	dd if=failed3 of=/dev/null iflag=direct status=none
refused_soon 20 "nput/output error" dd if=/dev/zero of=failed2 bs=4096 \
	count=1 oflag=append conv=notrunc,fsync status=none
for i in {1..10}; do
	echo new >"while$i"
	[ "$(volume_of "while$i")" != third ] || fail "a new file on a lost volume"
done
is "$(head -n 1 beside | tr -d y)" beside "a file on another volume"
load_end failed
# what was not written back is lost, and told once
refused_soon 60 "nput/output error" sync -f .
soon 60 sync -f .
wait_until 60 "the failed volume to be let go" umount /mnt/third
becomes linear /dev/third 0
mount /dev/mapper/pulled /mnt/third
wait_until 60 "state online" volume_is third online
for i in 2 3 4; do
	is "$(cat "failed$i")" "failed $i" "content of what is back"
done
is "$(head -n 1 failed1 | tr -d y)" "failed 1" "synced content"
echo more >>failed4
is "$(tail -n 1 failed4)" more "what was written to a volume that is back"
rm failed* made* while* beside
orchctl sync
fsck_clean "$ORCH_NAMESPACE"
