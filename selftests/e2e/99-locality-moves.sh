#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: --nodes 3 --cluster --volumes --cpus 2 --timeout 1800
# timeout: 1500
# Files move between the volumes of three nodes while nodes read and write
# them, and while daemons die and a link is cut: all read the same bytes.
. "$(dirname "$0")/lib.sh"

d2=$(node_dir 2) d3=$(node_dir 3)

# lies FILE VOLUME: there alone
lies() {
	is "$(places "$1")" "$2 valid" "where $1 is"
}

# sums FILE WANT: on each node
sums() {
	local k
	for k in 1 2 3; do
		is "$(sha256sum <"$(node_dir $k)/$1")" "$2" "$1 on node $k"
	done
}

# sums_left FILE WANT: on the nodes that are left
sums_left() {
	is "$(sha256sum <"$1")" "$2" "$1 on node 1"
}

volumes_online() {
	local v
	for v in nvme0 node2 node3; do
		volume_is $v online || return 1
	done
}

attached() {
	orchctl status --json | awk -v k="$1" '
		/"node":/ { node = $2 + 0 }
		/"state": *"up"/ && node == k { found = 1 }
		END { exit !found }'
}

all_there() {
	attached 2 && attached 3 && volumes_online
}

# job MEMBER: of the last one
job() {
	orchctl jobs show "$n" --json | json_first "$1"
}

reads() {
	[ "$(job reading)" -gt 1000000 ]
}

# begin FILE VOLUME RATE: a job in the background, until it copies
begin() {
	n=$(orchctl move --detach --rate "$3" "$1" "$2" | tr -dc 0-9)
	wait_until 60 "the copy of $1" reads
}

ends_well() {
	soon 180 orchctl jobs watch "$n" >/dev/null ||
		fail "job $n: $(orchctl jobs show "$n")"
}

wait_until 60 "all volumes to be online" volumes_online
head -c 12000000 /dev/urandom >"$d2/f"
truncate -s 20M "$d2/f"
sum=$(sha256sum <"$d2/f")
lies f node2

note "from any volume to any, while it is open everywhere"
exec 4<f 5<"$d2/f" 6<"$d3/f"
for to in node3 nvme0 node2 nvme0 node3 node2; do
	orchctl move f $to >/dev/null
	lies f $to
	sums f "$sum"
done
for fd in 4 5 6; do
	is "$(sha256sum <&$fd)" "$sum" "through descriptor $fd"
done
is "$(stat -c '%s %y' f)" "$(stat -c '%s %y' "$d3/f")" "size and time"
[ "$(stat -c %b "$d2/f")" -lt 30000 ] || fail "the hole is filled"
exec 4<&- 5<&- 6<&-

note "while two nodes sum it over and over"
for k in 1 3; do
	(
		while [ ! -e /tmp/stop ]; do
			[ "$(sha256sum <"$(node_dir $k)/f")" = "$sum" ] ||
				fail "node $k read something else"
		done
	) &
	pids[k]=$!
done
for to in node3 node2 nvme0 node2; do
	orchctl move f $to >/dev/null
	lies f $to
done
touch /tmp/stop
wait "${pids[@]}"
rm /tmp/stop

note "who writes keeps it where it is"
exec 4>>"$d3/f"
refused "open for writing" orchctl move f node3
exec 4>&-
begin f node3 2M
echo more >>"$d3/f"
! orchctl jobs watch "$n" >/dev/null || fail "a file that was written moved"
lies f node2
sum=$(sha256sum <"$d2/f")
sums f "$sum"
orchctl move f node3 >/dev/null
lies f node3
sums f "$sum"

note "mapped on another node"
mkfifo /tmp/go
exec 7<>/tmp/go
python3 -c '
import mmap, sys
f = open(sys.argv[1], "rb")
m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)
m[0]
print("mapped", flush=True)
sys.stdin.readline()
m[len(m) - 1]
' "$d2/f" <&7 7>&- >/tmp/mapped &
mapper=$!
wait_until 60 "the mapping" grep -q mapped /tmp/mapped
n=$(orchctl move --detach f nvme0 | tr -dc 0-9)
wait_until 60 "the file to wait" eval '[ "$(job waiting)" = 1 ]'
sums f "$sum"
echo >&7
wait $mapper
exec 7>&-
ends_well
lies f nvme0
sums f "$sum"

note "a tree"
mkdir "$d2/tree"
for ((i = 0; i < 40; i++)); do
	head -c $((i * 700)) /dev/urandom >"$d2/tree/$i"
done
(cd "$d2/tree" && sha256sum -- *) >trees
orchctl move tree node3 >/dev/null
(cd tree && sha256sum --quiet -c ../trees)
for i in 0 1 39; do
	lies tree/$i node3
done

note "daemons die in the middle"
from=nvme0
for victim in 1 2 3; do
	[ $from = node2 ] && to=node3 || to=node2
	begin f $to 3M
	at_node $victim daemon_signal KILL
	at_node $victim daemon_start
	wait_until 120 "all to be there" all_there
	ends_well
	lies f $to
	sums f "$sum"
	from=$to
done

note "the link is cut in the middle"
[ $from = node2 ] && to=node3 k=3 || to=node2 k=2
begin f $to 3M
ip link set veth$k down
wait_until 60 "the job to wait" eval '[ "$(job state)" = waiting ]'
ip link set veth$k up
wait_until 120 "all to be there" all_there
ends_well
lies f $to
sums f "$sum"

note "given up"
begin f nvme0 1M
orchctl jobs cancel "$n" >/dev/null
wait_until 60 "its end" eval '[ "$(job state)" = cancelled ]'
lies f $to
sums f "$sum"

note "a volume is drained to those of other nodes"
n=$(orchctl volume drain --detach node3 | tr -dc 0-9)
ends_well
[ "$(volume_of tree/39)" != node3 ] || fail "node3 is not empty"
(cd tree && sha256sum --quiet -c ../trees)
sums f "$sum"
orchctl volume drain node3 --cancel >/dev/null

note "a node is drained and leaves"
echo late >"$(node_dir $k)/late"
lies late node$k
sync
refused "has the only copy of" orchctl node remove $k
refused "/${TEST_DIR##*/}/late" orchctl node remove $k
orchctl node drain $k >/dev/null
[ "$(volume_of late)" != node$k ] || fail "node$k is not empty"
is "$(cat late)" late "what was there"
orchctl node remove $k >/dev/null
! orchctl volume list | grep -q "^node$k " || fail "node$k is still a volume"
sums_left f "$sum"

note "a node is removed with all that it has"
k=$((5 - k))
echo gone >"$(node_dir $k)/gone"
lies gone node$k
sync
refused "/${TEST_DIR##*/}/gone" orchctl node remove $k
# 600 files: more than a page; asked on a node that has no store
mkdir many
for i in $(seq 600); do echo $i >"$(node_dir $k)/many/$i"; done
sync
lost=$(at_node $k orchctl node remove --list $k)
is "$(grep -c /many/ <<<"$lost")" 600 "files that would be lost"
grep -qx "/${TEST_DIR##*/}/gone" <<<"$lost" || fail "not all are listed: $lost"
orchctl node remove --accept-loss $k >/dev/null
is "$(orchctl node remove --list --json $k | grep -c '"path":')" \
	"$(wc -l <<<"$lost")" "files that are lost"
# there is nobody to unlink them
rm -rf many
refused_soon 30 "Input/output error" cat gone
is "$(stat -c %s gone)" 5 "size of what is lost"
refused "holds the contents of" orchctl volume remove node$k
fsck_clean
orchctl where --json tree/39 >/dev/null
find . -type f | while read -r file; do
	[ "$(volume_of "$file")" != node$k ] || rm "$file"
done
sync
# the node that was removed had it open as far as anybody knows
wait_until 60 "its session to end" orchctl volume remove node$k

note "nothing is wrong"
rm -rf tree f late
sync
fsck_clean
