#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
# Hostile messages on the channel, from root and from an ordinary user.
. "$(dirname "$0")/lib.sh"

[ -x "$SELFTESTS/bin/nlfuzz" ] || skip "nlfuzz is not built"
count=$(long_or 200000 5000)
echo kept >file
nlfuzz --seed "$SEED" --count "$count"
as_user nlfuzz --seed "$SEED" --count 500 || fail "as an ordinary user"
as_user unshare -Urn nlfuzz --seed "$SEED" --count 500 ||
	fail "as the owner of a user namespace"
echo more >>file
is "$(cat file | tr '\n' ' ')" "kept more " "content"
soon 20 mkdir dir
fsck_clean
