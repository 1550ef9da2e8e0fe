#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# long: uml
# vm: --cpus 2 --timeout 1500
# timeout: 900
# Random operations against a model, the daemon killed again and again; then
# everything once more after a new mount, and fsck. The model is measured on XFS
# itself, by a tenth of the operations.
. "$(dirname "$0")/lib.sh"
cd /

ops=$(long_or 1000000 100000 10000)
kills=$(long_or 100 20 5)
opsrand --dir "$TEST_DIR/r" --seed "$SEED" --ops "$ops" --procs 8 \
	--drop 1000 --hook orch-kill --hook-every $((ops / (kills + 1))) \
	--between 'orch-stop && orch-start' | tee /tmp/opsrand.out
grep -q 'unsupported: none' /tmp/opsrand.out ||
	fail "operations are not supported that XFS supports"
orchctl status
orchctl upcalls
measure=$(mktemp -d "$ORCH_VOLUME_MNT/random.XXXXXX")
at_exit "rm -rf $measure"
opsrand --dir "$measure/r" --seed "$SEED" --ops $((ops / 10)) --procs 8 \
	--drop 1000 | tee /tmp/opsrand.xfs
grep -q 'unsupported: none' /tmp/opsrand.xfs ||
	fail "XFS supports less"
fsck_clean
soon 300 rm -rf "$TEST_DIR/r"
fsck_clean
