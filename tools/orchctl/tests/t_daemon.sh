#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The commands against orchd, without the kernel module. Skipped where orchd
# is not built.
set -u
cd "$(dirname "$0")" || exit 1
ORCHD=${ORCHD:-$PWD/../../../orchd/orchd}
[ -x "$ORCHD" ] || { echo "skipped: $ORCHD is not built"; exit 0; }
orchctl=$PWD/../orchctl
dir=$(mktemp -d)
export ORCHD ORCHD_FAULT=any-fs ORCHD_SOCKET="$dir/control"
export ORCHD_STATE_DIR="$dir/state"
pid=
passed=0
failed=0

finish() {
	[ -z "$pid" ] || kill "$pid" 2>/dev/null
	rm -rf "$dir"
}
trap finish EXIT

try() {	# RC TEXT COMMAND...
	want=$1
	text=$2
	shift 2
	"$@" >"$dir/out" 2>&1
	rc=$?
	if [ $rc = "$want" ] &&
	    { [ -z "$text" ] || grep -qF -- "$text" "$dir/out"; }; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAIL ($rc, not $want, or no '$text'): $*"
		sed 's/^/    /' "$dir/out"
	fi
}

start() {
	mkfifo "$dir/ready"
	"$ORCHD" --state-dir "$dir/state" --ready-fd 9 9<>"$dir/ready" \
		>>"$dir/log" 2>&1 &
	pid=$!
	read -r _ <"$dir/ready"
	rm "$dir/ready"
}

stop() {
	try 0 '"done": true' "$orchctl" stop --json
	# It has ended: its lock is free.
	try 0 "" flock -n "$dir/state/first/lock" true
	wait "$pid"
	pid=
}

mkdir "$dir/state" "$dir/drive"
try 0 "next: systemctl start orchd" "$orchctl" init first
try 0 "clean" "$orchctl" fsck first
try 1 "already" "$orchctl" init first
start
try 0 "first" "$orchctl" status
try 0 '"pid"' "$orchctl" status --json
try 1 "serves no namespace 'other'" "$orchctl" status --namespace other
try 0 "no volume" "$orchctl" volume list
try 0 "mount -t orchfs first" "$orchctl" volume add nvme0 "$dir/drive/one" \
	--reserve 1M
try 1 "" "$orchctl" volume add nvme0 "$dir/drive/two"
try 1 "" "$orchctl" volume add nvme1 /proc
try 1 "is volume nvme0 already: choose" "$orchctl" volume add nvme1 \
	"$dir/drive/one"
try 0 "nvme0" "$orchctl" volume list
try 0 "$dir/drive/one" "$orchctl" volume show nvme0
try 1 "no volume 'nvme9'" "$orchctl" volume show nvme9
try 0 '"tier": 0' "$orchctl" volume show nvme0 --json
try 0 "name        /" "$orchctl" where 1
try 1 "no inode 999: ls -i" "$orchctl" where 999
try 0 "" "$orchctl" sync
try 0 '"done": true' "$orchctl" sync --json
try 0 "served, a copy of now" "$orchctl" fsck first
try 0 '"online": true' "$orchctl" fsck --json
try 1 "needs the daemon to be stopped" "$orchctl" fsck first --repair
try 0 "backup: " "$orchctl" backup "$dir/backup"
try 0 "600" stat -c %a "$dir/backup"
try 0 '"bytes"' "$orchctl" backup "$dir/backup" --json
try 1 "No such file" "$orchctl" backup "$dir/missing/backup"
try 1 "not a regular file" "$orchctl" backup /dev/null
try 1 "in use" "$orchctl" restore "$dir/backup" --namespace first \
	--store "$dir/state/first"
try 0 "" "$orchctl" init second --store "$dir/elsewhere"
try 0 "$dir/elsewhere" readlink "$dir/state/second"
try 1 "--namespace NAME" "$orchctl" volume list
try 0 "no volume" "$orchctl" volume list --namespace second
# A file that nothing names, seen while the namespace is served.
mkdir -p "$dir/drive/one/data/00"
echo stray >"$dir/drive/one/data/00/ffff.1.ffff"
try 4 "unknown-file" "$orchctl" fsck first
rm "$dir/drive/one/data/00/ffff.1.ffff"
try 0 "clean" "$orchctl" fsck first
stop
try 3 "no daemon" "$orchctl" status
try 0 "clean" "$orchctl" fsck
try 0 "clean" "$orchctl" fsck --repair
mv "$dir/state/first" "$dir/lost"
try 0 "is restored" "$orchctl" restore "$dir/backup" --namespace first
try 1 "is a namespace first already" "$orchctl" restore "$dir/backup" \
	--namespace first
try 0 "is now $dir/state/.first.replaced-" "$orchctl" restore "$dir/backup" \
	--namespace first --store "$dir/state/first"
# An empty directory stays the person's own until a store takes its place.
mkdir -m 751 "$dir/state/third"
try 1 "no .orchfs-volume" "$orchctl" rebuild third "$dir" --dry-run
try 0 "751" stat -c %a "$dir/state/third"
rmdir "$dir/state/third"
# It begins under an fsck, and waits for its end.
: >"$dir/log"
flock -s "$dir/state/first/lock" sh -c \
	"until grep -q 'in use.*waiting up to' '$dir/log'; do :; done" &
holder=$!
until ! flock -n "$dir/state/first/lock" true; do :; done
start
wait $holder
try 0 "nvme0" "$orchctl" volume list --namespace first
try 0 "clean" "$orchctl" fsck first
try 2 "give --tier" "$orchctl" volume set nvme0
try 1 "no volume nvme9" "$orchctl" volume set nvme9 --reserve 1M \
	--namespace first
try 0 "reserve     2" "$orchctl" volume set nvme0 --reserve 2M --tier 3 \
	--namespace first
try 0 '"tier": 3' "$orchctl" volume show nvme0 --json --namespace first
try 1 "is the only one: add" "$orchctl" volume drain nvme0 --namespace first
try 1 "no volume nvme9" "$orchctl" volume drain nvme9 --namespace first
try 1 "is not being drained" "$orchctl" volume drain nvme0 --cancel \
	--namespace first
try 2 "goes with neither" "$orchctl" volume drain nvme0 --cancel --rate 1M
try 0 "" "$orchctl" volume add nvme1 "$dir/drive/two" --namespace first
try 0 "orchctl volume remove nvme0" "$orchctl" volume drain nvme0 \
	--namespace first
try 0 '"state": "draining"' "$orchctl" volume show nvme0 --json \
	--namespace first
try 0 '"drain": true' "$orchctl" jobs show 1 --json --namespace first
try 1 "no other volume takes" "$orchctl" volume drain nvme1 --namespace first
try 0 "takes new files again" "$orchctl" volume drain nvme0 --cancel \
	--namespace first
try 0 "orchctl volume remove nvme0" "$orchctl" volume drain nvme0 \
	--namespace first
try 0 '"done": true' "$orchctl" volume drain nvme0 --cancel --json \
	--namespace first
try 0 '"state": "online"' "$orchctl" volume show nvme0 --json \
	--namespace first
try 0 "" "$orchctl" volume remove nvme1 --namespace first
try 0 '"done": true' "$orchctl" volume remove nvme0 --json --namespace first
try 0 "no volume" "$orchctl" volume list --namespace first

# Another process takes over, and hands on what the first was started with.
old=$pid
try 0 "has taken over" "$orchctl" upgrade
wait "$old"
pid=$("$orchctl" status | sed -n 's/^daemon .* process //p')
try 0 "" test "$pid" != "$old"
try 0 "no volume" "$orchctl" volume list --namespace first
try 0 "" "$orchctl" sync --namespace first
# Those that can't don't: this one goes on.
program() {
	printf '#!/bin/sh\n%s\n' "$1" >"$dir/new"
	chmod 755 "$dir/new"
}
same() {
	try 0 "process $pid" "$orchctl" status
	try 0 "" "$orchctl" sync --namespace first
	try 0 "no volume" "$orchctl" volume list --namespace first
}
try 1 "No such file" "$orchctl" upgrade "$dir/none"
try 1 "exit status 1" "$orchctl" upgrade /bin/false
try 1 "cannot run" "$orchctl" upgrade "$dir/log"
same
program "exec '$ORCHD' --nonsense"
try 1 "exit status 2" "$orchctl" upgrade "$dir/new"
same
program "exec '$ORCHD' \"\$@\" --state-dir '$dir/empty'"
try 1 "state directory" "$orchctl" upgrade "$dir/new"
same
program "ORCHD_FAULT=any-fs,before-taken exec '$ORCHD' \"\$@\""
try 1 "exit status 99" "$orchctl" upgrade "$dir/new"
same
program "kill -KILL \$\$"
try 1 "signal 9" "$orchctl" upgrade "$dir/new"
same
try 1 "no daemon to take over from" "$ORCHD" --takeover \
	--socket "$dir/nothing" --state-dir "$dir/state"
program "exec '$ORCHD' \"\$@\""
try 0 "has taken over" "$orchctl" upgrade "$dir/new"
pid=$("$orchctl" status | sed -n 's/^daemon .* process //p')
try 0 '"pid": ' "$orchctl" upgrade --json
try 0 "" "$orchctl" stop
pid=
try 0 "clean" "$orchctl" fsck

# A release with a newer format takes over; the older one can't any more.
start
program "ORCHD_FAULT=any-fs,newer-format,before-taken exec '$ORCHD' \"\$@\""
try 1 "exit status 99" "$orchctl" upgrade "$dir/new"
same
program "ORCHD_FAULT=any-fs,newer-format exec '$ORCHD' \"\$@\""
try 0 "has taken over" "$orchctl" upgrade "$dir/new"
pid=$("$orchctl" status | sed -n 's/^daemon .* process //p')
same
program "ORCHD_FAULT=any-fs exec '$ORCHD' \"\$@\""
try 1 "have format 5 and orchd 0.1 knows up to 4" "$orchctl" upgrade "$dir/new"
same
try 0 "" "$orchctl" stop
pid=
start
try 1 "is from a newer orchfs: upgrade orchd" "$orchctl" volume list \
	--namespace first
stop
try 1 "use a newer orchctl" "$orchctl" fsck first

echo "$passed passed, $failed failed"
[ $failed = 0 ] || { cat "$dir/log"; exit 1; }
