# SPDX-License-Identifier: Apache-2.0
# Sourced by the tools: what the host needs, checked before anything is done.
# shellcheck shell=bash

# To build the product, the emulated machine and the tests.
HOST_PACKAGES=(build-essential bc bison cpio e2fsprogs flex git kmod
	libcmocka-dev libelf-dev libjson-c-dev libnl-3-dev libnl-genl-3-dev
	libprotobuf-c-dev librocksdb-dev libssl-dev libsystemd-dev
	libzstd-dev mmdebstrap pahole pkg-config protobuf-c-compiler python3
	python3-jsonschema python3-yaml rsync sparse util-linux xfsprogs
	xz-utils zlib1g-dev zstd)

PREFLIGHT_MEMORY_MIB=4096
# Drives of machines and copies of sources; the drives are sparse.
PREFLIGHT_WORK_MIB=4096
PREFLIGHT_WORK=${TMPDIR:-/var/tmp}

preflight_packages() {
	local missing
	mapfile -t missing < <(apt_missing "${HOST_PACKAGES[@]}")
	[ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}

preflight_system() {
	local version
	[ "$(uname -m)" = x86_64 ] ||
		die "this machine is $(uname -m): use an x86_64 (amd64) one"
	[ "$(os_field ID)" = debian ] ||
		die "this is not Debian: use Debian 12 or 13 (a container of it" \
			"in which chroot and mount are permitted is enough)"
	version=$(os_field VERSION_ID)
	case $version in
	12 | 13) ;;
	*) die "Debian '${version:-unknown}' is not supported: use 12 or 13" ;;
	esac
	need_root
}

# The guest's packages are installed in a chroot with its own mounts.
preflight_chroot() {
	unshare --mount -- sh -c \
		'mount -t tmpfs tmpfs /mnt && mount -t proc proc /mnt && chroot / true' \
		2>/dev/null ||
		die "chroot or mount is not permitted here: run on a real or" \
			"virtual machine, or in a privileged container"
}

preflight_memory() {
	local free
	free=$(awk '/^MemAvailable:/ {print int($2 / 1024)}' /proc/meminfo)
	say "Memory: $free MiB available, $PREFLIGHT_MEMORY_MIB needed."
	[ "$free" -ge $PREFLIGHT_MEMORY_MIB ] ||
		die "only $free MiB of memory are available and" \
			"$PREFLIGHT_MEMORY_MIB are needed: stop other programs"
}

# preflight_space DIR MIB VARIABLE: free space there, VARIABLE names the folder.
preflight_space() {
	local dir=$1 need=$2 variable=$3 free
	if ! mkdir -p "$dir" || [ ! -w "$dir" ]; then
		die "cannot write to $dir: set $variable to a folder that can" \
			"be written"
	fi
	free=$(($(df --output=avail -k "$dir" | tail -n 1) / 1024))
	say "Disk: $free MiB free in $dir, $need needed."
	[ "$free" -ge "$need" ] ||
		die "only $free MiB are free in $dir and $need are" \
			"needed: free some, or set $variable to another folder"
}

# preflight_disk MIB: what the cache is going to take, and what runs take.
preflight_disk() {
	local cache=$1 work=$PREFLIGHT_WORK_MIB
	preflight_space "$ORCHFS_CACHE" "$cache" ORCHFS_CACHE
	[ "$(stat -c %d "$ORCHFS_CACHE" "$PREFLIGHT_WORK" 2>/dev/null |
		uniq | wc -l)" != 1 ] || work=$((work + cache))
	preflight_space "$PREFLIGHT_WORK" "$work" TMPDIR
}

preflight_backports() {
	local offers
	apt_need_backports || return 0
	offers=$(apt_private apt-cache policy qemu-system-x86)
	[[ $offers == *"$(apt_target_suite)"* ]] || apt_no_suite
}

# preflight_entry "what" MIB SECONDS CACHE-NAME: adds one line to the plan.
preflight_entry() {
	cache_valid "$4" && return 0
	plan+=("$(printf '  %-48s %6s MiB  %4s s' "$1" "$2" "$3")")
	plan_mib=$((plan_mib + $2))
	plan_seconds=$((plan_seconds + $3))
}

# preflight_uml FLAVOUR "what" MIB SECONDS: its name is known only once the
# source's version is.
preflight_uml() {
	local key=uml/none
	[ ! -s "$ORCHFS_CACHE/source.version" ] || key=$(uml_key "$1")
	preflight_entry "$2" "$3" "$4" "$key"
}

# preflight [kunit] [uml] [debug]: checks, says what will be done for these
# kernels and the rest, installs the host's packages.
preflight() {
	local missing plan=() plan_mib=2048 plan_seconds=0 want
	preflight_system
	preflight_chroot
	mapfile -t missing < <(apt_missing "${HOST_PACKAGES[@]}")
	want=" $* "
	preflight_entry "Linux kernel and headers" 250 20 "$(preflight_kernel)"
	preflight_entry "emulator (QEMU 10)" 250 20 "$(qemu_key)"
	ls "$ORCHFS_CACHE"/guest/*/root.img >/dev/null 2>&1 ||
		preflight_entry "guest's root image" 1100 90 guest/none
	if [ $# -gt 0 ]; then
		ls -d "$ORCHFS_CACHE"/source/*/linux >/dev/null 2>&1 ||
			preflight_entry "Linux source" 2000 60 source/none
	fi
	if [[ $want == *" kunit "* ]]; then
		preflight_uml kunit "User Mode Linux for KUnit" 600 420
	fi
	if [[ $want == *" uml "* ]]; then
		preflight_uml vm "User Mode Linux with sanitisers" 900 720
	fi
	if [[ $want == *" debug "* ]]; then
		ls -d "$ORCHFS_CACHE"/debug/*/build >/dev/null 2>&1 ||
			preflight_entry "kernel with sanitisers" 2500 1500 debug/none
	fi
	preflight_say
	preflight_memory
	preflight_disk "$plan_mib"
	preflight_packages
	apt_private_update
	preflight_backports
}

preflight_kernel() {
	echo "kernel/$(cat "$ORCHFS_CACHE/kernel.version" 2>/dev/null ||
		echo none)"
}

preflight_say() {
	if [ ${#missing[@]} -gt 0 ]; then
		say "To be installed from this machine's package sources," \
			"nothing is upgraded:"
		printf '%s ' "${missing[@]}" | fold -s -w 76 |
			sed 's/^/  /' >&2
		say ""
	fi
	if [ ${#plan[@]} -gt 0 ]; then
		say "To be prepared once in $ORCHFS_CACHE:"
		printf '%s\n' "${plan[@]}" >&2
		say "  about $(((plan_seconds + 59) / 60)) min and $plan_mib MiB"
	elif [ ${#missing[@]} = 0 ]; then
		say "Everything is prepared in $ORCHFS_CACHE."
	fi
}
