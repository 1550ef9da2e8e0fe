#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# debug: no: about the daemon
# vm: --cpus 1 --timeout 900
# timeout: 240
# Volumes of a namespace that is served: a refused one comes back without a
# restart, sync writes them back, many requests are under way at once.
. "$(dirname "$0")/lib.sh"

delayed() {
	filefrag -v "$1" 2>&1 | grep -q delalloc
}

note "syncfs writes the volume back, fsync of a directory does not"
head -c 4000000 /dev/urandom >big
backing=$(orchctl where --json big | json_first backing)
[ -f "$backing" ] || fail "where shows no backing file: $backing"
mkdir d
if delayed "$backing"; then
	soon 30 sync d
	delayed "$backing" || fail "fsync of a directory wrote a file back"
fi
soon 60 sync -f .
! delayed "$backing" || fail "sync -f left data of a file in memory"

note "many requests at once"
seq 128 | xargs -P 64 -I{} touch many{}
is "$(printf '%s\n' many* | wc -l)" 128 "files made by 64 processes"
printf '%s\n' many* | xargs -P 64 -n 1 sync
printf '%s\n' many* | xargs -P 64 -n 1 rm

note "the largest extended attribute beside others"
python3 -I -c '
import os
os.setxattr("big", "user.small", b"x" * 100)
os.setxattr("big", "user.large", b"y" * 65536)
os.setxattr("big", "user.other", b"z" * 1000)
assert os.getxattr("big", "user.large") == b"y" * 65536
assert os.getxattr("big", "user.small") == b"x" * 100'

note "ext3, which has the magic number of ext4"
memory_drive old 400
mke2fs -q -t ext3 /dev/old
mkdir -p /mnt/old /mnt/bound
mount -t ext3 /dev/old /mnt/old
mkdir /mnt/old/dir
mount --bind /mnt/old/dir /mnt/bound
refused "is on ext3" orchctl volume add old /mnt/old/v
refused "is on ext3" orchctl volume add old /mnt/bound
umount /mnt/bound /mnt/old
mke2fs -q -F -t ext4 /dev/old
mount /dev/old /mnt/old
orchctl volume add old /mnt/old/v >/dev/null
orchctl volume remove old >/dev/null
umount /mnt/old

note "a drive that comes late"
memory_drive late 400
drive=/dev/late
mkfs.xfs -q "$drive"
mkdir -p /mnt/late
mount "$drive" /mnt/late
orchctl volume add late /mnt/late/v >/dev/null
# the volume with more files made ahead is taken, so both get some
python3 -I -c '
for i in range(1300):
    with open(f"late{i}", "w") as f:
        f.write(f"file {i}")'
name=$(basename "$(find /mnt/late/v/data -type f -size +0 | head -n 1)")
[ -n "$name" ] || fail "no file went to the new volume"
file=$(find . -inum $((16#${name%%.*})))
content=$(cat "$file")
sync -f .
cd /
for how in command itself; do
	orch-stop
	umount /mnt/late
	orch-start
	is "$(volume_says late state)" refused "state without its drive"
	refused "Input/output error" cat "$TEST_DIR/$file"
	is "$(stat -c %s "$TEST_DIR/big")" 4000000 "a file on the other volume"
	soon 60 sync -f "$TEST_DIR"
	refused "not mounted" orchctl volume add late /mnt/late/v
	mount "$drive" /mnt/late
	if [ $how = command ]; then
		orchctl volume add late /mnt/late/v >/dev/null
		is "$(volume_says late state)" online "state after volume add"
	else
		wait_until 60 "the volume is taken back" volume_is late online
	fi
	is "$(cat "$TEST_DIR/$file")" "$content" "content of the volume"
done

note "a drive that goes with what was written"
echo more >>"$TEST_DIR/$file"
xfs_io -x -c "shutdown" /mnt/late
wait_until 60 "the volume to be lost" volume_is late lost
refused "Input/output error" sync -f "$TEST_DIR"
soon 60 sync -f "$TEST_DIR"
wait_until 60 "the drive to be let go" umount /mnt/late
mount "$drive" /mnt/late
wait_until 60 "the volume is taken back" volume_is late online
fsck_clean "$ORCH_NAMESPACE"
rm -rf "${TEST_DIR:?}"/late*
wait_until 60 "the volume is empty" eval \
	'orchctl sync && orchctl volume remove late >/dev/null 2>&1'
umount /mnt/late
