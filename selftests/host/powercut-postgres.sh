#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 1800
# long: only
# Power cuts while pgbench runs on PostgreSQL, by the method of powercut.sh:
# each time the server recovers, has what it had committed, and finds no fault
# in its tables and indexes.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
work=$(mktemp -d "${TMPDIR:-/var/tmp}/orchfs-powercut-postgres.XXXXXX")
trap 'rm -rf "$work"' EXIT
long=${ORCH_LONG:-0}

# the first drive is the machine's own; then data, log, replay, copy on write
disks=()
for name in own data log replay cow; do
	disks+=(--disk "$work/$name.img")
done
"$here/../vm/vm" --cpus 2 \
	--timeout $((long ? 7200 : 1700)) --disk-size 6G "${disks[@]}" \
	-- bash /inject/selftests/host/powercut-postgres.guest
