#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: --cpus 2 --timeout 900
# timeout: 300
# The space of what was removed: whoever writes next finds it, so does whoever
# makes a file next, and df after a sync. A store whose drive is full can be
# opened, and files removed.
. "$(dirname "$0")/lib.sh"

memory_drive tight 330
mkfs.xfs -q /dev/tight
mkdir -p /mnt/tight /mnt/names
mount /dev/tight /mnt/tight
orchctl init tight >/dev/null
orchctl volume add tight /mnt/tight/v --namespace tight >/dev/null
mount -t orchfs tight /mnt/names
at_exit "cd /; umount -q /mnt/names"
cd /mnt/names

available() {
	echo $(($(stat -f -c '%a * %S' .) / 1048576))
}

barriers() {
	orchctl upcalls --kind barrier --namespace tight
}

most=$(($(available) * 9 / 10))
part=$((most / 5))
head -c ${part}M /dev/urandom >part
sum=$(sha256sum <part)
most=$((most - part))

note "$most MiB are taken and given back, $part MiB needed next"
for i in 1 2 3; do
	fallocate -l ${most}M "most$i"
	rm "most$i"
done

taken_and_given_back() {
	rm -f copy
	fallocate -l ${most}M most
	rm most
}

cat >/tmp/splice.py <<'EOP'
import os, sys
size = int(sys.argv[1]) << 20
r, w = os.pipe()
a = os.open("part", os.O_RDONLY)
b = os.open("copy", os.O_WRONLY | os.O_CREAT)
done = 0
while done < size:
    n = os.splice(a, w, 65536)
    while n:
        m = os.splice(r, b, n)
        n -= m
        done += m
EOP
cat >/tmp/store.py <<'EOP'
import mmap, os
part = open("part", "rb").read()
f = os.open("copy", os.O_RDWR | os.O_CREAT)
os.ftruncate(f, len(part))
m = mmap.mmap(f, len(part))
m[:] = part
m.flush()
EOP
for how in "python3 -I /tmp/store.py" "cp --reflink=never part copy" "dd if=part of=copy bs=1M" \
	"dd if=part of=copy bs=1M oflag=direct" \
	"python3 -I /tmp/splice.py $part"; do
	taken_and_given_back
	$how 2>/tmp/why || { cat /tmp/why; fail "$how"; }
	is "$(sha256sum <copy)" "$sum" "what $how wrote"
done

note "one call that begins before and ends after the end of the space"
rm copy
python3 -I -c '
import os, resource, sys
most, part = int(sys.argv[1]) << 20, open("part", "rb").read()
f = os.open("most", os.O_RDWR | os.O_CREAT)
os.posix_fallocate(f, 0, most + len(part) // 2)
os.close(f)
os.unlink("most")
f = os.open("copy", os.O_RDWR | os.O_CREAT)
os.posix_fallocate(f, 0, most - len(part) // 2)
assert os.pwrite(f, part, most) == len(part)
assert os.pread(f, len(part), most) == part
os.close(f)
os.unlink("copy")
# a limit cuts the second half: that is no reason to go on
os.truncate("part", len(part))
f = os.open("copy", os.O_RDWR | os.O_CREAT)
resource.setrlimit(resource.RLIMIT_FSIZE, (len(part) // 2,) * 2)
assert os.pwrite(f, part, 0) == len(part) // 2
assert os.pread(f, len(part), 0) == part[:len(part) // 2]
os.close(f)' "$most"

note "df after sync"
rm copy
sync -f .
before=$(available)
fallocate -l ${most}M most
[ "$(available)" -lt $((before - most + 10)) ] || fail "df before the removal"
rm most
sync -f .
# XFS frees what was unlinked in the background
wait_until 10 "df after the removal" eval \
	'[ "$(available)" -ge $((before - 10)) ]'

note "where nothing was removed a failure asks nobody"
fallocate -l $((before - 10))M most
sync -f .
count=$(barriers)
for i in 1 2 3; do
	refused "No space left" fallocate -o 1G -l ${most}M most
done
is "$(barriers)" "$count" "barriers asked for"

note "new files where the volume has become full, after a removal"
rm most
sync -f .
orchctl volume set tight --namespace tight --reserve 100M >/dev/null
tight_is_full() {
	orchctl volume show --json tight --namespace tight |
		grep -q '"state": *"full"'
}
for i in 1 2 3; do
	fallocate -l $((before - 50))M most
	wait_until 10 "a full volume" tight_is_full
	refused "No space left" touch "more$i"
	rm most
	touch "more$i" || fail "create $i after the removal"
done
orchctl volume set tight --namespace tight --reserve 0 >/dev/null

note "new files where all inodes were taken, after removals"
memory_drive few 200
mkfs.ext4 -q -N 1200 /dev/few
mkdir -p /mnt/few /mnt/many
mount /dev/few /mnt/few
total=$(stat -f -c %d /mnt/few)
orchctl init few >/dev/null
orchctl volume add few /mnt/few/v --namespace few >/dev/null
mount -t orchfs few /mnt/many
at_exit "cd /; umount -q /mnt/many"
cd /mnt/many
why=$(python3 -I -c '
import os
made = 0
try:
    while True:
        os.close(os.open(f"f{made}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        made += 1
except OSError as e:
    print(made, e.strerror)')
is "${why#* }" "No space left on device" "how creating ends"
made=${why%% *}
# besides them there are directories of the volume
[ "$made" -gt $((total - 20)) ] || fail "$made files with $total inodes"
for i in 1 2 3; do
	rm f?
	python3 -I -c '
for i in range(10):
    open(f"f{i}", "x").close()' || fail "creates $i after removals"
done
cd /
fsck_clean few
fsck_clean tight

note "the drive of the store is full"
state=$ORCH_STATE/names
memory_drive names 1000
mkfs.ext4 -q -m 2 -J size=8 /dev/names
mkdir -p "$state" /mnt/all
mount /dev/names "$state"
orchctl init names >/dev/null
orchctl volume add names "$ORCH_VOLUME_MNT/names" --namespace names >/dev/null
mount -t orchfs names /mnt/all
at_exit "cd /; umount -q /mnt/all"
fallocate -l "$(($(stat -f -c '%a * %S' "$state")))" "$state/fill"
made=$(python3 -I -c '
import errno, os
made = 0
try:
    while made < 5000:
        os.close(os.open(f"/mnt/all/{made}", os.O_CREAT | os.O_EXCL))
        made += 1
except OSError as e:
    assert e.errno == errno.ENOSPC, e
print(made)')
note "$made files until it is noticed"
[ "$made" -gt 10 ] && [ "$made" -lt 5000 ] || fail "$made files were made"

backing() {
	find "$ORCH_VOLUME_MNT/names/data" -name "$(printf %x "$1").1.*"
}

# A restart, and after that a removal that gives space back. To be opened the
# store may have needed all its reserve: then there is some space again.
restart_and_remove() {
	local ino
	ino=$(stat -c %i "/mnt/all/$1")
	[ -n "$(backing "$ino")" ] || fail "no backing file of $1"
	orch-kill
	soon 60 rm "/mnt/all/$1"
	sync -f /mnt/all
	is "$(backing "$ino")" "" "backing file of what was removed"
}
restart_and_remove 0
# the part that is root's, too: not a block for a new log
dd if=/dev/zero of="$state/rest" bs=64k conv=fsync 2>/dev/null || :
refused "No space left" dd if=/dev/zero of="$state/rest" bs=64k count=1 \
	oflag=append conv=notrunc
restart_and_remove 1
rm "$state/fill" "$state/rest"
touch /mnt/all/more
fsck_clean names
