# SPDX-License-Identifier: Apache-2.0
# Sourced by the tools: the kernel with sanitisers, built from Debian's source.
# shellcheck shell=bash

DEBUG_FRAGMENT=$ORCHFS_ROOT/selftests/vm/debug.config

debug_kernel_build() {
	local dir=$1 source log=$ORCHFS_CACHE/logs/debug-kernel.log
	source=$(source_dir)
	run_logged "$log" "configuring the debug kernel" kernel_config \
		"$source" "$dir/build" "$DEBUG_FRAGMENT" allnoconfig
	run_logged "$log" "building the debug kernel (about 25 minutes)" \
		nice -n 19 make -s -C "$source" O="$dir/build" \
		-j "$(nproc)" bzImage modules
	cp "$dir/build/arch/x86/boot/bzImage" "$dir/bzImage"
	kernel_build_prune "$dir/build"
	rm -f "$dir"/build/vmlinux "$dir"/build/arch/x86/boot/bzImage
}

debug_kernel_key() {
	local hash
	hash=$({ source_version; cat "$DEBUG_FRAGMENT"; } | sha256sum |
		cut -c 1-16)
	echo "debug/$hash"
}

debug_kernel_prepare() {
	local key
	key=$(debug_kernel_key)
	if ! cache_valid "$key"; then
		source_prepare
		CACHE_RESUME=1 cache_build "$key" debug_kernel_build
	fi
}

debug_kernel_dir() {
	echo "$ORCHFS_CACHE/$(debug_kernel_key)/build"
}

debug_kernel_image() {
	echo "$ORCHFS_CACHE/$(debug_kernel_key)/bzImage"
}
