#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# debug: no: about the daemon
# timeout: 300
# The only volume doesn't answer for a while: it is called silent, what needs
# no new backing file goes on, creates wait for it and then succeed.
. "$(dirname "$0")/lib.sh"
at_exit "fsfreeze -u $ORCH_VOLUME_MNT 2>/dev/null"

# more than are made ahead
cat >/tmp/make.py <<'EOP'
import os, sys
for i in range(int(sys.argv[1])):
    os.mknod(f"made/{i}")
EOP

mkdir made
echo text >file
exec 3<file
sync
# more than are made ahead: making more, and a look behind that, waits in the
# frozen file system
fsfreeze -f "$ORCH_VOLUME_MNT"
python3 -I /tmp/make.py 3000 &
make=$!
wait_until 60 "the volume to be called silent" volume_is "$ORCH_VOLUME" silent
orchctl status | grep -q "has not answered" || fail "status doesn't tell"
! ended $make || fail "3,000 files were made on a frozen volume"
is "$(kernel_says waiting)" 1 "requests that wait"
# what needs no new file
soon 10 mkdir goes-on
is "$(soon 10 cat <&3)" text "what is open"
soon 10 rm file
fsfreeze -u "$ORCH_VOLUME_MNT"
wait $make || fail "a create failed"
is "$(ls made | wc -l)" 3000 "files"
wait_until 60 "the volume to answer" volume_is "$ORCH_VOLUME" online
exec 3<&-
rm -r made
fsck_clean
