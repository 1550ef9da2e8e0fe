#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# debug: no: of the tools
# vm: --cpus 1 --timeout 900
# timeout: 300
# A backup is taken while files are made and moved, and restored.
. "$(dirname "$0")/lib.sh"

store=$ORCH_STATE/$ORCH_NAMESPACE
first=$ORCH_VOLUME_MNT/orch
second=$ORCH_VOLUME_MNT/orch2

# sums FILE: of the bytes that are on the volumes, whosever they are.
sums() {
	find "$first/data" "$first/quarantine" "$second/data" \
		"$second/quarantine" -type f -size +0 ! -perm 0000 \
		-exec sha256sum {} + | cut -c 1-64 | sort >"$1"
}

deletions_ended() {
	sync
	wait_until 60 "the end of deletions" bash -c \
		'orchctl status --json | grep -q "\"deletions\": *0"'
}

# A restore leaves on the volumes what was there.
nothing_deleted() {
	deletions_ended
	sums /tmp/bytes.after
	comm -23 /tmp/bytes.before /tmp/bytes.after | grep . &&
		fail "contents were deleted"
	:
}

opsrand --dir "$TEST_DIR/tree" --ops 3000 --procs 4 --seed "$SEED" >/dev/null
(cd tree && find . -xdev | sort >/tmp/names.before)
(cd tree && find . -type f -exec sha256sum {} + | sort >/tmp/sums.before)
(cd tree && find . -printf '%p %y %m %u %g %n %s %l\n' | sort >/tmp/stat.before)
setfattr -n user.kept -v yes tree
opsrand --dir "$TEST_DIR/busy" --ops 3000 --procs 2 --seed "$SEED" \
	>/tmp/busy.out &
job=$!

note "a file is being moved, another one has no name yet"
orchctl volume add second "$second"
head -c 3000000 /dev/urandom >moving
to=second
[ "$(volume_of moving)" = "$ORCH_VOLUME" ] || to=$ORCH_VOLUME
sum=$(sha256sum moving)
sync
orchctl move --detach --rate 64K moving "$to"
copying() {
	find "$first/data" "$second/data" -perm 0000 -size 3000000c | grep -q .
}
wait_until 60 "the copy to have its size" copying
mkfifo /tmp/go
python3 -I -c '
import os
fd = os.open(".", os.O_TMPFILE | os.O_RDWR)
os.write(fd, b"made without a name\n" * 100)
os.fsync(fd)
print("ready", flush=True)
open("/tmp/go").close()
proc = os.open("/proc/self/fd", os.O_PATH)
os.link(str(fd), "named", src_dir_fd=proc)' >/tmp/ready &
named=$!
wait_until 60 "the file without a name" grep -q ready /tmp/ready
orchctl backup /var/tmp/backup
copying || fail "the file has been moved already"
wait $job || { cat /tmp/busy.out; fail "opsrand during the backup"; }
: >/tmp/go
wait $named || fail "the file gets no name"
orchctl jobs cancel 1
wait_until 60 "the end of the job" bash -c \
	'orchctl jobs show 1 | grep -q cancelled'
orchctl move moving "$to"
is "$(volume_of moving)" "$to" "where the moved file is"
echo later >after-the-backup
: >empty-after-the-backup
refused "there is a namespace $ORCH_NAMESPACE already: choose another name" \
	orchctl restore /var/tmp/backup --namespace "$ORCH_NAMESPACE"
deletions_ended
cd /
orch-stop

note "restore into the place of a lost store"
# outside the state directory, where it would be served as well
mv "$store" /var/tmp/lost
refused "this is no backup of orchfs" \
	orchctl restore /dev/null --namespace "$ORCH_NAMESPACE"
head -c 1000 /var/tmp/backup >/var/tmp/half
refused "cut short: use a complete one" \
	orchctl restore /var/tmp/half --namespace "$ORCH_NAMESPACE"
rm -rf "$store"
sums /tmp/bytes.before
orchctl restore /var/tmp/backup --namespace "$ORCH_NAMESPACE" | tee /tmp/told
grep -q "^ *1  files were moved after" /tmp/told || fail "no moved file is told"
orch-start
nothing_deleted
cd "$TEST_DIR"
is "$(sha256sum moving)" "$sum" "the moved file"
is "$(volume_of moving)" "$to" "where the moved file is"
is "$(orchctl jobs list --json | grep -c '"id"')" 0 "old jobs"
[ ! -e named ] || fail "a file that had no name has one"
is "$(grep -lr "made without a name" "$first/quarantine" \
	"$second/quarantine" | wc -l)" 1 "files without a name in quarantine"
(cd tree && find . -xdev | sort | diff /tmp/names.before -)
(cd tree && find . -type f -exec sha256sum {} + | sort | diff /tmp/sums.before -)
(cd tree && find . -printf '%p %y %m %u %g %n %s %l\n' | sort |
	diff /tmp/stat.before -)
is "$(getfattr --only-values -n user.kept tree)" yes "xattr"
[ ! -e after-the-backup ] || fail "a later file is in the restored tree"
last=$(find . -printf '%i\n' | sort -n | tail -n 1)
echo new >new
is "$(cat new)" new "a new file"
[ "$(stat -c %i new)" -gt "$last" ] || fail "a number is used again"
new=$(stat -c %i new)
# some of its files were removed after the backup: they have lost their contents
rm -r busy
deletions_ended
fsck_clean
cd /
orch-stop
fsck_clean

note "the same backup again, over the store that is there"
sums /tmp/bytes.before
orchctl restore --json /var/tmp/backup --namespace "$ORCH_NAMESPACE" \
	--store "$store" >/tmp/restored
is "$(python3 -I -c '
import json
print(json.load(open("/tmp/restored"))["store"])')" "$store" "store in JSON"
orch-start
nothing_deleted
cd "$TEST_DIR"
(cd tree && find . -type f -exec sha256sum {} + | sort | diff /tmp/sums.before -)
[ ! -e new ] || fail "a file of the first restore is in the second"
echo again >new
is "$(cat new)" again "a new file"
[ "$(stat -c %i new)" -gt "$new" ] || fail "a number is used again"
# some of its files were removed after the backup: they have lost their contents
rm -r busy
deletions_ended
fsck_clean
cd /
orch-stop
fsck_clean
[ -s "$(echo "$ORCH_STATE/.$ORCH_NAMESPACE".replaced-*)/db/CURRENT" ] ||
	fail "the store that was there is not kept"
orch-start
