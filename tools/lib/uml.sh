# SPDX-License-Identifier: Apache-2.0
# Sourced by the tools: User Mode Linux to load the module into, of two
# flavours: kunit for the module's own tests, vm as a machine with drives.
# shellcheck shell=bash

UML_FRAGMENT=$ORCHFS_ROOT/selftests/kunit/uml.config
UML_VM_FRAGMENT=$ORCHFS_ROOT/selftests/vm/uml.config

# uml_fragment kunit|vm: the options on top of tinyconfig.
uml_fragment() {
	cat "$UML_FRAGMENT"
	[ "$1" = kunit ] || cat "$UML_VM_FRAGMENT"
}

# uml_build DIR kunit|vm
uml_build() {
	local dir=$1 flavour=$2 source log=$ORCHFS_CACHE/logs/uml-$2.log
	source=$(source_dir)
	uml_fragment "$flavour" >"$dir/fragment"
	run_logged "$log" "configuring User Mode Linux ($flavour)" \
		kernel_config "$source" "$dir/build" "$dir/fragment" \
		tinyconfig ARCH=um
	run_logged "$log" \
		"building User Mode Linux ($flavour, about 10 minutes)" \
		nice -n 19 make -s -C "$source" O="$dir/build" ARCH=um \
		-j "$(nproc)"
	kernel_build_prune "$dir/build"
}

uml_key() {
	local hash
	hash=$({ source_version; uml_fragment "$1"; } | sha256sum |
		cut -c 1-16)
	echo "uml/$hash"
}

# uml_prepare kunit|vm
uml_prepare() {
	local key
	key=$(uml_key "$1")
	if ! cache_valid "$key"; then
		source_prepare
		CACHE_RESUME=1 cache_build "$key" uml_build "$1"
	fi
}

# uml_dir kunit|vm
uml_dir() {
	echo "$ORCHFS_CACHE/$(uml_key "$1")/build"
}
