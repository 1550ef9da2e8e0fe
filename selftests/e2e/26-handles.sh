#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
# File handles: good as long as the inode lives, whatever restarts meanwhile.
. "$(dirname "$0")/lib.sh"
saved=$(mktemp -d /tmp/handles.XXXXXX)
at_exit "rm -rf $saved"

opens() {
	handle cat "$ORCH_MNT" "$saved/$1"
}

stale() {
	refused "Stale file handle" handle cat "$ORCH_MNT" "$saved/$1"
}

where() {
	handle path "$ORCH_MNT" "$saved/$1"
}

note "what is cached and what isn't"
mkdir -p a/b/c
echo contents >a/b/c/file
ln a/b/c/file a/second
ln -s file a/b/c/link
handle save a/b/c/file "$saved/file"
handle save a/b/c "$saved/dir"
handle save "$ORCH_MNT" "$saved/root"
is "$(costs 0 opens file)" contents "a cached file"
drop_caches
# the root is in memory; the file, and its layout
is "$(costs 2 opens file)" contents "a file that isn't cached"
drop_caches
# itself, and of each directory above it the parent, the name, a lookup
is "$(costs 20 where dir)" "$TEST_DIR/a/b/c" "a directory that isn't cached"
is "$(where root)" "$ORCH_MNT" "the root"
handle write "$ORCH_MNT" "$saved/file" more
is "$(cat a/second)" "contents
more" "contents after a write by handle"

note "a directory in a large one is found by its name, not by a listing"
mkdir large
(cd large && seq -f 'd%05g' 3000 | xargs mkdir)
handle save large/d01500 "$saved/deep"
drop_caches
before=$(upcalls readdir)
is "$(where deep)" "$TEST_DIR/large/d01500" "a directory in a large one"
is "$(upcalls readdir)" "$before" "listings"

note "renames don't matter"
mv a/b moved
drop_caches
is "$(where dir)" "$TEST_DIR/moved/c" "a directory that was moved"
is "$(opens file)" "contents
more" "a file whose directory was moved"

note "a restart, a new mount, a new module"
orch-kill
is "$(where dir)" "$TEST_DIR/moved/c" "a directory after a restart"
drop_caches
is "$(opens file)" "contents
more" "a file after a restart"
cd /
umount "$ORCH_MNT"
orch-start
is "$(opens file)" "contents
more" "a file after a new mount"
umount "$ORCH_MNT"
orch-stop --unload
orch-start
is "$(where dir)" "$TEST_DIR/moved/c" "a directory after a new module"
is "$(opens file)" "contents
more" "a file after a new module"
cd "$TEST_DIR"

note "what is gone is stale"
rm moved/c/file
is "$(opens file)" "contents
more" "a file with another name"
is "$(handle hold a/second "$ORCH_MNT" "$saved/file")" "contents
more" "a file without names that is open"
stale file
echo other >moved/c/file
stale file
rm -r moved/c
stale dir
drop_caches
stale dir
orch-kill
stale file

note "another namespace"
mkdir -p /mnt/second
at_exit "umount -q /mnt/second; orch-stop; rm -r $ORCH_STATE/handles2; orch-start"
orchctl init handles2 >/dev/null
mount -t orchfs handles2 /mnt/second
refused "Stale file handle" handle path /mnt/second "$saved/root"
refused "Stale file handle" handle path /mnt/second "$saved/deep"
is "$(where root)" "$ORCH_MNT" "the root"
fsck_clean "$ORCH_NAMESPACE"
