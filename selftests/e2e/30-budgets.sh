#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# debug: no: counts are the same there
# timeout: 300
# How often an operation makes the kernel ask the daemon.
. "$(dirname "$0")/lib.sh"

status=0
budgets "$TEST_DIR" >/tmp/budgets || status=$?
grep '^ok' /tmp/budgets || :
! grep '^not ok' /tmp/budgets || fail "budgets are exceeded"
[ $status = 0 ] || { cat /tmp/budgets; fail "budgets ended with $status"; }
[ "$(upcalls create)" -gt 10 ] || fail "upcalls are not counted"

# by another name, whose dentry isn't there
exec 3>>held
ln held other
echo 2 >/proc/sys/vm/drop_caches
cat other
costs 0 bash -c 'echo text >&3'
is "$(cat other)" text "contents after somebody read"
exec 3>&-
