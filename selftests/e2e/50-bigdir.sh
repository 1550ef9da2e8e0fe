#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: --cpus 1
# timeout: 2400
# A directory with many entries: listing, stable positions, removal. Each name is
# a turn of the daemon, so that a second processor would only be woken and sent
# to sleep.
. "$(dirname "$0")/lib.sh"
cd /

# not in the test's folder, which is removed afterwards: that takes minutes

bigdir --dir "$ORCH_MNT/big" --count "$(long_or 1000000 100000)" \
	--remove "$(long_or 9999999 20000)" --seed "$SEED" --between 'orch-stop && orch-start'
fsck_clean
