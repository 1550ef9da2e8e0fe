# SPDX-License-Identifier: Apache-2.0
# Sourced by the tools: the kernel with sanitisers, built from Debian's source.
# shellcheck shell=bash

debug_kernel_prepare() {
	die "the debug kernel is not there yet: use --kernel stock"
}
