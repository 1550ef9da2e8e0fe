#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# debug: no: of the tools
# vm: --cpus 1 --timeout 900
# timeout: 300
# A backup is taken while files are made, and restored.
. "$(dirname "$0")/lib.sh"

store=$ORCH_STATE/$ORCH_NAMESPACE
opsrand --dir "$TEST_DIR/tree" --ops 3000 --procs 4 --seed "$SEED" >/dev/null
(cd tree && find . -xdev | sort >/tmp/names.before)
(cd tree && find . -type f -exec sha256sum {} + | sort >/tmp/sums.before)
(cd tree && find . -printf '%p %y %m %u %g %n %s %l\n' | sort >/tmp/stat.before)
setfattr -n user.kept -v yes tree
opsrand --dir "$TEST_DIR/busy" --ops 3000 --procs 2 --seed "$SEED" \
	>/tmp/busy.out &
job=$!
orchctl backup /var/tmp/backup
wait $job || { cat /tmp/busy.out; fail "opsrand during the backup"; }
echo later >after-the-backup
refused "there is a namespace $ORCH_NAMESPACE already: choose another name" \
	orchctl restore /var/tmp/backup --namespace "$ORCH_NAMESPACE"
cd /
orch-stop

note "restore into the place of a lost store"
# outside the state directory, where it would be served as well
mv "$store" /var/tmp/lost
refused "this is no backup of orchfs" \
	orchctl restore /dev/null --namespace "$ORCH_NAMESPACE"
head -c 1000 /var/tmp/backup >/var/tmp/half
refused "cut short: use a complete one" \
	orchctl restore /var/tmp/half --namespace "$ORCH_NAMESPACE"
rm -rf "$store"
orchctl restore /var/tmp/backup --namespace "$ORCH_NAMESPACE"
orch-start
cd "$TEST_DIR"
(cd tree && find . -xdev | sort | diff /tmp/names.before -)
(cd tree && find . -type f -exec sha256sum {} + | sort | diff /tmp/sums.before -)
(cd tree && find . -printf '%p %y %m %u %g %n %s %l\n' | sort |
	diff /tmp/stat.before -)
is "$(getfattr --only-values -n user.kept tree)" yes "xattr"
[ ! -e after-the-backup ] || fail "a later file is in the restored tree"
echo new >new
is "$(cat new)" new "a new file"
sync
fsck_clean
cd /
orch-stop
fsck_clean

note "the same backup again"
rm -rf "$store"
orchctl restore --json /var/tmp/backup --namespace "$ORCH_NAMESPACE" \
	>/tmp/restored
is "$(python3 -I -c '
import json
print(json.load(open("/tmp/restored"))["store"])')" "$store" "store in JSON"
orch-start
cd "$TEST_DIR"
(cd tree && find . -type f -exec sha256sum {} + | sort | diff /tmp/sums.before -)
[ ! -e new ] || fail "a file of the first restore is in the second"
echo again >new
is "$(cat new)" again "a new file"
sync
fsck_clean
cd /
orch-stop
fsck_clean
orch-start
