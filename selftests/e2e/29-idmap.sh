#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 200
# Idmapped mounts: what XFS does.
. "$(dirname "$0")/lib.sh"

own() {
	stat -c '%n %a %u %g' "$@"
}

# The folder is mounted on $1 with its users 1000... as 20000...
mapped() {
	local mnt=$1
	umask 022
	mkdir theirs open roots
	chown 1000:1000 theirs
	chmod 2775 theirs
	chmod 777 open
	: >theirs/before
	chown 1005:1006 theirs/before
	own theirs/before "$mnt/theirs" "$mnt/theirs/before" "$mnt/roots"
	as() {
		setpriv --reuid="$1" --regid="$1" --clear-groups -- \
			"${@:2}" || echo "$1 failed: ${*:2}"
	}
	cd "$mnt"
	as 20000 sh -c 'echo mine >theirs/file; mkdir theirs/dir open/dir
		mkfifo theirs/fifo; ln -s x theirs/link; ln theirs/file open/hard'
	as 20000 sh -c 'echo more >>theirs/file; chmod 600 theirs/file'
	as 20000 cat theirs/file
	as 1000 touch theirs/no
	as 1000 cat theirs/file
	as 20000 touch roots/no
	as 20000 chown 20005 theirs/file
	as 20000 setfacl -m u:20003:rw theirs/file
	as 20003 cat theirs/file
	as 20000 setfacl -d -m u:20004:rwx theirs
	as 20000 sh -c 'echo x >theirs/inherits; mv theirs/inherits open/moved'
	chown 20007:20008 theirs/dir
	chown 1:1 theirs/dir || echo "cannot be mapped"
	touch open/by-root || echo "root cannot be mapped"
	python3 -I -c 'import os
try:
    os.close(os.open("open", os.O_TMPFILE | os.O_RDWR))
except OSError as e:
    print("tmpfile", e.strerror)'
	echo "-- through the mount"
	own theirs theirs/* open/*
	getfacl -n theirs theirs/file open/moved
	cd - >/dev/null
	echo "-- without it"
	own theirs theirs/* open/*
	getfacl -n theirs theirs/file open/moved
}

try() {
	local dir=$1
	mkdir -p /mnt/mapped
	cd "$dir"
	idmap "$dir" /mnt/mapped 1000 20000 100
	mapped /mnt/mapped 2>&1 | sed "s|$dir|DIR|g"
	cd /
	umount /mnt/mapped
}

measure=$(mktemp -d "$ORCH_VOLUME_MNT/idmap.XXXXXX")
at_exit "umount -q /mnt/mapped; rm -rf $measure"
chmod 755 "$measure" "$TEST_DIR"
(trap - ERR; set +e; try "$measure") >/tmp/idmap.xfs
(trap - ERR; set +e; try "$TEST_DIR") >/tmp/idmap.orch
diff /tmp/idmap.xfs /tmp/idmap.orch || fail "it isn't what XFS does"
grep -q 'theirs/file 660 20000 20000' /tmp/idmap.orch ||
	{ cat /tmp/idmap.orch; fail "nothing was mapped"; }
fsck_clean
