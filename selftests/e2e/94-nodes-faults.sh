#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# long: uml only
# vm: --nodes 3 --cluster --volumes --cpus 2 --timeout 2400
# timeout: 2100
# Random operations on three nodes' mounts against one model while daemons are
# killed, replaced and paused, links cut, slow and out of order, connections
# reset and files moved between the nodes. What was acknowledged stays; what
# failed because of a fault was done, or it wasn't. The seed repeats operations
# and faults: ORCH_SEED.
. "$(dirname "$0")/lib.sh"

node() {
	(
		node_env "$1"
		cd /
		"${@:2}"
	)
}

# What a fault is given up after, and one that no call waits out.
patience=60 impatience=6
if [ "$ORCH_KERNEL" = debug ]; then
	patience=600 impatience=30
fi

wait_at_most() {
	local k
	for k in 1 2 3; do
		mount -o "remount,upcall_timeout=$1" "/mnt/orch${k#1}"
	done
}

attached() {
	timeout 20 orchctl status --json | awk -v k="$1" '
		/"node":/ { node = $2 + 0 }
		/"state": *"up"/ && node == k { found = 1 }
		END { exit !found }'
}

all_there() {
	local v
	attached 2 && attached 3 || return 1
	for v in nvme0 node2 node3; do
		volume_is $v online 2>/dev/null || return 1
	done
}

nothing_waits() {
	local k
	for k in 1 2 3; do
		[ "$(node $k kernel_says waiting)" = 0 ] || return 1
	done
}

# one_of WORD...: sets $it
one_of() {
	local n=$(($# * RANDOM / 32768 + 1))
	it=${!n}
}

# A fault lasts for a while, not until something happens: up to $1 s.
last() {
	sleep "$(($1 * RANDOM / 32768)).$((RANDOM % 10))"
}

say() {
	echo "$*" >&2
}

# ---- faults that nobody notices but by waiting

kill_one() {
	say "orchd of node $1 is killed"
	node "$1" daemon_signal KILL
	last 3
	node "$1" daemon_start
}

kill_all() {
	local k
	say "all orchd are killed"
	for k in 1 2 3; do
		node $k daemon_signal KILL
	done
	for k in 2 1 3; do
		node $k daemon_start
	done
}

pause_one() {
	local pid
	say "orchd of node $1 is paused"
	pid=$(node "$1" daemon_pid)
	kill -STOP "$pid"
	last "${2:-4}"
	kill -CONT "$pid"
}

upgrade_one() {
	say "orchd of node $1 is replaced"
	node "$1" in_node "$1" orchctl upgrade >/dev/null
	node "$1" eval 'orchctl status --json | json_first pid >"$ORCH_PIDFILE"'
}

cut_one() {
	say "the link of node $1 is cut"
	ip link set "veth$1" down
	last "${2:-5}"
	ip link set "veth$1" up
}

# deaf A B: what A sends to B doesn't arrive
deaf() {
	local dev=eth0
	[ "$1" != 1 ] || dev=br0
	in_node "$1" ip neigh replace "10.77.0.$2" dev $dev \
		lladdr 02:00:00:00:00:99 nud permanent
}

hears() {
	local dev=eth0
	[ "$1" != 1 ] || dev=br0
	in_node "$1" ip neigh del "10.77.0.$2" dev $dev
}

one_way() {
	say "what node $1 sends to node $2 is lost"
	deaf "$1" "$2"
	last "${3:-5}"
	hears "$1" "$2"
}

cut_between() {
	say "nodes 2 and 3 are cut from each other"
	deaf 2 3
	deaf 3 2
	last "${1:-6}"
	hears 2 3
	hears 3 2
}

slow_link() {
	local dev=veth$1
	say "the link of node $1 is slow and out of order"
	tc qdisc replace dev "$dev" root netem delay 15ms 10ms \
		reorder 20% 50% duplicate 2% loss 1% 2>/dev/null ||
		{ say "but there is no netem here"; return 0; }
	in_node "$1" tc qdisc replace dev eth0 root netem delay 10ms 8ms \
		reorder 20% 50% duplicate 2% loss 1%
	last 6
	tc qdisc del dev "$dev" root
	in_node "$1" tc qdisc del dev eth0 root
}

move_tree() {
	local to
	one_of nvme0 node2 node3
	to=$it
	say "files move to $to"
	timeout 120 orchctl move "$TEST_DIR/r" "$to" >/dev/null 2>&1 || :
}

short_fault() {
	local agent any other
	one_of 2 3; agent=$it
	one_of 1 2 3; any=$it
	one_of 1 2 3; other=$it
	[ "$any" != "$other" ] || other=$((any % 3 + 1))
	one_of "kill_one $any" "kill_one $agent" "kill_one 1" kill_all \
		"pause_one $any" "upgrade_one $any" "cut_one $agent" \
		"one_way $any $other" cut_between "slow_link $agent" move_tree \
		move_tree
	$it
}

# ---- faults that calls don't wait out, or that lose what isn't synced

away() {
	say "node $1 is away past its lease"
	one_of link daemon
	if [ "$it" = link ]; then
		ip link set "veth$1" down
		sleep 18
		ip link set "veth$1" up
	else
		pause_one "$1" 1
		kill -STOP "$(node "$1" daemon_pid)"
		sleep 14
		kill -CONT "$(node "$1" daemon_pid)"
	fi
}

alone() {
	say "no node hears another"
	ip link set veth2 down
	ip link set veth3 down
	sleep 16
	ip link set veth2 up
	ip link set veth3 up
}

restart() {
	say "orchd of node $1 stops, and begins again"
	node "$1" daemon_signal TERM
	last 3
	node "$1" daemon_start
}

reset_data() {
	local k
	say "connections are reset"
	for k in 1 2 3; do
		in_node $k ss -K -tn sport = :7420 >/dev/null 2>&1 || :
	done
}

long_fault() {
	one_of 2 3
	local agent=$it
	one_of "away $agent" "away $agent" alone "cut_between 20" \
		"pause_one 1 16" "one_way 1 $agent 20" "one_way $agent 1 20" \
		"restart 1" "restart $agent" reset_data reset_data
	$it
}

# One fault, beside the operations; opsnodes reads what is said.
fault() {
	local mover= k
	# who serves draws another verifier with each start of its daemon
	echo unsynced
	if [ "$((RANDOM % 3))" = 0 ]; then
		move_tree >&2 &
		mover=$!
	fi
	if [ "$((RANDOM % 4))" = 0 ]; then
		echo unsure
		wait_at_most $impatience
		long_fault >&2
		wait_until 120 "all to be there" all_there
		wait_at_most $patience
		echo hold
		wait_until 120 "late answers" nothing_waits
		for k in 1 2 3; do
			echo "use $k"
		done
		echo sure
	else
		short_fault >&2
		wait_until 120 "all to be there" all_there
	fi
	[ -z "$mover" ] || wait $mover
}

if [ "${1:-}" = fault ]; then
	say "$(date +%T) fault $OPSNODES_HOOK"
	RANDOM=$(((SEED + OPSNODES_HOOK * 7919) % 32768))
	one_of 1 2 3	# the first one is poor
	fault
	say "$(date +%T) it is over"
	exit 0
fi

note "seed $SEED"
d2=$(node_dir 2) d3=$(node_dir 3)
modprobe -q -a sch_netem tcp_diag || :
wait_until 60 "all to be there" all_there
wait_at_most $patience

# on XFS: is the tool right about what it isn't told?
doubts=$(mktemp -d "$ORCH_VOLUME_MNT/doubts.XXXXXX")
at_exit "rm -rf $doubts"
soon 600 opsnodes --mount "$doubts" --mount "$doubts" --mount "$doubts" \
	--seed "$SEED" --ops 1000 --hook-every 100 --pretend 12 \
	--hook 'echo unsure; sleep 1; echo hold; echo sure'

status=0
timeout -k 5 "$(long_or 9000 1500)" opsnodes --mount "$TEST_DIR" \
	--mount "$d2" --mount "$d3" --seed "$SEED" \
	--ops "${OPS:-100000}" --seconds "$(long_or 7000 240)" \
	--hook "bash $0 fault" --hook-every "${EVERY:-30}" || status=$?
is $status 0 "status of opsnodes"

note "the same bytes everywhere, and nothing is wrong"
sums() {
	(cd "$(node_dir "$1")/r" && find . -type f -print0 | sort -z |
		xargs -0r sha256sum)
}
sums 1 >/tmp/sums
for k in 2 3; do
	sums $k | cmp - /tmp/sums || fail "node $k reads something else"
done
note "$(wc -l </tmp/sums) files"
for k in 1 2 3; do
	# one that was told of what is lost isn't told again
	sync -f "$(node_dir $k)" 2>/dev/null || sync -f "$(node_dir $k)"
done
fsck_clean
