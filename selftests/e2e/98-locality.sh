#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# long: uml
# vm: --nodes 3 --cluster --volumes --cpus 2 --timeout 1800
# timeout: 1500
# Each of three nodes has a volume: what a node makes lies on its own, all see
# the same bytes, sizes and times, and what is removed frees space there.
. "$(dirname "$0")/lib.sh"

d2=$(node_dir 2) d3=$(node_dir 3)

# lies FILE VOLUME
lies() {
	is "$(volume_of "$1")" "$2" "volume of $1"
}

# sums FILE: its checksum, which all nodes must see
sums() {
	local k first= other
	for k in 1 2 3; do
		other=$(sha256sum <"$(node_dir $k)/$1")
		: "${first:=$other}"
		is "$other" "$first" "$1 on node $k"
	done
}

# same FILE: the same attributes to all nodes
same() {
	local k first= other
	for k in 1 2 3; do
		other=$(stat -c '%i %s %f %u %g %h %y %z' "$(node_dir $k)/$1")
		: "${first:=$other}"
		is "$other" "$first" "$1 on node $k"
	done
}

volumes_online() {
	local v
	for v in nvme0 node2 node3; do
		volume_is $v online || return 1
	done
}

# questions K: how many node K's volumes were asked so far
questions() {
	orchctl status --json | awk -v k="$1" '
		/"node":/ { node = $2 + 0 }
		/"questions":/ && node == k { print $2 + 0 }'
}

# asks MAX K COMMAND...: at most so many
asks() {
	local max=$1 k=$2 before after
	shift 2
	before=$(questions "$k")
	"$@"
	after=$(questions "$k")
	[ $((after - before)) -le "$max" ] ||
		fail "'$*' asked node $k $((after - before)) times, not $max"
}

# used K: KiB that are taken on node K's drive
used() {
	df --output=used "/mnt/nvme$(($1 - 1))" | tail -n 1 | tr -d ' '
}

used_at_most() {
	[ "$(used "$1")" -le "$2" ]
}

# size_of DIR: KiB in all of its file system
size_of() {
	df --output=size "$1" | tail -n 1 | tr -d ' '
}

attached() {
	orchctl status --json | awk -v k="$1" '
		/"node":/ { node = $2 + 0 }
		/"state": *"up"/ && node == k { found = 1 }
		END { exit !found }'
}

link_of() {
	ip link set "veth$1" "$2"
}

note "a new file lies where it is written"
wait_until 60 "all volumes to be online" volumes_online
echo one >one
echo two >"$d2/two"
echo three >"$d3/three"
lies one nvme0
lies two node2
lies three node3
is "$(cat one two three)" $'one\ntwo\nthree' "content on node 1"
is "$(cd "$d2" && cat one two three)" $'one\ntwo\nthree' "content on node 2"
is "$(cd "$d3" && cat one two three)" $'one\ntwo\nthree' "content on node 3"
same two
same three

note "written and read from everywhere"
for k in 1 2 3; do
	head -c 3000000 /dev/urandom >"$(node_dir $k)/big$k"
done
for k in 1 2 3; do
	sums big$k
	same big$k
done
for k in 1 2 3; do
	for by in 1 2 3; do
		echo "node $by" >>"$(node_dir $by)/big$k"
	done
	is "$(stat -c %s big$k)" 3000021 "size of big$k"
	sums big$k
	same big$k
done
exec 3<>"$d2/two"
echo more >"$d3/two"
is "$(cat <&3)" more "what node 3 wrote, at its home"
echo again >&3
is "$(cat two)" $'more\nagain' "what its home wrote"
exec 3>&-
chown 7:8 "$d3/two"
touch -d @1000000000.5 two
truncate -s 100 "$d3/two"
same two
mv "$d2/two" four
ln "$d3/four" "$d3/two"
same two
rm two four "$d2/three"
[ ! -e "$d3/three" ] || fail "node 3 still has what node 2 has removed"

note "a listing of what another node writes"
files=$(long_or 1000 300)
mkdir "$d2/many"
for ((i = 0; i < files; i++)); do
	echo $i >"$d2/many/$i"
done
# a list costs two questions for each 1,024 files, the rest is the pool's
asks 12 2 ls -l "$d3/many" >listing
is "$(grep -c '^-' listing)" $files "files in the listing"
is "$(cat "$d3"/many/* | wc -l)" $files "lines in them"

note "who removes frees space at the home"
head -c 60000000 /dev/zero >"$d2/large"
sync
before=$(used 2)
rm "$d3/large"
sync
wait_until 60 "space on node 2" used_at_most 2 $((before - 50000))

note "free space is that of all"
sum=0
for k in 1 2 3; do
	sum=$((sum + $(size_of "/mnt/nvme$((k - 1))")))
done
for k in 1 2 3; do
	is "$(size_of "$(node_dir $k)")" $sum "size on node $k"
done

note "a full volume"
at_node 1 orchctl volume set node2 --reserve 1T >/dev/null
wait_until 30 "node2 to be full" volume_is node2 full
echo full >"$d2/elsewhere"
lies elsewhere nvme0
sums elsewhere
at_node 2 orchctl volume set node2 --reserve 0 >/dev/null
wait_until 30 "node2 to be online" volume_is node2 online
echo full >"$d2/back"
lies back node2

note "the home's daemon is killed"
head -c 2000000 /dev/urandom | base64 >"$d2/kept"
sum=$(sha256sum <"$d2/kept")
exec 3>>"$d2/kept" 4<"$d3/kept"
at_node 2 daemon_signal KILL
is "$(sha256sum <&4)" "$sum" "content meanwhile, on node 3"
echo more >&3
at_node 2 daemon_start
wait_until 60 "node 2 to attach" attached 2
wait_until 60 "all volumes to be online" volumes_online
echo again >&3
exec 3>&- 4<&-
is "$(tail -n 2 "$d3/kept")" $'more\nagain' "what was written meanwhile"
sums kept
same kept
echo new >"$d2/new"
lies new node2

note "its link is cut"
exec 3>>"$d2/kept" 4>"$d2/unread"
echo cut >&3
echo unseen >&4
link_of 2 down
echo elsewhere >"$d3/other"
lies other node3
# as recorded, once its session is over
is "$(stat -c %s "$d3/unread")" 0 "size while its home is away"
is "$(volume_says node2 state)" away "state"
refused "Input/output error" sync -f "$d3/other"
echo also >&3
link_of 2 up
wait_until 120 "node 2 to attach" attached 2
wait_until 60 "all volumes to be online" volumes_online
exec 3>&- 4>&-
is "$(tail -n 2 "$d3/kept")" $'cut\nalso' "what was written meanwhile"
sums kept
same kept
sums unread
same unread
sync -f . || sync -f .		# the first may tell of before

note "the authority is started again"
for how in TERM KILL; do
	at_node 1 daemon_signal $how
	at_node 1 daemon_start
	for k in 2 3; do
		wait_until 120 "node $k to attach" attached $k
	done
	wait_until 60 "all volumes to be online" volumes_online
	for k in 1 2 3; do
		echo $how >"$(node_dir $k)/after$k"
	done
	lies after1 nvme0
	lies after2 node2
	lies after3 node3
	sums after2
	sums kept
done

note "a node without a volume"
rm -rf "$d3"/*3 "$d3/other"
sync
at_node 1 orchctl volume remove node3
wait_until 60 "node 3 to take its marker away" \
	test ! -e /mnt/nvme2/orch/.orchfs-volume
echo third >"$d3/third"
lies third nvme0
sums third
at_node 3 orchctl volume add node3 /mnt/nvme2/orch >/dev/null
wait_until 60 "all volumes to be online" volumes_online
echo fourth >"$d3/fourth"
lies fourth node3
sums fourth

note "nothing is wrong"
sync
fsck_clean
