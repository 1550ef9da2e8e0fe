#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: --cpus 1 --timeout 900
# timeout: 300
# Two namespaces in one daemon, each for itself.
. "$(dirname "$0")/lib.sh"

second=/mnt/second
mkdir -p $second
at_exit "umount -q $second"
orchctl init second >/dev/null
mount -t orchfs second $second
mkdir $second/no-bytes-needed
refused_soon 30 "No such device" touch $second/no-volume
umount $second
orchctl volume add vol2 "$ORCH_VOLUME_MNT/second" --namespace second >/dev/null
mount -t orchfs second $second
refused "several namespaces are served: name one by --namespace" \
	orchctl volume list
is "$(orchctl volume list --namespace second --json | python3 -I -c '
import json, sys
print(json.load(sys.stdin)[0]["name"])')" vol2 "volume of the second"

echo first >same-name
echo second >$second/same-name
is "$(cat same-name)" first "content in the first"
is "$(cat $second/same-name)" second "content in the second"
[ "$(stat -c %d .)" != "$(stat -c %d $second)" ] || fail "same device number"
refused "cross-device" ln same-name $second/link
refused "cross-device" python3 -I -c "import os; os.rename(\"same-name\", \"$second/moved\")"
is "$(cat same-name)" first "content after a refused move"
mv same-name $second/moved
is "$(cat $second/moved)" first "content after a copying move"
cp --reflink=auto $second/moved copied

before=$(orchctl upcalls --kind create --namespace second)
mkdir d1 d2 d3
is "$(orchctl upcalls --kind create --namespace second)" "$before" \
	"upcalls of the second for mkdir in the first"

opsrand --dir "$TEST_DIR/r" --ops 4000 --procs 2 --seed "$SEED" >/tmp/r1 &
one=$!
opsrand --dir $second/r --ops 4000 --procs 2 --seed "$SEED" >/tmp/r2 &
two=$!
orch-kill
wait $one || { cat /tmp/r1; fail "opsrand in the first"; }
wait $two || { cat /tmp/r2; fail "opsrand in the second"; }
is "$(cat $second/same-name)" second "content after the kill"
umount $second
touch still
mount -t orchfs second $second
is "$(cat $second/moved)" first "content after a new mount"
fsck_clean "$ORCH_NAMESPACE"
fsck_clean second
cd /
umount $second
orch-stop
orchctl fsck
orch-start
