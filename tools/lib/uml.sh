# SPDX-License-Identifier: Apache-2.0
# Sourced by the tools: User Mode Linux with KUnit, to load the module into.
# shellcheck shell=bash

UML_FRAGMENT=$ORCHFS_ROOT/selftests/kunit/uml.config

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
		CACHE_RESUME=1 cache_build "$key" uml_build
	fi
}

uml_dir() {
	echo "$ORCHFS_CACHE/$(uml_key)/build"
}
