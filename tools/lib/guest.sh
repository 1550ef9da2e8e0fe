# SPDX-License-Identifier: Apache-2.0
# Sourced by the tools: the root image of the emulated machine. It is of the
# host's own Debian release, so that programs built on the host run in it.
# shellcheck shell=bash

GUEST_PACKAGES=(acl attr bash bindfs cpio dbench dmsetup e2fsprogs fio gcc git iproute2
	kmod libc6-dev libcap2-bin libelf1 make nfs-kernel-server postgresql procps
	python3-minimal python3 rsync secilc sqlite3 strace stress-ng util-linux xfsprogs
	xz-utils zstd)

GUEST_MIB=2048
# PostgreSQL is for tests, which make their own clusters.
GUEST_NO_CLUSTER='mkdir -p "$1/etc/postgresql-common" &&
	echo create_main_cluster=false >"$1/etc/postgresql-common/createcluster.conf"'
GUEST_ROOT=PARTUUID=6f726368-01

# Libraries that the product is linked with, by the packages that it is built
# with: their names differ between releases.
GUEST_LIBRARIES_OF=(libjson-c-dev libnl-3-dev libnl-genl-3-dev
	libprotobuf-c-dev librocksdb-dev libssl-dev libsystemd-dev)

guest_libraries() {
	local package
	for package in "${GUEST_LIBRARIES_OF[@]}"; do
		apt_private apt-cache show --no-all-versions "$package" |
			sed -n 's/^Depends: //p' | tr ',|' '\n\n' |
			awk '$1 ~ /^z?lib/ && $1 !~ /-dev$/ {print $1}'
	done | sort -u
}

# First program in the guest: hands over to the drive that each run prepares.
guest_stub() {
	cat <<-'EOS'
	#!/bin/bash
	export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
	mount -t proc proc /proc
	mount -t sysfs sysfs /sys
	mountpoint -q /dev || mount -t devtmpfs dev /dev
	for deadline in {1..600}; do
		drive=$(grep -lx 2 /sys/class/block/nvme0n*/nsid)
		[ -z "$drive" ] || break
		sleep 0.05
	done
	mount -t ext4 -o ro "/dev/$(basename "$(dirname "$drive")")" /inject
	exec /inject/init
	EOS
}

# guest_tree ROOT: install the packages; needs chroot and mount.
guest_tree() {
	local root=$1 packages
	local libraries
	mapfile -t libraries < <(guest_libraries)
	[ ${#libraries[@]} -ge ${#GUEST_LIBRARIES_OF[@]} ] ||
		die "libraries for the guest are missing on the mirror:" \
			"remove $APT_DIR/updated and run again"
	packages=$(IFS=,; echo "${GUEST_PACKAGES[*]},${libraries[*]}")
	"$ORCHFS_ROOT/tools/lib/apt-sources.py" \
		"$(os_field VERSION_CODENAME)" >"$root.sources"
	TMPDIR=$(dirname "$root") \
		mmdebstrap --quiet --variant=minbase --include="$packages" \
		--aptopt='APT::Install-Recommends "false"' \
		--aptopt='Acquire::Languages "none"' \
		--aptopt='Acquire::Retries "3"' \
		--dpkgopt='path-exclude=/usr/share/doc/*' \
		--dpkgopt='path-exclude=/usr/share/man/*' \
		--dpkgopt='path-exclude=/usr/share/locale/*' \
		--dpkgopt='path-exclude=/usr/lib/*/libLLVM-*' \
		--essential-hook="$GUEST_NO_CLUSTER" \
		"$(os_field VERSION_CODENAME)" "$root" "$root.sources"
	rm -f "$root.sources"
}

# Drive numbers depend on the order of probing, so the kernel finds its root by
# the identifier in a partition table: one Linux partition from 1 MiB on.
guest_partition() {
	python3 - "$1" "$GUEST_MIB" <<-'EOP'
	import struct, sys
	entry = struct.pack("<B3sB3sII", 0, b"\xff" * 3, 0x83, b"\xff" * 3,
	                    2048, int(sys.argv[2]) * 2048)
	with open(sys.argv[1], "r+b") as f:
	    f.seek(440)
	    f.write(struct.pack("<IH", 0x6f726368, 0) + entry)
	    f.seek(510)
	    f.write(b"\x55\xaa")
	EOP
}

# guest_modules ROOT: the kernel's modules as they are, not compressed: an
# emulated machine takes seconds to unpack one, in each boot.
guest_modules() {
	local root=$1 version
	find "$root/usr/lib/modules" -name '*.ko.xz' -print0 | xargs -0r unxz
	for version in "$root"/usr/lib/modules/*; do
		chroot "$root" depmod "${version##*/}"
	done
}

# guest_image_build DIR: DIR/root.img, to be used with snapshot=on.
guest_image_build() {
	local dir=$1 root=$1/root kernel
	kernel=$(kernel_dir)/usr
	run_logged "$ORCHFS_CACHE/logs/guest.log" \
		"installing the guest's packages" guest_tree "$root"
	mkdir -p "$root"/{inject,share,mnt/orch,var/lib/orchd,etc/orchd}
	cp -a "$kernel/lib/." "$root/usr/lib/"
	cp -a "$kernel/src/." "$root/usr/src/"
	guest_modules "$root"
	guest_stub >"$root/orch-stub"
	chmod 755 "$root/orch-stub"
	echo orchfs >"$root/etc/hostname"
	rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*
	truncate -s "$((GUEST_MIB + 1))M" "$dir/root.img"
	run_logged "$ORCHFS_CACHE/logs/guest-image.log" \
		"making the guest's root image" \
		mke2fs -q -t ext4 -O ^has_journal -E offset=1048576 -d "$root" \
		"$dir/root.img" "${GUEST_MIB}M"
	guest_partition "$dir/root.img"
	rm -rf --one-file-system "$root"
}

guest_key() {
	local hash
	hash=$({
		echo "${GUEST_PACKAGES[*]} ${GUEST_LIBRARIES_OF[*]}" \
			"$GUEST_NO_CLUSTER" "$(os_field VERSION_CODENAME)" \
			"$(kernel_version)"
		declare -f guest_stub guest_tree guest_partition \
			guest_modules guest_image_build
	} | sha256sum | cut -c 1-16)
	echo "guest/$hash"
}

guest_prepare() {
	local key
	key=$(guest_key)
	cache_valid "$key" || apt_private_update
	cache_build "$key" guest_image_build
}

guest_image() {
	echo "$ORCHFS_CACHE/$(guest_key)/root.img"
}
