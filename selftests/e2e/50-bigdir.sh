#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# long: uml
# debug: no: hours
# vm: --cpus 1
# timeout: 1500
# A directory with many entries: listing, stable positions, removal. Each name is
# a turn of the daemon, so that a second processor would only be woken and sent
# to sleep.
. "$(dirname "$0")/lib.sh"
cd /

# An orderly stop exports all names to the volumes, which takes a minute here;
# other tests have that.
between=orch-kill
[ "$LONG" = 0 ] || between='orch-stop && orch-start'

# not in the test's folder, which is removed afterwards: that takes minutes

bigdir --dir "$ORCH_MNT/big" --count "$(long_or 1000000 100000)" \
	--remove "$(long_or 100000 10000)" --seed "$SEED" --between "$between"
fsck_clean
