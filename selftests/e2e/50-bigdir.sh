#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: --cpus 2 --timeout 2700
# timeout: 2400
# A directory with many entries: listing, stable positions, removal.
. "$(dirname "$0")/lib.sh"
cd /

# not in the test's folder, which is removed afterwards: that takes minutes

bigdir --dir "$ORCH_MNT/big" --count "$(long_or 1000000 100000)" \
	--remove "$(long_or 9999999 20000)" --seed "$SEED" --between 'orch-stop && orch-start'
fsck_clean
