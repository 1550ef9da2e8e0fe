# SPDX-License-Identifier: Apache-2.0
# Sourced by the tools: Debian packages.
#
# Packages that the host itself needs come from the machine's own sources.
# Everything else (kernel, emulator, guest) is fetched with a private apt
# configuration below the cache, so that neither the machine's sources nor its
# installed packages change. Mirrors are always derived from the machine's own
# sources.
# shellcheck shell=bash

APT_DIR=$ORCHFS_CACHE/apt

# The suite that has Linux 6.12 and QEMU 10: backports before Debian 13.
apt_need_backports() {
	[ "$(os_field VERSION_ID)" -lt 13 ]
}

apt_target_suite() {
	local codename
	codename=$(os_field VERSION_CODENAME)
	if apt_need_backports; then
		echo "$codename-backports"
	else
		echo "$codename"
	fi
}

# apt_sources [--src]: the private list, on standard output.
apt_sources() {
	local args=()
	! apt_need_backports || args+=(--add-backports)
	"$ORCHFS_ROOT/tools/lib/apt-sources.py" "${args[@]}" "$@" \
		"$(os_field VERSION_CODENAME)"
}

# apt_private COMMAND...: apt-get or apt-cache with the private configuration.
apt_private() {
	local tool=$1
	shift
	APT_CONFIG=$APT_DIR/apt.conf "$tool" -q -o APT::Cmd::Disable-Script-Warning=1 "$@"
}

apt_private_configure() {
	mkdir -p "$APT_DIR/lists/partial" "$APT_DIR/cache/archives/partial" \
		"$APT_DIR/parts"
	apt_sources >"$APT_DIR/debian.sources.new" ||
		die "cannot read this machine's apt sources: see the line above"
	mv "$APT_DIR/debian.sources.new" "$APT_DIR/parts/debian.sources"
	cat >"$APT_DIR/apt.conf" <<-EOC
	Dir::Etc::sourcelist "/dev/null";
	Dir::Etc::sourceparts "$APT_DIR/parts";
	Dir::State::lists "$APT_DIR/lists";
	Dir::Cache "$APT_DIR/cache";
	Dir::Cache::pkgcache "pkgcache.bin";
	Dir::Cache::srcpkgcache "srcpkgcache.bin";
	Acquire::Languages "none";
	Acquire::Retries "3";
	APT::Sandbox::User "root";
	EOC
}

apt_no_suite() {
	die "the mirror has no $(apt_target_suite), which holds the emulator:" \
		"point /etc/apt/sources.list to a mirror that carries it"
}

# apt_why_no_lists LOG: the suite that was added to the machine's own ones.
apt_why_no_lists() {
	! grep -Eq "'.* $(apt_target_suite) Release'.* Release file" "$1" ||
		apt_no_suite
}

# Lists are fetched once a day at most: what is cached stays usable offline.
apt_private_update() {
	local stamp=$APT_DIR/updated
	(
		cache_lock 8 apt
		if [ -n "$(find "$stamp" -mmin -1440 2>/dev/null)" ]; then
			exit 0
		fi
		apt_private_configure
		LC_ALL=C RUN_LOGGED_WHY=apt_why_no_lists \
			run_logged "$ORCHFS_CACHE/logs/apt-update.log" \
			"reading package lists" \
			apt_private apt-get --error-on=any update
		touch "$stamp"
	) 8>&-
}

# apt_fetch DIR PACKAGE...: download .deb files; continues partial ones.
apt_fetch() {
	local dir=$1
	shift
	mkdir -p "$dir"
	(cd "$dir" && run_logged "$ORCHFS_CACHE/logs/apt-fetch.log" \
		"downloading $*" apt_private apt-get download "$@")
}

apt_installed() {
	local status
	status=$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null) || :
	[ "$status" = installed ]
}

# apt_missing PACKAGE...: those that are not installed.
apt_missing() {
	local p
	for p in "$@"; do
		apt_installed "$p" || printf '%s\n' "$p"
	done
}

# apt_install PACKAGE...: from the machine's own sources, never an upgrade. Two
# runs take turns: updating package lists doesn't wait for apt's own lock.
apt_install() {
	[ $# -gt 0 ] || return 0
	need_root
	(
		cache_lock 8 host-packages
		# the other run may have installed them; what packages start
		# does not inherit the lock
		mapfile -t missing < <(apt_missing "$@")
		[ ${#missing[@]} = 0 ] || apt_install_now "${missing[@]}" 8>&-
	) 8>&-
}

apt_install_now() {
	local log=$ORCHFS_CACHE/logs/apt-install.log
	local opts=(-q -y --no-install-recommends --no-upgrade
		-o DPkg::Lock::Timeout=600 -o Acquire::Retries=3)
	export DEBIAN_FRONTEND=noninteractive
	if ! apt-get "${opts[@]}" --simulate install "$@" >/dev/null 2>&1; then
		run_logged "$log" "updating package lists" \
			apt-get -q -o Acquire::Retries=3 update
	fi
	run_logged "$log" "installing $# host packages" \
		apt-get "${opts[@]}" install "$@"
}
