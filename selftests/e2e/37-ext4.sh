#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# long: uml
# debug: no: the module's part is the same as on XFS
# timeout: 300
# A namespace whose only volume is on ext4: the rules of POSIX and Linux,
# random operations with the daemon killed, fsck. What doesn't hold or is
# skipped there has to be so on ext4 itself.
. "$(dirname "$0")/lib.sh"

mnt=/mnt/ext4
vol=/mnt/ext4-volume

# The next test wants one namespace and no drive of this one.
gone() {
	cd /
	! mountpoint -q $mnt || umount $mnt
	orch-stop
	rm -rf "${ORCH_STATE:?}/ext4"
	umount $vol
	echo 0 >/sys/kernel/config/nullb/nullx/power
	rmdir /sys/kernel/config/nullb/nullx
	orch-start >/dev/null
}

at_exit gone
memory_drive nullx 800
mkfs.ext4 -q /dev/nullx
mkdir -p $mnt $vol
mount /dev/nullx $vol
orchctl init ext4 >/dev/null
orchctl volume add volx $vol/orch --namespace ext4 >/dev/null
mount -t orchfs ext4 $mnt

note "rules"
mkdir $mnt/rules $vol/rules
posixcheck $mnt/rules >/tmp/posix.ext4 || :
grep -Ev '^ok [0-9]+ - [^#]*$' /tmp/posix.ext4
[ "$(grep -c '^ok [0-9]* - [^#]*$' /tmp/posix.ext4)" -ge 300 ] ||
	fail "rules are missing"
sed -n 's/^not ok [0-9]* - /fails /p
	s/^ok [0-9]* - \(.*\) # SKIP$/skips \1/p' /tmp/posix.ext4 >/tmp/left
worse=()
while read -r how name; do
	said=$(posixcheck $vol/rules "$name") || :
	note "on ext4 itself: $said"
	case $how:$said in
	fails:*"not ok "* | skips:*"# SKIP"*) ;;
	*) worse+=("$how: $name") ;;
	esac
done </tmp/left
is "${worse[*]}" "" "what holds on ext4 only"

note "a project, which ext4 keeps if it is made so only"
mkdir $mnt/project
xfs_io -c 'chproj 5' -c 'chattr +P' $mnt/project
refused "Operation not supported" touch $mnt/project/file
is "$(ls $mnt/project)" "" "names of what was refused"
is "$(orchctl volume show volx --namespace ext4 --json | json_first state)" \
	online "state of the volume"

note "random operations"
opsrand --dir $mnt/r --seed "$SEED" --ops "$(long_or 100000 6000)" --procs 4 \
	--drop 500 --hook orch-kill --hook-every "$(long_or 20000 2000)" |
	tee /tmp/opsrand.ext4
grep -Eq 'unsupported: (none|clone)$' /tmp/opsrand.ext4 ||
	fail "operations are not supported that ext4 supports"
is "$(orchctl where --json --namespace ext4 "$(find $mnt/r -type f -size +0 |
	head -n 1)" | json_first volume)" volx "volume of the files"
fsck_clean ext4
cd /
umount $mnt
mount -t orchfs ext4 $mnt
soon 60 rm -r $mnt/r
umount $mnt
orch-stop
is "$(find $vol/orch/quarantine -type f | wc -l)" 0 "files in quarantine"
orchctl fsck ext4 || fail "fsck without the daemon found faults"
