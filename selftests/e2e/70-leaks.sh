#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# long: uml
# debug: leaks
# vm: --cpus 2 --timeout 900
# timeout: 480
# Mounts and modules come and go, and leave nothing behind.
. "$(dirname "$0")/lib.sh"
cd /

busy_work() {
	local dir=$ORCH_MNT/leaks
	mkdir "$dir"
	opsrand --dir "$dir/r" --procs 2 --ops 600 --seed $((SEED + $1)) >/dev/null
	exec 5>"$dir/open"
	ls -lR "$dir" >/dev/null
	exec 5>&-
	rm -rf "$dir"
}

# Objects of orchfs's own caches that are in use; nothing when the allocator
# merged them with others. The root of the file system of remote files stays.
slab_objects() {
	awk '/^orchfs/ { sum += $2 } /^orchfs_remote / { sum-- }
		END { print sum + 0 }' /proc/slabinfo
}

no_objects() {
	local cache
	echo 2 >/proc/sys/vm/drop_caches
	for cache in /sys/kernel/slab/orchfs_*/shrink; do
		echo 1 >"$cache"
	done
	[ "$(slab_objects)" = 0 ]
}

refused "orchfs is in use" rmmod orchfs
rounds=$(long_or 60 8)
note "mount and umount, $rounds times"
for ((i = 0; i < rounds; i++)); do
	busy_work "$i"
	umount "$ORCH_MNT"
	mount -t orchfs "$ORCH_NAMESPACE" "$ORCH_MNT"
done
umount "$ORCH_MNT"
wait_until 60 "the module's objects to go" no_objects ||
	fail "$(grep ^orchfs /proc/slabinfo)"
mount -t orchfs "$ORCH_NAMESPACE" "$ORCH_MNT"

note "everything up and down"
before=
for ((i = 0; i < rounds / 2; i++)); do
	busy_work $((100 + i))
	[ $((i % 2)) = 0 ] || orch-kill
	orch-stop --unload
	[ ! -d /sys/module/orchfs ] || fail "the module is still there"
	drop_caches
	free=$(awk '/^MemAvailable/ { print $2 }' /proc/meminfo)
	: "${before:=$free}"
	note "$((free / 1024)) MiB available"
	orch-start
done
[ $((before - free)) -lt 40000 ] ||
	fail "$((before - free)) KiB less are available than at the start"

note "a dead daemon does not hold the module"
busy_work 200
orch-kill --no-restart
soon 20 umount "$ORCH_MNT"
soon 20 rmmod orchfs
orch-start

note "a daemon without mounts"
soon 20 umount "$ORCH_MNT"
orch-stop
nlfuzz --hold >/tmp/hold 2>&1 &
holder=$!
wait_until 30 "a daemon without mounts" grep -q attached /tmp/hold
soon 20 rmmod orchfs
kill $holder
wait $holder || :
orch-start
busy_work 300
fsck_clean
