# SPDX-License-Identifier: Apache-2.0
# Sourced by the tools: Debian's kernel source, of the version under test, for
# the kernels that Debian does not build (User Mode Linux, sanitisers).
# shellcheck shell=bash

# Debian's version of the source package that goes with the kernel in use.
source_version() {
	local file=$ORCHFS_CACHE/source.version version
	if [ -s "$file" ] && [ "${ORCHFS_REFRESH:-0}" != 1 ]; then
		cat "$file"
		return
	fi
	apt_private_update
	version=$(apt_private apt-cache madison linux-source-6.12 |
		awk -v k="$(kernel_version | cut -d + -f 1)" \
			'index($3, k "-") == 1 && !n++ {print $3}')
	[ -n "$version" ] || version=$(apt_private apt-cache madison \
		linux-source-6.12 | awk 'NR == 1 {print $3}')
	[ -n "$version" ] || die "no linux-source-6.12 on the mirror: remove" \
		"$APT_DIR/updated and run again"
	echo "$version" >"$file.tmp.$$"
	mv "$file.tmp.$$" "$file"
	echo "$version"
}

source_unpack() {
	local dir=$1 version=$2 debs=$ORCHFS_CACHE/debs/source
	apt_fetch "$debs" "linux-source-6.12=$version"
	dpkg-deb -x "$debs"/linux-source-*.deb "$dir/deb"
	run_logged "$ORCHFS_CACHE/logs/source.log" \
		"unpacking the kernel's source" \
		tar -C "$dir" -xf "$dir"/deb/usr/src/linux-source-6.12.tar.xz
	mv "$dir/linux-source-6.12" "$dir/linux"
	rm -rf "$dir/deb" "$debs"
}

source_prepare() {
	local version
	version=$(source_version)
	cache_valid "source/$version" || apt_private_update
	cache_build "source/$version" source_unpack "$version"
}

source_dir() {
	echo "$ORCHFS_CACHE/source/$(source_version)/linux"
}

# kernel_config SOURCE BUILD FRAGMENT BASE [MAKEVAR...]: BASE plus FRAGMENT;
# fails when an option of the fragment does not hold in the end.
kernel_config() {
	local source=$1 build=$2 fragment=$3 base=$4 lost
	shift 4
	make -s -C "$source" O="$build" "$@" "$base"
	cat "$fragment" >>"$build/.config"
	make -s -C "$source" O="$build" "$@" olddefconfig
	lost=$(grep '^CONFIG_.*=[ym0-9"]' "$fragment" |
		grep -vxFf "$build/.config") || :
	[ -z "$lost" ] || {
		echo "options of $fragment that the source does not accept:"
		echo "$lost"
		return 1
	}
}

# Objects are not needed to build a module against the folder.
kernel_build_prune() {
	find "$1" \( -name '*.o' -o -name '*.a' -o -name '.*.cmd' \) \
		! -path '*/scripts/*' ! -path '*/tools/*' \
		! -name 'module.lds*' -type f -delete
	rm -f "$1"/vmlinux.unstripped
}
