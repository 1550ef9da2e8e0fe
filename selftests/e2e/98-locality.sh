#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
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
