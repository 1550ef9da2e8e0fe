#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# fsck: a good store is clean; each kind of damage is named, what can be mended
# is mended by --repair, and a second look agrees.
set -u
cd "$(dirname "$0")" || exit 1
orchctl=$PWD/../orchctl
mkstore=$PWD/bin/mkstore
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
passed=0
failed=0

check() {	# WHAT EXPECTED GOT [FILE]
	if [ "$2" = "$3" ]; then
		passed=$((passed + 1))
		return
	fi
	failed=$((failed + 1))
	echo "FAIL $1: expected $2, got $3"
	[ -z "${4:-}" ] || sed 's/^/    /' "$4"
}

fresh() {
	rm -rf "$dir/s" "$dir/v"
	"$mkstore" make "$dir/s" "$dir/v" || exit 1
}

fsck() {
	"$orchctl" fsck --store "$dir/s" "$@" >"$dir/out" 2>&1
	rc=$?
}

fresh
fsck
check "good store" 0 $rc "$dir/out"
fsck --repair
check "good store, repair" 0 $rc "$dir/out"
fsck --json
check "good store, json" 0 $rc "$dir/out"

"$mkstore" kinds >"$dir/kinds"
while read -r kind rule repair after; do
	fresh
	"$mkstore" damage "$dir/s" "$dir/v" "$kind" || exit 1
	fsck
	check "$kind: found" 4 $rc "$dir/out"
	check "$kind: named" 1 "$(grep -c "^  $rule: " "$dir/out" |
		sed 's/^[1-9][0-9]*$/1/')" "$dir/out"
	fsck --repair
	check "$kind: repair" "$repair" $rc "$dir/out"
	cp "$dir/out" "$dir/repaired"
	fsck
	cat "$dir/repaired" >>"$dir/out"
	check "$kind: after" "$after" $rc "$dir/out"
done <"$dir/kinds"

# What a job is at is explained by it.
fresh
"$mkstore" damage "$dir/s" "$dir/v" copy_of_job
fsck
check "a copy of a job" 0 $rc "$dir/out"

# A cluster's records belong there.
fresh
"$mkstore" damage "$dir/s" "$dir/v" cluster
fsck
check "a cluster" 0 $rc "$dir/out"

# Unknown files are moved, never deleted.
fresh
"$mkstore" damage "$dir/s" "$dir/v" unknown_file
fsck --repair
check "quarantine holds the file" "whose?" "$(cat "$dir/v/quarantine/fa.1.4e2")"
check "quarantine count" 4 "$(find "$dir/v/quarantine" -mindepth 1 | wc -l)"

# A store in use is not repaired.
fresh
flock "$dir/s/lock" "$orchctl" fsck --store "$dir/s" --repair \
	>"$dir/out" 2>&1
check "in use, repair" 1 $? "$dir/out"
flock "$dir/s/lock" "$orchctl" fsck --store "$dir/s" \
	--socket "$dir/none" >"$dir/out" 2>&1
check "in use, no daemon" 3 $? "$dir/out"
"$orchctl" fsck --store "$dir/none" >"$dir/out" 2>&1
check "no store" 1 $? "$dir/out"
"$orchctl" fsck --state-dir "$dir" >"$dir/out" 2>&1
check "all stores" 0 $? "$dir/out"

echo "$passed passed, $failed failed"
[ $failed = 0 ]
