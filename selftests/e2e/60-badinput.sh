#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: --cpus 1 --timeout 900
# timeout: 600
# What is wrong is refused with a text that names it, nothing hangs, nothing
# is lost.
. "$(dirname "$0")/lib.sh"

volume_refused() {
	local text=$1
	shift
	refused_soon 30 "$text" orchctl volume add "$@"
}

note "volumes that can't be"
work=$ORCH_VOLUME_MNT/bad
mkdir -p $work
at_exit "umount -q $work/ro $work/tmp $work/over $work/tiny; chattr -i $work/i"
volume_refused /nonexistent v1 /nonexistent/a/b
touch $work/file
volume_refused $work/file v1 $work/file
mkdir $work/ro $work/tmp $work/over $work/tiny $work/full $work/i
mount --bind $work $work/ro
mount -o remount,bind,ro $work/ro
volume_refused read-only v1 $work/ro/v
chattr +i $work/i
volume_refused $work/i v1 $work/i/v
mount -t tmpfs tmpfs $work/tmp
volume_refused tmpfs v1 $work/tmp
modprobe -q overlay || grep -qw overlay /proc/filesystems ||
	fail "the kernel has no overlayfs"
mkdir $work/tmp/l $work/tmp/u $work/tmp/w
mount -t overlay -o "lowerdir=$work/tmp/l,upperdir=$work/tmp/u,workdir=$work/tmp/w" \
	overlay $work/over
volume_refused overlay v1 $work/over/v
volume_refused orchfs v1 "$TEST_DIR/v"
memory_drive tiny 60
mkfs.ext4 -q /dev/tiny
mount /dev/tiny $work/tiny
volume_refused MiB v1 $work/tiny/v
touch $work/full/something
volume_refused "not empty" v1 $work/full
volume_refused "$ORCH_VOLUME_MNT/orch is volume $ORCH_VOLUME already: choose another" \
	v1 "$ORCH_VOLUME_MNT/orch"
volume_refused "there is a volume $ORCH_VOLUME already" \
	"$ORCH_VOLUME" $work/other
volume_refused inside v1 "$ORCH_VOLUME_MNT/orch/below"
mount --bind "$ORCH_VOLUME_MNT/orch" $work/ro
volume_refused "$work/ro is volume $ORCH_VOLUME already: choose another" v1 $work/ro
umount $work/ro
long=$(printf 'n%.0s' {1..64})
volume_refused "'a/b' is no name for a volume: 1 to 63 of" 'a/b' $work/v
volume_refused "'$long' is no name for a volume: 1 to 63 of" "$long" $work/v
volume_refused "'' is no name for a volume: 1 to 63 of" '' $work/v
is "$(orchctl volume list --json | python3 -I -c 'import json,sys
print(len(json.load(sys.stdin)))')" 1 "number of volumes"
refused "there is no volume nosuch; see orchctl volume list" \
	orchctl volume remove nosuch
echo here >file
refused "$ORCH_VOLUME" orchctl volume remove "$ORCH_VOLUME"
is "$(cat file)" here "content after a refused removal"

note "another namespace's volume"
orchctl init other >/dev/null
at_exit "orchctl status >/dev/null"
orchctl volume add o1 $work/o1 --namespace other >/dev/null
refused_soon 30 other orchctl volume add v1 $work/o1 \
	--namespace "$ORCH_NAMESPACE"
refused_soon 30 "there is a namespace other already: choose another name" \
	orchctl init other
refused_soon 30 "'sla/sh' is no name for a namespace: 1 to 63 of" \
	orchctl init 'sla/sh'
refused_soon 30 "'$long' is no name for a namespace: 1 to 63 of" \
	orchctl init "$long"

note "a second daemon"
refused_soon 30 "$ORCHD_SOCKET" orchd -f
: >/tmp/second.log
orchd -f --socket /run/second.sock >>/tmp/second.log 2>&1 &
daemon=$!
wait_until 60 "a word of the second daemon" grep -q "stop that one" \
	/tmp/second.log
wait_until 20 "its socket" test -S /run/second.sock
orchctl status --socket /run/second.sock | grep -q "stop that one" ||
	fail "status of the second daemon does not tell"
kill $daemon
wait_until 60 "the second daemon to end" ended $daemon
soon 10 orchctl status >/dev/null
mkdir /tmp/state2
refused_soon 30 "namespace $ORCH_NAMESPACE, which is served from another directory" \
	orchctl init "$ORCH_NAMESPACE" --state-dir /tmp/state2 \
	--store "$ORCH_STATE/second"
touch still-served

note "names"
touch "$(printf 'n%.0s' {1..255})"
refused "too long" touch "$(printf 'n%.0s' {1..256})"
refused "too long" mkdir "$(printf 'ä%.0s' {1..128})"
mkdir "$(printf 'ä%.0s' {1..127})"

note "the control socket and an ordinary user"
as_root="$ORCHD_SOCKET: Permission denied: run orchctl as root"
refused "$as_root" as_user timeout 20 orchctl status
refused "$as_root" as_user timeout 20 orchctl stop
refused "$as_root" as_user timeout 20 orchctl volume remove "$ORCH_VOLUME"
as_user python3 -I - "$ORCHD_SOCKET" <<'EOP'
import socket, sys
for i in range(300):
    s = socket.socket(socket.AF_UNIX)
    try:
        s.connect(sys.argv[1])
    except PermissionError:
        continue
    s.settimeout(20)
    try:
        s.sendall(b"\x04\0\0\0\x08\x01\x5a\0")    # stop
        data = s.recv(4096)
        print("answered", data)
        if b"ermi" not in data and data:
            sys.exit("FAIL: an ordinary user was served")
    except OSError:
        pass
EOP
soon 10 orchctl status >/dev/null

note "the control socket and garbage"
python3 -I - "$ORCHD_SOCKET" "$SEED" <<'EOP'
import random, socket, struct, sys
random.seed(int(sys.argv[2]))
keep = []
for i in range(400):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(30)
    try:
        s.connect(sys.argv[1])
        kind = i % 6
        body = random.randbytes(random.randrange(200))
        if kind == 0:
            s.sendall(struct.pack("<I", len(body)) + body)
        elif kind == 1:
            s.sendall(struct.pack("<I", 0xffffffff) + body)
        elif kind == 2:
            s.sendall(struct.pack("<I", 1 << 20) + body)    # never the rest
            keep.append(s)
        elif kind == 3:
            s.sendall(body[:3])
            keep.append(s)
        elif kind == 4:
            s.sendall(struct.pack("<I", 0))
        else:
            s.sendall(b"\x06\0\0\0\x08\x01\x12\0\x08\x01" * 20)
    except OSError:
        pass
    keep = keep[-60:]
EOP
soon 20 orchctl status >/dev/null
touch still-served-too
is "$(orchctl upcalls --kind nonsense 2>/dev/null || echo $?)" 2 "exit code"

note "no space on a volume"
memory_drive small 400
mkdir -p /mnt/small /mnt/s
mkfs.xfs -q /dev/small
mount /dev/small /mnt/small
orchctl init small >/dev/null
orchctl volume add tiny /mnt/small/v --namespace small >/dev/null
mount -t orchfs small /mnt/s
at_exit "umount -q /mnt/s"
echo kept >/mnt/s/kept
refused "No space" dd if=/dev/zero of=/mnt/s/big bs=1M status=none
refused "/mnt/s/big2': No space" \
	dd if=/dev/zero of=/mnt/s/big2 bs=1M count=50 status=none conv=fsync
soon 20 stat -f /mnt/s >/dev/null
soon 60 sync -f /mnt/s
is "$(cat /mnt/s/kept)" kept "content on a full volume"
soon 60 rm /mnt/s/big /mnt/s/big2
wait_until 60 "space after rm" bash -c \
	'dd if=/dev/zero of=/mnt/s/again bs=1M count=20 status=none conv=fsync'
rm /mnt/s/again
umount /mnt/s
fsck_clean small

note "no inodes on a volume"
memory_drive few 200
mkdir -p /mnt/few
mkfs.ext4 -q -N 1600 /dev/few
mount /dev/few /mnt/few
orchctl init few >/dev/null
orchctl volume add few /mnt/few/v --namespace few >/dev/null
mount -t orchfs few /mnt/s
python3 -I - <<'EOP'
import errno
made = 0
try:
    for i in range(5000):
        open(f"/mnt/s/f{i}", "x").close()
        made += 1
    raise SystemExit("FAIL: 5000 files on a file system of 1600 inodes")
except OSError as e:
    assert e.errno == errno.ENOSPC, e
print(made, "files until ENOSPC")
EOP
soon 60 rm /mnt/s/f1?
wait_until 60 "inodes after rm" touch /mnt/s/again
umount /mnt/s
fsck_clean few

# PREFIX ERROR...: files until one of these errors
cat >/tmp/fill.py <<'EOP'
import errno, sys
try:
    for i in range(100000):
        open(f"/mnt/s/d/{sys.argv[1]}{i}", "x").close()
    raise SystemExit("FAIL: no error from a store that can't grow")
except OSError as e:
    assert errno.errorcode[e.errno] in sys.argv[2:], e
    print(i, "files until", e.strerror)
EOP

note "no space for the store"
memory_drive store 150
mkdir -p /mnt/store
mkfs.ext4 -q -N 512 /dev/store
mount /dev/store /mnt/store
orchctl init cramped --store /mnt/store/c >/dev/null
orchctl volume add c1 $work/c1 --namespace cramped >/dev/null
mount -t orchfs cramped /mnt/s
echo kept >/mnt/s/kept
mkdir /mnt/s/d
dd if=/dev/zero of=/mnt/store/fill bs=1M status=none 2>/dev/null || :
soon 240 python3 -I /tmp/fill.py $(printf 'n%.0s' {1..200}) ENOSPC EIO
is "$(cat /mnt/s/kept)" kept "content with a full store"
soon 120 rm -r /mnt/s/d
soon 60 sync -f /mnt/s
rm /mnt/store/fill
wait_until 60 "a create after space came back" touch /mnt/s/again
note "no inodes for the store"
mkdir /mnt/store/fill
touch /mnt/store/fill/{1..600} 2>/dev/null || :
mkdir /mnt/s/d
soon 240 python3 -I /tmp/fill.py "" ENOSPC
is "$(cat /mnt/s/kept)" kept "content without inodes for the store"
soon 120 rm -r /mnt/s/d
rm -r /mnt/store/fill
wait_until 60 "a create after inodes came back" touch /mnt/s/again2
umount /mnt/s
fsck_clean cramped
fsck_clean "$ORCH_NAMESPACE"
