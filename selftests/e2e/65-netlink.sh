#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# long: uml
# timeout: 300
# Hostile messages on the channel, from root and from an ordinary user.
. "$(dirname "$0")/lib.sh"

[ -x "$SELFTESTS/bin/nlfuzz" ] || skip "nlfuzz is not built"
echo kept >file
nlfuzz --seed "$SEED" --messages "$(long_or 200000 5000)" \
	--rounds "$(long_or 40 2)"
echo more >>file
is "$(tr '\n' ' ' <file)" "kept more " "content"
soon 20 mkdir dir
fsck_clean
