# SPDX-License-Identifier: Apache-2.0
# Sourced by the tools: User Mode Linux with KUnit, to load the module into.
# shellcheck shell=bash

UML_FRAGMENT=$ORCHFS_ROOT/selftests/kunit/uml.config

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

uml_build() {
	local dir=$1 source log=$ORCHFS_CACHE/logs/uml.log
	source=$(source_dir)
	run_logged "$log" "configuring User Mode Linux" kernel_config \
		"$source" "$dir/build" "$UML_FRAGMENT" tinyconfig ARCH=um
	run_logged "$log" "building User Mode Linux (about 6 minutes)" \
		nice -n 19 make -s -C "$source" O="$dir/build" ARCH=um \
		-j "$(nproc)"
	kernel_build_prune "$dir/build"
}

# Objects are not needed to build a module against the folder.
kernel_build_prune() {
	find "$1" \( -name '*.o' -o -name '*.a' -o -name '.*.cmd' \) \
		! -path '*/scripts/*' ! -path '*/tools/*' \
		! -name 'module.lds*' -type f -delete
	rm -f "$1"/vmlinux.unstripped
}

uml_key() {
	local hash
	hash=$({ source_version; cat "$UML_FRAGMENT"; } | sha256sum |
		cut -c 1-16)
	echo "uml/$hash"
}

uml_prepare() {
	local key
	key=$(uml_key)
	if ! cache_valid "$key"; then
		source_prepare
		cache_build "$key" uml_build
	fi
}

uml_dir() {
	echo "$ORCHFS_CACHE/$(uml_key)/build"
}
