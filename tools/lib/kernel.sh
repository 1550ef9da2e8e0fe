# SPDX-License-Identifier: Apache-2.0
# Sourced by the tools: the kernel under test and its headers, unpacked below
# the cache and never installed.
# shellcheck shell=bash

# Newest Linux 6.12 whose image and headers are both on offer.
kernel_newest() {
	local version
	apt_private apt-cache search --names-only \
		'^linux-image-6\.12\.[0-9.]+(\+deb[0-9.]+)?-cloud-amd64$' |
		awk '{sub("linux-image-", "", $1); print $1}' | sort -Vr |
		while read -r version; do
			! apt_private apt-cache show "linux-headers-$version" \
				>/dev/null 2>&1 || echo "$version"
		done | sed -n 1p
}

# kernel_packages VERSION: those that hold image, headers and build scripts.
kernel_packages() {
	echo "linux-image-$1"
	echo "linux-headers-$1"
	apt_private apt-cache show "linux-headers-$1" |
		sed -n 's/^Depends: //p' | sed -n 1p | tr ',' '\n' |
		sed -En 's/^ *(linux-(headers|kbuild)-[^ ]*).*/\1/p'
}

# Makefiles name /usr/src; make them look beside themselves instead.
kernel_relocate() {
	local root=$1 version=$2 link
	sed -i 's|^include /usr/src/|include $(dir $(lastword $(MAKEFILE_LIST)))../|' \
		"$root/usr/src/linux-headers-$version/Makefile"
	[ -d "$root/usr/lib/modules" ] || mv "$root/lib/modules" "$root/usr/lib/"
	rm -f "$root/usr/lib/modules/$version/build" \
		"$root/usr/lib/modules/$version/source"
	find "$root/usr/src" -type l -lname '/usr/*' | while read -r link; do
		ln -srfn "$root$(readlink "$link")" "$link"
	done
}

kernel_unpack() {
	local root=$1 version=$2 deb packages
	mapfile -t packages < <(kernel_packages "$version")
	[ ${#packages[@]} -ge 4 ] ||
		die "packages of kernel $version are incomplete on the mirror:" \
			"remove $APT_DIR/updated and run again"
	apt_fetch "$ORCHFS_CACHE/debs/$version" "${packages[@]}"
	for deb in "$ORCHFS_CACHE/debs/$version"/*.deb; do
		dpkg-deb -x "$deb" "$root"
	done
	kernel_relocate "$root" "$version"
	depmod -b "$root/usr" "$version" 2>/dev/null ||
		depmod -b "$root" -m /usr/lib/modules "$version"
	echo "$version" >"$root/version"
	rm -rf "$ORCHFS_CACHE/debs/$version"
}

# The version in use. It is chosen once and kept: ORCHFS_KERNEL=VERSION picks
# another one, ORCHFS_REFRESH=1 the newest.
kernel_version() {
	local file=$ORCHFS_CACHE/kernel.version version
	if [ -n "${ORCHFS_KERNEL:-}" ]; then
		echo "$ORCHFS_KERNEL"
		return
	fi
	if [ "${ORCHFS_REFRESH:-0}" != 1 ] && [ -s "$file" ]; then
		cat "$file"
		return
	fi
	apt_private_update
	version=$(kernel_newest)
	[ -n "$version" ] ||
		die "no Linux 6.12 cloud kernel in $(apt_target_suite): check" \
			"that the mirror of /etc/apt/sources.list carries it"
	echo "$version" >"$file.tmp.$$"
	mv "$file.tmp.$$" "$file"
	echo "$version"
}

kernel_dir() {
	echo "$ORCHFS_CACHE/kernel/$(kernel_version)"
}

kernel_prepare() {
	local version
	version=$(kernel_version)
	cache_valid "kernel/$version" || apt_private_update
	cache_build "kernel/$version" kernel_unpack "$version"
}

kernel_headers() {
	local version
	version=$(kernel_version)
	echo "$ORCHFS_CACHE/kernel/$version/usr/src/linux-headers-$version"
}

kernel_image() {
	local version
	version=$(kernel_version)
	echo "$ORCHFS_CACHE/kernel/$version/boot/vmlinuz-$version"
}
