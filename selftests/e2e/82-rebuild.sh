#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# debug: no: of the tools
# vm: --cpus 2 --timeout 1500
# timeout: 600
# The store is lost, the volumes are left: after a clean umount everything is
# back; in the middle of work the bytes are; without any export as well.
. "$(dirname "$0")/lib.sh"

store=$ORCH_STATE/$ORCH_NAMESPACE
first=$ORCH_VOLUME_MNT/orch
second=$ORCH_VOLUME_MNT/orch2
cd /
at_exit "orch-start"

# manifest DIR FILE: names, types, modes, owners, links, times; contents;
# extended attributes. Not atime, which is told late.
manifest() {
	(
		cd "$1"
		find . -printf '%p %y %m %U:%G %n %T@ %l\n' | sort
		find . -type f -printf '%p %s\n' | sort
		find . -type f -exec sha256sum {} + | sort
		find . -type f -links +1 -printf '%i %p\n' | sort -k 2 |
			awk '!($1 in f) { f[$1] = $2 } { print f[$1], $2 }'
		getfattr -R -h -d -m '^(user|security|trusted)\.' -e hex . |
			awk 'BEGIN { RS = "" } { print | "sort" }'
	) >"$2"
}

# told NAME: a number of the last report.
told() {
	json_first "$1" </tmp/report
}

# rebuild [OPTION...]: the newest volume records are on both volumes.
rebuild() {
	orchctl rebuild "$ORCH_NAMESPACE" "$first" "$second" --json "$@" \
		>/tmp/report || fail "rebuild $*"
}

# The store of a machine that was switched off.
lose() {
	rm -rf "${store:?}"
}

note "a tree on two volumes"
orchctl volume add second "$second" --namespace "$ORCH_NAMESPACE"
mkdir "$TEST_DIR/tree"
cd "$TEST_DIR/tree"
for i in {1..200}; do
	head -c $((i * 37)) /dev/urandom >"file$i"
done
mkdir -p a/b/c locked && chmod 700 locked && chown 1000:1001 locked
ln file1 a/linked
ln -s ../file2 a/symbolic
mkfifo a/b/fifo
mknod a/b/null c 1 3
printf 'x' >$'a/b/c/not \xff UTF-8'
setfattr -n user.comment -v "a value" file3
setfattr -n trusted.long -v "$(printf 'z%.0s' {1..2000})" a
chmod 4755 file4
chown 1000:1000 file5
touch -d '2001-02-03 04:05:06.789 UTC' file6 a/b
truncate -s 8M sparse
cd /
manifest "$TEST_DIR" /tmp/before

note "lost after a clean umount: everything is back"
refused "stop it first" orchctl rebuild "$ORCH_NAMESPACE" "$first" "$second"
orch-stop
refused "there is a namespace" orchctl rebuild "$ORCH_NAMESPACE" "$first" \
	"$second"
lose
refused "not among those given" orchctl rebuild "$ORCH_NAMESPACE" "$first"
refused "name the root" orchctl rebuild "$ORCH_NAMESPACE" /nowhere
refused "no .orchfs-volume" orchctl rebuild "$ORCH_NAMESPACE" /tmp
rebuild --dry-run
is "$(told missing) $(told lost_found)" "0 0" "what a dry run misses"
[ ! -e "$store" ] || fail "a dry run has left a store"
mkdir "$store"
mount -t tmpfs store "$store"
mkdir "$store/lost+found"
rebuild
[ -s "$store/db/CURRENT" ] || fail "no store is on the drive of its own"
refused "there is a namespace" orchctl rebuild "$ORCH_NAMESPACE" "$first" \
	"$second"
umount "$store"
rebuild
is "$(told missing) $(told lost_found) $(told written_since)" "0 0 0" \
	"what is not as it was"
is "$(told empty) $(told spare)" "0 0" "files to quarantine"
orch-start
manifest "$TEST_DIR" /tmp/after
diff /tmp/before /tmp/after || fail "the tree is another one"
fsck_clean "$ORCH_NAMESPACE"

note "lost in the middle of work: the bytes are there"
cd "$TEST_DIR"
echo "changed after the export" >>tree/file7
echo "a new file" >later
mkdir new-folder
head -c 300000 /dev/urandom >new-folder/big
later=$(stat -c %i later) big=$(stat -c %i new-folder/big)
rm tree/file8
mv tree/file9 moved
: >empty
# its copy has the whole size from the first moment
head -c 3000000 /dev/urandom >moving
moving=$(stat -c %i moving) to=second
[ "$(volume_of moving)" = "$ORCH_VOLUME" ] || to=$ORCH_VOLUME
sums=$(sha256sum later new-folder/big moving tree/file7 moved | cut -c 1-64)
sync
orchctl move --detach --rate 64K moving "$to"
copying() {
	find "$first/data" "$second/data" -perm 0000 -size 3000000c | grep -q .
}
wait_until 60 "the copy to have its size" copying
sync
wait_until 60 "the end of deletions" bash -c \
	'orchctl status --json | grep -q "\"deletions\": *0"'
cd /
orch-kill --no-restart
umount "$ORCH_MNT"
lose
rebuild
cat /tmp/report
is "$(told lost_found)" 3 "files without a name"
is "$(told spare) $(told incomplete)" "1 0" "copies that are not whole"
is "$(told missing) $(sed -n 's/.*"missing_paths": *//p' /tmp/report)" \
	"1 [ \"/${TEST_DIR#"$ORCH_MNT"/}/tree/file8\" ]," "names without contents"
is "$(told written_since)" 1 "files written after the export"
orch-start
cd "$TEST_DIR"
found=$ORCH_MNT/lost+found
is "$(sha256sum "$found/$later" "$found/$big" "$found/$moving" tree/file7 \
	tree/file9 | cut -c 1-64)" "$sums" "contents"
is "$(stat -c %a:%u "$found" "$found/$later" | xargs)" "700:0 600:0" "modes"
refused "Input/output error" cat tree/file8
rm tree/file8
echo works >works
is "$(cat works)" works "a new file"
mv "$found/$later" later
cd /
fsck_clean "$ORCH_NAMESPACE"
manifest "$TEST_DIR" /tmp/before

note "the newest export is damaged on both volumes"
orch-stop
for volume in "$first" "$second"; do
	newest=$(find "$volume/names" -type f -printf '%T@ %p\n' | sort -n |
		tail -n 1 | cut -d ' ' -f 2)
	truncate -s -1 "$newest"
done
lose
rebuild
is "$(grep -o 'cut short' /tmp/report | wc -l)" 2 "damaged exports"
[ "$(told export)" != null ] || fail "no older export was taken"

note "no export at all"
lose
find "$first/names" "$second/names" -type f -delete
rebuild
# the names of the volumes are lost, too, and the rig wants its own
orch-start >/dev/null 2>&1 || mount -t orchfs "$ORCH_NAMESPACE" "$ORCH_MNT"
is "$(told export)" null "export"
[ "$(told lost_found)" -gt 190 ] || fail "only $(told lost_found) files"
(find "$found" -type f -size +0 -exec sha256sum {} + | cut -c 1-64 | sort -u) \
	>/tmp/found
grep -oE '^[0-9a-f]{64} ' /tmp/before | tr -d ' ' | sort -u |
	grep -v "$(sha256sum </dev/null | cut -c 1-64)" >/tmp/wanted
comm -23 /tmp/wanted /tmp/found | grep . && fail "contents are lost"
fsck_clean "$ORCH_NAMESPACE"
