#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 400
# The kernel's NFS server exports the file system.
. "$(dirname "$0")/lib.sh"

modprobe -q nfsd || grep -q nfsd /proc/filesystems ||
	skip "this kernel has no NFS server"
modprobe -q nfsv4 || :
modprobe -q nfsv3 || :
server=127.0.0.1:$ORCH_MNT
mnt=/mnt/nfs

serve() {
	ip link set lo up
	mountpoint -q /proc/fs/nfsd || mount -t nfsd nfsd /proc/fs/nfsd
	mkdir -p /var/lib/nfs/v4recovery /var/lib/nfs/sm /run/rpcbind
	rpcbind -w
	exportfs -o rw,no_root_squash,no_subtree_check,fsid=77 "$server"
	rpc.mountd
	echo 10 >/proc/fs/nfsd/nfsv4leasetime
	echo 10 >/proc/fs/nfsd/nfsv4gracetime
	rpc.nfsd 4
	echo Y >/proc/fs/nfsd/v4_end_grace
}

unserve() {
	cd /
	umount -q -f "$mnt" || umount -q -l "$mnt"
	rpc.nfsd 0
	exportfs -ua
	exportfs -f
	pkill -x rpc.mountd
	pkill -x rpcbind
}

# exercise: in a folder that is on NFS; what it does is there on orchfs too
exercise() {
	local here=$1 there=$2
	mkdir -p "$here"
	cd "$here"
	head -c 3000000 /dev/urandom >data
	is "$(sha256sum <data)" "$(sha256sum <"$there/data")" "contents"
	mkdir -p d/e
	echo one >d/f
	ln d/f d/e/g
	mv d/f d/e/f
	is "$(stat -c %h "$there/d/e/g")" 2 "links"
	ln -s e/f d/link
	is "$(cat d/link)" one "contents behind a link"
	chmod 600 d/e/f
	is "$(stat -c %a "$there/d/e/f")" 600 "mode"
	truncate -s 100 data
	is "$(stat -c %s "$there/data")" 100 "size"
	seq -f 'n%04g' 300 | xargs touch
	is "$(find . -name 'n*' | wc -l)" 300 "names"
	rm d/e/g
	[ ! -e "$there/d/e/g" ] || fail "a removed name is there"
	refused "not empty" rmdir d/e
	exec 3<>held
	echo before >&3
	rm held
	echo after >&3
	exec 3>&-
	sync -f .
}

mkdir -p "$mnt"
serve
at_exit unserve

for vers in 3 4.2; do
	note "NFS $vers"
	mount -t nfs -o vers=$vers,nolock,soft,timeo=100 "$server" "$mnt"
	exercise "$mnt/test-$TEST_NAME/$vers" "$TEST_DIR/$vers"

	note "NFS $vers: nothing of it is cached, and the daemon restarts"
	mkdir -p a/b
	echo deep >a/b/file
	exec 3<a/b/file
	drop_caches
	# the new daemon shall not inherit what is on NFS
	(cd / && orch-kill 3<&-)
	is "$(cat a/b/file)" deep "a file after a restart"
	is "$(cat <&3)" deep "an open file after a restart"
	exec 3<&-
	(cd a/b && drop_caches && echo more >more && mv more ../less)
	is "$(cat "$TEST_DIR/$vers/a/less")" more "a file behind a handle"

	note "NFS $vers: what is removed behind its back is stale"
	exec 3<a/less
	exec 4<a
	rm -r "$TEST_DIR/$vers/a"
	drop_caches
	# with NFS 4 the server has it open, too
	if [ $vers = 3 ]; then
		refused "Stale file handle" cat /proc/self/fd/3
	else
		is "$(cat /proc/self/fd/3)" more "an open file that was removed"
	fi
	refused "Stale file handle" ls /proc/self/fd/4/
	exec 3<&- 4<&-
	cd /
	umount "$mnt"
done

note "the server restarts, and its handles are the same"
mount -t nfs -o vers=3,nolock,hard "$server" "$mnt"
cd "$mnt/test-$TEST_NAME/3"
exec 3<data
rpc.nfsd 0
rpc.nfsd 4
drop_caches
is "$(head -c 100 <&3 | wc -c)" 100 "an open file after a restart of the server"
exec 3<&-
cd /
umount "$mnt"
fsck_clean
