#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 1500
# Power cuts. Store and volume are two ranges of one drive below one
# dm-log-writes target, so that one log orders the writes of both; the log is
# replayed to seeded points and the file system brought up on the result. The
# work happens in the machine: powercut.guest.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
work=$(mktemp -d "${TMPDIR:-/var/tmp}/orchfs-powercut.XXXXXX")
trap 'rm -rf "$work"' EXIT
long=${ORCH_LONG:-0}

# the first drive is the machine's own; then data, log, replay, copy on write
disks=()
for name in own data log replay cow; do
	disks+=(--disk "$work/$name.img")
done
"$here/../vm/vm" --cpus 2 \
	--timeout $((long ? 7200 : 1400)) --disk-size 6G "${disks[@]}" \
	-- bash /inject/selftests/host/powercut.guest
