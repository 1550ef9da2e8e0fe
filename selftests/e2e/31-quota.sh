#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# debug: no: about the daemon
# vm: --cpus 1 --timeout 900
# timeout: 300
# Quotas of the volume's file system hold for whom the files belong to.
. "$(dirname "$0")/lib.sh"

mnt=/mnt/quota
vol=/mnt/quota-volume
at_exit "umount -q $mnt; orch-stop; umount -q $vol; orch-start >/dev/null"
memory_drive nullq 400
mkfs.xfs -q /dev/nullq
mkdir -p $mnt $vol
mount -o usrquota,grpquota,prjquota /dev/nullq $vol
orchctl init quota >/dev/null
orchctl volume add volq $vol/orch --namespace quota >/dev/null
mount -t orchfs quota $mnt
chmod 777 $mnt

quota() {
	xfs_quota -x -c "$1" $vol
}

# used u|g|p ID: KiB that the volume's file system accounts to it
used() {
	sync -f $mnt
	quota "quota -N -n -b -$1 $2" | awk '{print $2}'
}

note "space belongs to owner and group"
as_user fallocate -l 5M $mnt/mine
is "$(used u 1000)" 5120 "space of the user"
is "$(used g 1000)" 5120 "space of the group"
fallocate -l 3M $mnt/roots
chown 1001 $mnt/roots
is "$(used u 1001)" 3072 "space after chown"
is "$(used u 1000)" 5120 "space of the other user"
chgrp 2000 $mnt/mine
is "$(used g 2000)" 5120 "space after chgrp"
is "$(used g 1000)" "" "space of the former group"
chown 0:0 $mnt/roots
is "$(used u 1001)" "" "space after it was given back"

note "a limit is a limit"
quota 'limit -u bsoft=0 bhard=8m isoft=0 ihard=6 1000'
refused "Disk quota exceeded" \
	as_user dd if=/dev/zero of=$mnt/mine bs=1M count=20 status=none
[ "$(stat -c %s $mnt/mine)" -le 8388608 ] || fail "more than the limit"
refused "Disk quota exceeded" \
	as_user fallocate -l 20M $mnt/mine
as_user sh -c "echo >$mnt/mine"
as_user sh -c "for i in 1 2 3 4 5; do : >$mnt/n\$i; done"
refused "Disk quota exceeded" as_user touch $mnt/n6
[ ! -e $mnt/n6 ] || fail "a name without a file"
: >$mnt/given
refused "Disk quota exceeded" chown 1000 $mnt/given
is "$(stat -c %u $mnt/given)" 0 "owner after a refused chown"
dd if=/dev/zero of=$mnt/large bs=1M count=9 status=none
as_user rm $mnt/n1 $mnt/n2
wait_until 60 "space that is given back" as_user touch $mnt/n6
refused "Disk quota exceeded" chown 1000 $mnt/large
touch $mnt/root-may

note "projects"
mkdir $mnt/project
xfs_io -c 'chproj 42' -c 'chattr +P' $mnt/project
is "$(xfs_io -r -c lsproj $mnt/project)" "projid = 42" "project"
quota 'limit -p bhard=10m 42'
mkdir $mnt/project/sub
chmod 777 $mnt/project/sub
fallocate -l 4M $mnt/project/sub/a
is "$(xfs_io -r -c lsproj $mnt/project/sub/a)" "projid = 42" \
	"inherited project"
is "$(used p 42)" 4096 "space of the project"
refused "No space" dd if=/dev/zero of=$mnt/project/sub/b bs=1M \
	count=20 status=none
refused "cross-device" python3 -I -c \
	"import os; os.rename('$mnt/large', '$mnt/project/large')"
refused "cross-device" ln $mnt/large $mnt/project/large
xfs_io -c 'chproj 0' $mnt/project/sub/a
rm $mnt/project/sub/b
wait_until 60 "an empty project" sh -c \
	"sync -f $mnt; test -z \"\$(xfs_quota -x -c 'quota -N -n -b -p 42' $vol)\""

note "after a restart"
orch-kill
quota 'limit -u bhard=0 ihard=0 1000'
as_user dd if=/dev/zero of=$mnt/again bs=1M count=2 status=none
is "$(stat -c %u $mnt/again)" 1000 "owner"
dd if=/dev/zero of=$mnt/roots2 bs=1M count=1 status=none
[ "$(used u 1000)" -ge 2048 ] || fail "space isn't accounted after a restart"
for i in $(seq 300); do : >"$mnt/many$i"; done
as_user sh -c "for i in \$(seq 300); do : >$mnt/users\$i; done"
files=$(quota 'quota -N -n -i -u 1000' | awk '{print $2}')
[ "$files" -ge 300 ] || fail "$files files are accounted"
umount $mnt
orchctl fsck quota
