#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 600
# What outlives the machine's memory besides names and bytes: file handles, and
# the end of what had no name any more. The machine stops without a warning
# once, then in order.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
work=$(mktemp -d "${TMPDIR:-/var/tmp}/orchfs-reboot.XXXXXX")
trap 'rm -rf "$work"' EXIT

# boot STEP: runs it in a machine with the drives of the one before.
boot() {
	"$here/../vm/vm" --cpus 1 --timeout 300 --disk "$work/drive.img" -- \
		bash /inject/selftests/host/reboot.guest "$1"
}

# It never ends in order; what it did is looked at in the next one.
if boot make >"$work/make.log" 2>&1; then
	cat "$work/make.log" >&2
	echo "the machine was to stop in the middle, and did not" >&2
	exit 1
fi
boot after-the-crash || {
	cat "$work/make.log" >&2
	exit 1
}
boot after-the-stop
