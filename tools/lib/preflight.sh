# SPDX-License-Identifier: Apache-2.0
# Sourced by the tools: what the host needs, checked before anything is done.
# shellcheck shell=bash

# To build the product, the emulated machine and the tests.
HOST_PACKAGES=(build-essential bc bison cpio e2fsprogs flex git kmod
	libcmocka-dev libelf-dev libnl-3-dev libnl-genl-3-dev
	libprotobuf-c-dev librocksdb-dev libssl-dev libsystemd-dev
	libzstd-dev mmdebstrap pahole pkg-config protobuf-c-compiler python3
	python3-jsonschema python3-yaml rsync sparse util-linux xfsprogs
	xz-utils zstd)

preflight_packages() {
	local missing
	mapfile -t missing < <(apt_missing "${HOST_PACKAGES[@]}")
	[ ${#missing[@]} = 0 ] || apt_install "${missing[@]}"
}
