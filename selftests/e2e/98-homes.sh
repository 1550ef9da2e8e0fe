#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: --nodes 3 --cluster --volumes --cpus 2 --timeout 1800
# timeout: 1500
# Volumes of nodes that aren't the authority: commands said there, files that
# their own kernels and others use at a time, owners, daemons that are killed,
# stopped and replaced, a drive that isn't mounted, a link that is cut.
. "$(dirname "$0")/lib.sh"

d2=$(node_dir 2) d3=$(node_dir 3)

on() {
	on-node "$@"
}

# state NAME: of a volume, as node 1 says
state() {
	orchctl volume show "$1" --json | json_first state
}

state_is() {
	[ "$(state "$1")" = "$2" ]
}

all_online() {
	local v
	for v in nvme0 node2 node3; do
		state_is $v online || return 1
	done
}

# backing FILE: where its contents are, on the node that has them
backing() {
	orchctl where "$1" --json | json_first backing
}

sums() {
	local k first= other
	for k in 1 2 3; do
		other=$(sha256sum <"$(node_dir $k)/$1")
		: "${first:=$other}"
		is "$other" "$first" "$1 on node $k"
	done
}

wait_until 60 "all volumes to be online" all_online

note "commands on a node that has no store"
mkdir /mnt/nvme1/full
touch /mnt/nvme1/full/file
refused "is not empty" on 2 orchctl volume add other /mnt/nvme1/full
refused "on orchfs itself" on 2 orchctl volume add other "$d2/x"
refused "already" on 2 orchctl volume add node2 /mnt/nvme1/second
refused "already" on 2 orchctl volume add nvme0 /mnt/nvme1/second
refused "is volume node2 already" on 2 orchctl volume add other /mnt/nvme1/orch
[ ! -e /mnt/nvme1/second ] || fail "a volume that was refused has left files"
on 2 orchctl volume add other /mnt/nvme1/second --tier 5
wait_until 20 "the new volume" state_is other online
is "$(on 3 orchctl volume show other --json | json_first path)" \
	/mnt/nvme1/second "path, asked on node 3"
on 3 orchctl volume set other --tier 6
is "$(orchctl volume show other --json | json_first tier)" 6 "tier"
on 2 orchctl status | grep -q "^volume *other, online" ||
	fail "status on node 2 doesn't list its volume"
on 3 orchctl volume remove other
marker_gone() {
	[ ! -e /mnt/nvme1/second/.orchfs-volume ]
}
wait_until 20 "the marker of a removed volume to go" marker_gone
refused "no volume 'other'" on 2 orchctl volume show other
refused "run the command on node 1" on 2 orchctl backup /tmp/b
on 2 orchctl volume add other /mnt/nvme1/second
on 2 orchctl volume remove other
on 3 orchctl sync

note "owners"
mkdir -m 777 own
on 2 setpriv --reuid 1234 --regid 4321 --clear-groups \
	sh -c "echo mine >$d2/own/file"
[[ $(backing own/file) == /mnt/nvme1/* ]] || fail "it is not on node 2"
is "$(stat -c %u:%g "$(backing own/file)")" 1234:4321 "owner of the contents"
chown 77:88 own/file
owner_is() {
	[ "$(stat -c %u:%g "$1")" = "$2" ]
}
wait_until 20 "the contents to be another's" \
	owner_is "$(backing own/file)" 77:88
is "$(stat -c %s "$d3/own/file")" 5 "size"

note "its own kernel and others at a time"
: >"$d2/log"
for k in 1 2 3; do
	(
		cd "$(node_dir $k)"
		for ((i = 0; i < 200; i++)); do
			echo "node $k line $i"
		done >>log
	) &
done
wait
is "$(wc -l <log)" 600 "lines"
is "$(sort -u "$d3/log" | grep -c '^node [123] line [0-9]*$')" 600 "whole lines"
sums log
head -c 1000000 /dev/urandom >"$d2/map"
python3 - "$d2/map" "$d3/map" <<'EOP'
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
far = os.open(sys.argv[2], os.O_RDWR)
m = mmap.mmap(fd, 1000000)
os.pwrite(far, b"from afar", 5000)
assert m[5000:5009] == b"from afar", m[5000:5009]
m[6000:6004] = b"here"
m.flush()
assert os.pread(far, 4, 6000) == b"here"
os.fsync(fd)
os.fsync(far)
os.posix_fallocate(fd, 0, 2000000)
assert os.fstat(far).st_size == 2000000
os.ftruncate(far, 500000)
assert os.fstat(fd).st_size == 500000
EOP
fallocate -p -o 4096 -l 65536 "$d2/map"
sums map
dd if=/dev/urandom of="$d2/direct" bs=64k count=20 oflag=direct status=none
dd if=/dev/urandom of="$d3/direct" bs=64k count=5 seek=3 conv=notrunc status=none
sums direct
is "$(sha256sum <direct)" "$(dd if="$d2/direct" bs=64k iflag=direct \
	status=none | sha256sum)" "direct read"
sync -f "$d2"
sync "$d3/map"

# worker NODE FILE: writes and reads a file of node 2 until it is told to stop
worker() {
	local k=$1 f n=0
	f=$(node_dir "$k")/$2
	while [ ! -e /tmp/stop ]; do
		n=$((n + 1))
		echo "$n" >>"$f" || return 1
		[ "$(tail -n 1 "$f")" = "$n" ] || return 1
		echo "$n" >"$f.$((n % 5))" || return 1
		[ "$(cat "$f.$((n % 5))")" = "$n" ] || return 1
		echo "$n" >>"/tmp/$2"
	done
}

workers=()
work_begin() {
	local k
	rm -f /tmp/stop
	workers=()
	for k in 1 2 3; do
		rm -f "/tmp/work$k"
		: >"$d2/work$k"
		worker $k work$k &
		workers+=($!)
	done
}

gets_on() {
	local k
	for k in 1 2 3; do
		[ "$(wc -l 2>/dev/null </tmp/work$k || echo 0)" -gt "$1" ] ||
			return 1
	done
}

work_end() {
	local k n p
	n=$(wc -l /tmp/work[123] | sort -n | awk '$2 != "total" { n = $1 } END { print n }')
	wait_until 120 "all nodes to get on after $1" gets_on "$((n + 3))"
	touch /tmp/stop
	for p in "${workers[@]}"; do
		wait "$p" || fail "what runs on a node has failed after $1"
	done
	for k in 1 2 3; do
		is "$(cat work$k)" "$(cat /tmp/work$k)" "work$k"
		sums work$k
	done
}

note "its daemon is killed"
work_begin
wait_until 60 "work to begin" gets_on 2
orch-kill 2
orch-kill 2
work_end "a kill of node 2's daemon"

note "its daemon is replaced"
work_begin
wait_until 60 "work to begin" gets_on 2
on 2 orchctl upgrade
(
	node_env 2
	orchctl status --json | json_first pid >"$ORCH_PIDFILE"
)
work_end "an upgrade of node 2's daemon"

note "its daemon stops, and begins with a drive that isn't mounted"
echo contents >"$d2/kept"
sync "$d2/kept"
orch-stop 2
unmounted() {
	umount /mnt/nvme1 2>/dev/null
}
wait_until 30 "the drive to be let go of" unmounted
(
	node_env 2
	daemon_start
)
wait_until 60 "the volume to be refused" state_is node2 refused
on 2 orchctl status | grep -q "drive not mounted" ||
	fail "status on node 2 doesn't say what is wrong"
orch-start 2
wait_until 30 "the volume to be back" state_is node2 online
is "$(cat kept "$d3/kept")" $'contents\ncontents' "content"

note "its link is cut"
echo near >"$d2/near"
sync "$d2/near"
ip link set veth2 down
away() {
	! state_is node2 online
}
wait_until 60 "node 2 to be away" away
echo new >elsewhere
is "$(cat elsewhere)" new "a new file"
ip link set veth2 up
wait_until 60 "node 2 to be back" state_is node2 online
is "$(cat "$d2/elsewhere" "$d3/near")" $'new\nnear' "content"
echo again >"$d2/last"
[[ $(backing last) == /mnt/nvme1/* ]] || fail "a new file is not on node 2"
sums last
