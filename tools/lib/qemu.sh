# SPDX-License-Identifier: Apache-2.0
# Sourced by the tools: the emulator, unpacked with all of its libraries below
# the cache and started through its own dynamic loader. Debian 12's own QEMU
# 7.2 miscomputes flags when it runs Linux 6.12, so backports' is used there.
# shellcheck shell=bash

qemu_unpack() {
	local root=$1 debs=$ORCHFS_CACHE/debs/qemu deb
	mkdir -p "$debs/partial"
	: >"$ORCHFS_CACHE/debs/no-status"
	run_logged "$ORCHFS_CACHE/logs/qemu.log" "downloading the emulator" \
		apt_private apt-get -y --no-install-recommends --download-only \
		-t "$(apt_target_suite)" \
		-o Dir::State::status="$ORCHFS_CACHE/debs/no-status" \
		-o Dir::Cache::archives="$debs" \
		-o APT::Keep-Downloaded-Packages=true \
		install qemu-system-x86
	for deb in "$debs"/*.deb; do
		dpkg-deb -x "$deb" "$root"
	done
	rm -rf "$debs"
}

qemu_key() {
	echo "qemu/$(apt_target_suite)"
}

qemu_prepare() {
	local key
	key=$(qemu_key)
	cache_valid "$key" || apt_private_update
	cache_build "$key" qemu_unpack
}

# Sets the array QEMU to the start of the emulator's command line.
qemu_command() {
	local root lib loader
	root=$ORCHFS_CACHE/$(qemu_key)
	lib=$root/usr/lib/x86_64-linux-gnu
	loader=$root/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2
	[ -e "$loader" ] || loader=$lib/ld-linux-x86-64.so.2
	QEMU=(env "QEMU_MODULE_DIR=$lib/qemu" "$loader"
		--library-path "$root/lib/x86_64-linux-gnu:$lib"
		"$root/usr/bin/qemu-system-x86_64"
		-L "$root/usr/share/qemu" -L "$root/usr/share/seabios"
		-L "$root/usr/lib/ipxe/qemu")
}
