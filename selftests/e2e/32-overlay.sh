#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
# overlayfs with upper and lower layer on orchfs: what it is on XFS.
. "$(dirname "$0")/lib.sh"

modprobe -q overlay || grep -q overlay /proc/filesystems ||
	skip "this kernel has no overlayfs"
at_exit "umount -q /mnt/overlay"
mkdir -p /mnt/overlay

# layers DIR OPTIONS: what a container does to its root
layers() {
	local dir=$1 options=$2
	cd "$dir"
	mkdir lower lower2 upper work
	mkdir -p lower/etc lower/usr/bin lower2/etc lower/var/empty
	echo one >lower/etc/one
	echo two >lower/etc/two
	echo below >lower2/etc/below
	ln lower/etc/one lower/etc/hard
	ln -s one lower/etc/link
	printf '#!/bin/sh\necho runs\n' >lower/usr/bin/prog
	chmod 4755 lower/usr/bin/prog
	setfattr -n user.a -v value lower/etc/one
	mount -t overlay overlay /mnt/overlay -o \
		"lowerdir=lower:lower2,upperdir=upper,workdir=work$options"
	cd /mnt/overlay
	echo more >>etc/one
	cat etc/one etc/hard etc/below
	getfattr -d etc/one
	rm etc/two
	mv usr/bin usr/sbin
	usr/sbin/prog
	rm -r var
	mkdir var
	ls -A var
	mv etc/below etc/moved
	ln etc/moved etc/moved2
	chown 5:6 etc/moved
	mkdir -p deep/a/b
	touch deep/a/b/{1..50}
	mv deep/a deep/c
	python3 -I -c 'import os
fd = os.open("deep", os.O_TMPFILE | os.O_RDWR)
os.write(fd, b"tmp")
os.link("/proc/self/fd/%d" % fd, "deep/tmp", follow_symlinks=True)'
	cat deep/tmp
	find . | sort
	stat -c '%n %A %u %g %h' etc/* deep usr/sbin/prog
	cd "$dir"
	echo "-- the layer above"
	find upper | sort
	find upper -type c | sort
	umount /mnt/overlay
	echo "-- mounted again"
	mount -t overlay overlay /mnt/overlay -o \
		"lowerdir=lower:lower2,upperdir=upper,workdir=work$options"
	(cd /mnt/overlay && find . -type f -exec sha256sum {} + | sort)
	umount /mnt/overlay
	echo "-- and again, with nothing in memory"
	echo 2 >/proc/sys/vm/drop_caches
	mount -t overlay overlay /mnt/overlay -o \
		"lowerdir=lower:lower2,upperdir=upper,workdir=work$options"
	# a handle tells where the lower file is, whose name nobody has used
	cat /mnt/overlay/etc/one /mnt/overlay/etc/one
	stat -c '%n %h' /mnt/overlay/etc/one
	umount /mnt/overlay
	cd /
}

measure=$(mktemp -d "$ORCH_VOLUME_MNT/overlay.XXXXXX")
at_exit "rm -rf $measure"
n=0
for options in "" ,redirect_dir=on,index=on,metacopy=on ,nfs_export=on,index=on; do
	n=$((n + 1))
	note "options '$options'"
	mkdir "$measure/$n" "$n"
	dmesg -C 2>/dev/null || :
	(trap - ERR; set +e; layers "$measure/$n" "$options") >/tmp/overlay.xfs 2>&1
	(trap - ERR; set +e; layers "$TEST_DIR/$n" "$options") >/tmp/overlay.orch 2>&1 ||
		{ cat /tmp/overlay.orch; dmesg | tail; fail "on orchfs"; }
	diff /tmp/overlay.xfs /tmp/overlay.orch || fail "it isn't what XFS does"
	[ "$(wc -l </tmp/overlay.orch)" -gt 60 ] || {
		cat /tmp/overlay.orch
		fail "too little was compared"
	}
	cd "$TEST_DIR"
done
! dmesg | grep 'overlayfs:.*fall\|overlayfs:.*not support' ||
	fail "overlayfs does without something"

note "layers on both file systems, and a restart"
mkdir -p "$measure/low" up wk
echo low >"$measure/low/f"
mount -t overlay overlay /mnt/overlay -o \
	"lowerdir=$measure/low,upperdir=$TEST_DIR/up,workdir=$TEST_DIR/wk"
echo up >>/mnt/overlay/f
orch-kill
is "$(cat /mnt/overlay/f)" "low
up" "a file that was copied up"
rm /mnt/overlay/f
[ ! -e /mnt/overlay/f ] || fail "a removed file is there"
is "$(stat -c %F up/f)" "character special file" "whiteout"
umount /mnt/overlay

note "random operations"
mkdir low up2 wk2
mount -t overlay overlay /mnt/overlay -o lowerdir=low,upperdir=up2,workdir=wk2
opsrand --dir /mnt/overlay/r --ops 2000 --procs 2 --seed "$SEED" >/tmp/r ||
	{ tail /tmp/r; fail "random operations on overlayfs"; }
umount /mnt/overlay
fsck_clean
