#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# debug: no: of the tools
# vm: --cpus 1 --timeout 900
# timeout: 300
# fsck finds what was damaged, names it, and repairs what can be repaired.
. "$(dirname "$0")/lib.sh"

volume=$ORCH_VOLUME_MNT/orch
for i in {1..20}; do
	mkdir "d$i"
	head -c $((i * 1000)) /dev/urandom >"d$i/file"
	ln "d$i/file" "d$i/link"
	setfattr -n user.a -v "$i" "d$i/file"
done
sync
backing() {
	orchctl where "$1" --json | python3 -I -c '
import json, sys
print(json.load(sys.stdin)["instances"][0]["backing"])'
}
lost=$(backing d1/file)
short=$(backing d2/file)
[ -f "$lost" ] && [ -f "$short" ] || fail "where: no backing file '$lost'"
cmp "$short" d2/file || fail "the backing file differs from the file"
is "$(orchctl where d1/file --json | python3 -I -c '
import json, sys
print(len(json.load(sys.stdin)["paths"]))')" 2 "names that where gives"
fsck_clean
cd /

# check CODE TEXT ARGS...: fsck ends with CODE and names TEXT.
check() {
	local want=$1 text=$2 out code=0
	shift 2
	out=$(orchctl fsck "$@" 2>&1) || code=$?
	[ $code = "$want" ] || fail "fsck $*: exit code $code, want $want: $out"
	[[ $out == *"$text"* ]] || fail "fsck $* does not name '$text': $out"
}

orch-stop
check 0 ""
cp -a "$lost" /tmp/lost
note "a backing file is missing"
rm "$lost"
check 4 "$(basename "$lost")"
cp -a /tmp/lost "$lost"
check 0 ""

note "an unknown file on the volume"
unknown=$volume/data/00/7fffffff.1.7fffffff
mkdir -p "$volume/data/00"
echo foreign >"$unknown"
check 4 7fffffff.1.7fffffff
check 5 7fffffff.1.7fffffff --repair
check 0 ""
[ ! -e "$unknown" ] || fail "the unknown file is still in its place"
find "$volume/quarantine" -type f | xargs grep -l foreign ||
	fail "the unknown file is not in quarantine"

note "a lost backing file, repaired as far as can be"
rm "$lost"
code=0
orchctl fsck --repair || code=$?
[ $code = 4 ] || [ $code = 5 ] || fail "fsck --repair: exit code $code"
orch-start
refused "nput/output error" cat "$TEST_DIR/d1/file"
cmp "$short" "$TEST_DIR/d2/file"
is "$(getfattr --only-values -n user.a "$TEST_DIR/d20/file")" 20 "xattr"
echo x >"$TEST_DIR/new"
rm -r "$TEST_DIR/d1"
orch-stop
check 0 ""
orch-start
