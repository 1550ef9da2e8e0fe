#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# debug: no: about the daemon
# vm: --cpus 1 --timeout 900
# timeout: 420
# Daemons, volumes and stores that must be refused at start: nothing on them is
# touched, and all is there once the cause is mended.
. "$(dirname "$0")/lib.sh"

volume=$ORCH_VOLUME_MNT/orch
store=$ORCH_STATE/$ORCH_NAMESPACE
head -c 200000 /dev/urandom >data
sum=$(sha256sum <data)
cd /

# refused_start TEXT: the daemon starts, says TEXT, and serves no mount.
refused_start() {
	local text=$1 said
	: >"$ORCH_LOG"
	daemon_start || :
	said=$(cat "$ORCH_LOG"; orchctl status 2>&1; orchctl volume list 2>&1 || :)
	[[ $said == *"$text"* ]] ||
		fail "nothing says '$text' at the start: $said"
	if timeout 60 mount -t orchfs "$ORCH_NAMESPACE" "$ORCH_MNT" 2>/tmp/said; then
		timeout 60 cat "$TEST_DIR/data" >/dev/null 2>&1 &&
			fail "a file is readable though '$text'"
		umount "$ORCH_MNT"
	fi
	daemon_signal TERM
}

all_well() {
	orch-start
	is "$(sha256sum <"$TEST_DIR/data")" "$sum" "content after $1"
	fsck_clean "$ORCH_NAMESPACE"
	orch-stop
}

orch-stop

note "a daemon older or newer than the module"
speaks=$(awk '$2 == "ORCHFS_PROTOCOL_VERSION" { print $3 }' \
	/inject/module/uapi/linux/orchfs_nl.h)
# refused_version FAULT VERSION OLD: which of both is to be updated
refused_version() {
	local text="namespace $ORCH_NAMESPACE: module speaks version $speaks"
	text+=", daemon $2 to $2: update the $3"
	ORCHD_FAULT=$1 refused_start \
		"$text; install module and orchd of the same release"
}
refused_version older-protocol $((speaks - 1)) daemon
refused_version newer-protocol $((speaks + 1)) module
all_well "the daemon was replaced"

note "drive not mounted"
umount "$ORCH_VOLUME_MNT"
refused_start "$ORCH_VOLUME_MNT"
is "$(ls -A "$ORCH_VOLUME_MNT")" "" "what was written below the mount point"
mkdir "$volume"
refused_start "$volume"
is "$(ls -A "$volume")" "" "what was written into an empty directory"
rmdir "$volume"
mount "$ORCH_VOLUME_DEV" "$ORCH_VOLUME_MNT"
all_well "the drive was mounted"

note "marker missing or damaged"
mv "$volume/.orchfs-volume" /tmp/marker
refused_start .orchfs-volume
[ ! -e "$volume/.orchfs-volume" ] || fail "a marker was made"
head -c 40 /tmp/marker >"$volume/.orchfs-volume"
refused_start .orchfs-volume
cp /tmp/marker "$volume/.orchfs-volume"
printf 'X' | dd of="$volume/.orchfs-volume" bs=1 seek=30 conv=notrunc status=none
refused_start .orchfs-volume
cp /tmp/marker "$volume/.orchfs-volume"
chmod 600 "$volume/.orchfs-volume"
all_well "the marker was put back"

note "a store that is older than the volume's marker"
cp -a "$store" /var/tmp/oldstore
orch-start
for i in {1..50}; do echo "$i" >"$TEST_DIR/later$i"; done
orchctl sync
orch-stop
mv "$store" /var/tmp/newstore
cp -a /var/tmp/oldstore "$store"
find "$volume" -type f | sort >/tmp/files.before
refused_start "old"
find "$volume" -type f | sort >/tmp/files.after
cmp /tmp/files.before /tmp/files.after || fail "backing files were touched"
rm -rf "$store"
mv /var/tmp/newstore "$store"
all_well "the right store was put back"

note "a damaged store"
for file in CURRENT MANIFEST; do
	file=$(ls -d "$store"/db/$file* | tail -n 1)
	cp -a "$file" /tmp/saved
	head -c 20 /dev/zero >"$file"
	refused_start "$store"
	cp -a /tmp/saved "$file"
done
all_well "the store was mended"
mv "$store/db" "$store/db.away"
refused_start "$store"
rm -rf "$store/db"
mv "$store/db.away" "$store/db"
all_well "the store was moved back"

note "a store that lost its end"
last=$(ls -t "$store"/db/*.log 2>/dev/null | head -n 1)
if [ -n "$last" ] && [ -s "$last" ]; then
	# opening it lets RocksDB tidy up what it finds
	cp -a "$store" /var/tmp/whole
	: >"$last"
	refused_start "$store"
	rm -rf "${store:?}"
	mv /var/tmp/whole "$store"
	all_well "the store was put back"
fi

note "the same volume twice, on a cloned drive"
orch-start
mkdir -p /mnt/clone
memory_drive clone 400
mkfs.xfs -q /dev/clone
mount /dev/clone /mnt/clone
orchctl volume add v2 /mnt/clone/v >/dev/null
orch-stop
cp /mnt/clone/v/.orchfs-volume /tmp/marker2
cp "$volume/.orchfs-volume" /mnt/clone/v/.orchfs-volume
refused_start /mnt/clone/v
cp /tmp/marker2 /mnt/clone/v/.orchfs-volume
all_well "the clone went"
