#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# long: uml
# timeout: 240
# io_uring with many requests in flight, buffered, O_DIRECT and mixed.
. "$(dirname "$0")/lib.sh"

ops=$(long_or 100000 6000)
for mode in mixed buffered direct; do
	iou --dir . --seed "$SEED" --ops "$ops" --mode $mode
done

note "with the daemon killed in between"
iou --dir . --seed "$SEED" --ops "$ops" --mode mixed &
job=$!
orch-kill
wait $job
