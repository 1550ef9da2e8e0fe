#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# debug: no: about the daemon
# timeout: 300
# The only volume doesn't answer for a while: it is called silent, what needs
# no new backing file goes on, creates wait for it and then succeed; those whose
# callers are killed are not in the way of an unmount, and don't happen later.
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
daemon=$(daemon_pid)
refused_soon 60 "volume $ORCH_VOLUME does not answer" orchctl upgrade
is "$(daemon_pid)" "$daemon" "the daemon after an upgrade that was refused"
soon 10 mkdir goes-on-further
fsfreeze -u "$ORCH_VOLUME_MNT"
wait $make || fail "a create failed"
is "$(ls made | wc -l)" 3000 "files"
wait_until 60 "the volume to answer" volume_is "$ORCH_VOLUME" online
exec 3<&-
rm -r made

note "callers that are killed while they wait"
# one a directory, which is locked meanwhile; more than a mount has slots
cat >/tmp/many.py <<'EOP'
import os
for p in range(70):
    os.mkdir(f"made/{p}")
os.sync()
os.system(f"fsfreeze -f {os.environ['ORCH_VOLUME_MNT']}")
for p in range(70):
    if not os.fork():
        for i in range(100):
            os.mknod(f"made/{p}/{i}")
        os._exit(0)
while True:
    os.wait()
EOP
mkdir made
setsid python3 -I /tmp/many.py &
make=$!
request_waits 64
kill -KILL -- -$make
wait $make || :
cd /
wait_until 60 "the unmount" umount "$ORCH_MNT"
fsfreeze -u "$ORCH_VOLUME_MNT"
namespace_mount
cd "$TEST_DIR"
made=$(find made -type f | wc -l)
[ "$made" -lt 6900 ] || fail "nothing had to wait: $made files were made"
wait_until 60 "the volume to answer" volume_is "$ORCH_VOLUME" online
soon 60 touch new
is "$(find made -type f | wc -l)" "$made" "files, after the volume is back"
rm -r made
fsck_clean
