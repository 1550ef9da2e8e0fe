# SPDX-License-Identifier: Apache-2.0
# Sourced by the tools: the product, built for the kernel that it will run on.
# shellcheck shell=bash

# build_kdir stock|debug|uml
build_kdir() {
	case $1 in
	debug) debug_kernel_dir ;;
	uml) uml_dir vm ;;
	*) kernel_headers ;;
	esac
}

# Each checkout and kernel has its own copy of the sources, so that builds for
# several kernels do not disturb each other or the work tree.
build_dir() {
	local id
	id=$(printf '%s' "$ORCHFS_ROOT $(build_kdir "$1")" | sha256sum |
		cut -c 1-12)
	echo "$ORCHFS_CACHE/build/$id"
}

# build_module stock|debug|uml: orchfs.ko in the folder that build_dir names.
build_module() {
	local flavour=$1 dir part arch=()
	[ "$flavour" != uml ] || arch=(ARCH=um)
	dir=$(build_dir "$flavour")
	[ -f "$ORCHFS_ROOT/kmod/Kbuild" ] ||
		die "kmod/Kbuild is missing: use --bare, or complete the checkout"
	mkdir -p "$dir"
	(
		cache_lock 7 "build-$(basename "$dir")"
		for part in kmod uapi; do
			[ ! -d "$ORCHFS_ROOT/$part" ] || rsync -a --delete \
				--exclude '*.o' --exclude '*.ko' --exclude '*.mod' \
				--exclude '*.mod.c' --exclude '.*.cmd' \
				--exclude 'modules.order' --exclude 'Module.symvers' \
				"$ORCHFS_ROOT/$part" "$dir/"
		done
		run_logged "$ORCHFS_CACHE/logs/module-$flavour.log" \
			"building the module for the $flavour kernel" \
			make -C "$(build_kdir "$flavour")" M="$dir/kmod" \
			"${arch[@]}" -j "$(nproc)" modules
	) 7>&-
}

build_user() {
	(
		cache_lock 7 build-user
		run_logged "$ORCHFS_CACHE/logs/user.log" \
			"building daemon and tools" \
			make -C "$ORCHFS_ROOT" -j "$(nproc)" --no-print-directory user
	) 7>&-
}
