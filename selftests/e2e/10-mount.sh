#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# debug: leaks
# timeout: 240
# Mounting: twice, below a directory, with options, by the wrong people.
. "$(dirname "$0")/lib.sh"

second=/mnt/second
mkdir -p $second
at_exit "umount -q $second"

note "a second mount is the same file system"
echo one >one
mount -t orchfs "$ORCH_NAMESPACE" $second
is "$(findmnt -n -o FSTYPE $second)" orchfs "type"
is "$(stat -c %d $second)" "$(stat -c %d "$ORCH_MNT")" "device number"
rel=${TEST_DIR#"$ORCH_MNT"}
is "$(cat "$second$rel/one")" one "content through the second mount"
echo two >"$second$rel/two"
is "$(cat two)" two "content through the first mount"
umount $second

note "a directory of the namespace can be mounted"
mkdir -p sub/deep
echo deep >sub/deep/file
mount -t orchfs "$ORCH_NAMESPACE:$rel/sub" $second
is "$(cat $second/deep/file)" deep "content in the subtree"
is "$(stat -c %i $second/..)" "$(stat -c %i /mnt)" "the subtree's parent"
umount $second
refused "$ORCH_NAMESPACE" mount.orchfs "$ORCH_NAMESPACE:$rel/none" $second
refused "ot a directory" mount.orchfs "$ORCH_NAMESPACE:$rel/one" $second
! mountpoint -q $second || fail "a refused mount is there"

note "options"
mount -t orchfs -o ro "$ORCH_NAMESPACE" $second
refused "Read-only" touch "$second$rel/x"
refused "Read-only" mkdir "$second$rel/x"
echo "the first mount stays writable" >three
mount -o remount,rw $second
touch "$second$rel/x"
mount -o remount,ro $second
refused "Read-only" rm "$second$rel/x"
umount $second
printf '#!/bin/sh\nexit 0\n' >script
chmod 755 script
mknod null c 1 3
mount -t orchfs -o noexec,nodev,nosuid "$ORCH_NAMESPACE" $second
refused "ermission denied" "$second$rel/script"
refused "ermission denied" sh -c "echo x >$second$rel/null"
./script
echo x >null
umount $second
cp "$(command -v id)" suid
chown 1000:1000 suid
chmod 4755 suid
is "$(./suid -u)" 1000 "effective user of a setuid program"
mount -t orchfs -o nosuid "$ORCH_NAMESPACE" $second
is "$("$second$rel/suid" -u)" 0 "effective user with nosuid"
umount $second

note "access times"
touch -a -d '2001-01-01' one
mount -t orchfs -o noatime "$ORCH_NAMESPACE" $second
cat "$second$rel/one" >/dev/null
is "$(stat -c %x one | cut -c 1-4)" 2001 "atime after a read with noatime"
umount $second
cat one >/dev/null
[ "$(stat -c %x one | cut -c 1-4)" != 2001 ] || fail "relatime: atime stays"

note "options of orchfs"
refused nonsense mount.orchfs -o nonsense "$ORCH_NAMESPACE" $second
refused upcall_timeout mount.orchfs -o upcall_timeout=0 "$ORCH_NAMESPACE" \
	$second
refused upcall_errno mount.orchfs -o upcall_errno=EBEANS "$ORCH_NAMESPACE" \
	$second
mount -o remount,upcall_timeout=33,upcall_errno=ETIMEDOUT "$ORCH_MNT"
grep " $ORCH_MNT " /proc/mounts | grep -q upcall_timeout=33
grep " $ORCH_MNT " /proc/mounts | grep -q upcall_errno=ETIMEDOUT
refused upcall_timeout mount.orchfs -o upcall_timeout=44 "$ORCH_NAMESPACE" \
	$second
mount -o remount,upcall_timeout=60,upcall_errno=EIO "$ORCH_MNT"

synchronous() {
	grep " $ORCH_MNT " /proc/mounts | grep -q '[ ,]sync[, ]'
}
mount -o remount,sync "$ORCH_MNT"
synchronous || fail "remount,sync has no effect"
usual_timeout
synchronous || fail "a remount that doesn't speak of it ends sync"
mount -o remount,async "$ORCH_MNT"
! synchronous || fail "remount,async has no effect"

note "who may mount"
refused "only root may mount" as_user mount.orchfs "$ORCH_NAMESPACE" $second
refused "only root may mount" \
	unshare -Urm mount.orchfs "$ORCH_NAMESPACE" $second
refused "only root may mount" as_user \
	unshare -Urm mount.orchfs "$ORCH_NAMESPACE" $second
! mountpoint -q $second || fail "mounted by an ordinary user"

note "unknown namespace"
refused nosuchname mount.orchfs nosuchname $second
refused "a source is NAMESPACE or NAMESPACE:/DIR" mount.orchfs "" $second
long=$(printf 'n%.0s' {1..100})
refused "'$long' is not NAMESPACE or NAMESPACE:/DIR" \
	mount.orchfs "$long" $second

note "busy, lazy, bind"
exec 5<one
refused busy umount "$ORCH_MNT"
mount --bind sub $second
is "$(cat $second/deep/file)" deep "content through a bind mount"
umount $second
exec 5<&-
mount -t orchfs "$ORCH_NAMESPACE" $second
exec 6<>"$second$rel/one"
umount -l $second
echo lazily >&6
exec 6>&-
is "$(cat one)" lazily "content after a lazy umount"

note "no daemon"
cd /
orch-stop
refused_soon 20 "orchd" mount.orchfs "$ORCH_NAMESPACE" $second
orch-start
is "$(cat "$TEST_DIR/two")" two "content after the daemon's restart"
df "$ORCH_MNT" | tail -n 1
