#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A cluster of three daemons on the loopback device, without the kernel module.
# Skipped where orchd is not built.
set -u
cd "$(dirname "$0")" || exit 1
ORCHD=${ORCHD:-$PWD/../../../orchd/orchd}
[ -x "$ORCHD" ] || { echo "skipped: $ORCHD is not built"; exit 0; }
orchctl=$PWD/../orchctl
dir=$(mktemp -d)
port=$((20000 + $$ % 20000))
export ORCHD ORCHD_FAULT=any-fs
passed=0
failed=0

# A daemon built with sanitizers tells what it has found.
sanitized() {
	if grep -hE "(Address|Leak)Sanitizer|runtime error" "$dir"/*.log; then
		failed=$((failed + 1))
	fi
}

finish() {
	for k in a b c; do
		[ ! -e "$dir/$k.pid" ] || kill "$(cat "$dir/$k.pid")" 2>/dev/null
	done
	rm -rf "$dir"
}
trap finish EXIT

on() {	# NODE COMMAND...
	node=$1
	shift
	ORCHD_STATE_DIR=$dir/$node ORCHD_SOCKET=$dir/$node.control \
		"$orchctl" "$@"
}

try() {	# RC TEXT NODE COMMAND...
	want=$1
	text=$2
	shift 2
	on "$@" >"$dir/out" 2>&1
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

# Until COMMAND says TEXT.
soon() {	# TEXT NODE COMMAND...
	text=$1
	shift
	left=300
	until on "$@" 2>&1 | grep -qF -- "$text"; do
		left=$((left - 1))
		[ $left -gt 0 ] || break
		sleep 0.1
	done
	try 0 "$text" "$@"
}

logged() {	# NODE TEXT
	if grep -qF -- "$2" "$dir/$1.log"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAIL: the log of $1 has no '$2'"
		sed 's/^/    /' "$dir/$1.log"
	fi
}

logged_times() {	# N NODE TEXT
	if [ "$(grep -cF -- "$3" "$dir/$2.log")" = "$1" ]; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAIL: the log of $2 has not $1 times '$3'"
		sed 's/^/    /' "$dir/$2.log"
	fi
}

start() {	# NODE [FAULTS]
	mkdir -p "$dir/$1"
	mkfifo "$dir/ready"
	ORCHD_FAULT=any-fs${2:+,$2} "$ORCHD" --state-dir "$dir/$1" \
		--socket "$dir/$1.control" --ready-fd 9 9<>"$dir/ready" \
		7>&- >>"$dir/$1.log" 2>&1 &
	echo $! >"$dir/$1.pid"
	read -r _ <"$dir/ready"
	rm "$dir/ready"
}

stop() {	# NODE
	try 0 "" "$1" stop
}

token() {	# NODE [OPTIONS]: in $token
	token=$(on "$@" 2>/dev/null)
}

start a lose-joined
start b
start c
try 2 "--listen is missing" a cluster init models
try 1 "is no address" a cluster init models --listen nowhere
try 1 "name one address" a cluster init models --listen 0.0.0.0
try 1 "good on one link only" a cluster init models --listen fe80::1
try 1 "cannot listen" a cluster init models --listen 192.0.2.1
try 0 "no namespace: 'orchctl init" a status
try 0 "" a init models
try 1 "is no cluster's" a node list
try 1 "is no cluster's" a node invite
try 0 "next: orchctl node invite" a cluster init models \
	--listen 127.0.0.1:$port --node alpha
try 1 "is a cluster's already" a cluster init models \
	--listen 127.0.0.1:$port --node alpha
try 0 "node 1 (alpha), the authority" a status
try 0 '"role": "authority"' a status --json
try 0 "clean" a fsck models

# Tokens that are none, late, of another cluster, used.
try 1 "this is no token" b node join hello
try 1 "no token on standard input" b node join - </dev/null
token a node invite --valid 1s
late=$token
born=$(date +%s)
token a node invite
try 1 "a part of the token is missing" b node join "${token%????}"
try 1 "is no name for a node" b node join "$token" --node "a b"
try 1 "alpha already: choose another name" b node join "$token" --node alpha
# The first answer gets lost, and the authority with it: when it is back it is
# asked again, and that is node 2 all the same.
echo "$token" >"$dir/token"
on b node join - --node beta <"$dir/token" >"$dir/join" 2>&1 &
join=$!
left=300
until grep -qF "(beta) has joined" "$dir/a.log" || [ $left = 0 ]; do
	left=$((left - 1))
	sleep 0.1
done
kill -KILL "$(cat "$dir/a.pid")"
wait "$(cat "$dir/a.pid")" 2>/dev/null
start a
wait $join
try 0 "agent of node 1 (alpha)" b status
logged_times 2 a "node 2 (beta) has joined"
try 0 "node        2 (beta)" a node show 2
try 1 "was used before" c node join "$token" --node gamma
while [ "$(date +%s)" -le $((born + 1)) ]; do
	sleep 0.1
done
try 1 "has expired" c node join "$late" --node gamma
logged a "does not join: the token has expired"
token b node invite
try 0 "1 invitations are open" b node list
try 0 "1 open invitations are cancelled" b node invite --cancel-all
try 1 "is not known here" c node join "$token" --node gamma
try 2 "--cancel-all makes none" b node invite --cancel-all --valid 1d
try 1 "already: orchctl status" b node join "$token" --node beta
token b node invite --json
token=$(echo "$token" | sed -n 's/.*"token": "\(.*\)",/\1/p')

# Until each of its threads stands still.
silence() {	# NODE
	kill -STOP "$(cat "$dir/$1.pid")"
	left=300
	while grep -h "^State:" "/proc/$(cat "$dir/$1.pid")/task/"*/status |
	    grep -qv "T (stopped)" && [ $left != 0 ]; do
		left=$((left - 1))
		sleep 0.1
	done
}

# The authority is silent: a join does not keep orchd from ending.
join_under_way() {	# NODE, of an authority that is silent
	on "$1" node join "$token" --node gamma >"$dir/join" 2>&1 &
	join=$!
	left=300
	until [ -e "$dir/$1/.join-models" ] || [ $left = 0 ]; do
		left=$((left - 1))
		sleep 0.1
	done
}

join_stopped() {
	wait $join
	if grep -qF "orchd is stopping" "$dir/join"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAIL: the join has not stopped with its daemon"
		sed 's/^/    /' "$dir/join"
	fi
}

silence a
join_under_way c
try 0 "has taken over" c upgrade "$ORCHD"
join_stopped
join_under_way c
stop c
join_stopped
kill -CONT "$(cat "$dir/a.pid")"
start c
try 0 '"node": 3' c node join "$token" --node gamma --json
soon '"nodes_connected": 2' a status --json

# Every node tells the same, and removes.
for k in a b c; do
	try 0 "gamma                connected" $k node list
	try 0 "node        2 (beta)" $k node show beta
	try 0 '"name": "beta"' $k node show 2 --json
	try 1 "no node delta" $k node show delta
done
try 1 "is the authority" b node remove alpha
try 0 "no volume" b volume list
try 1 "run the command on node 1 (alpha" b backup "$dir/no"
try 1 "run fsck on the authority" b fsck models
try 1 "namespace models already" b init models

# An agent that is stopped, an authority that is stopped: both come back.
stop c
soon "gamma                unreachable" a node list
start c
soon "gamma                connected" a node list
stop a
soon "unreachable since" b status
try 1 "no connection to the authority, node 1 (alpha" b node list
start a
soon '"connected": true' b status --json
soon '"nodes_connected": 2' a status --json

# Somebody else has the port: the namespace is there all the same, and the
# nodes come when it is free.
stop a
mkfifo "$dir/taken"
python3 -I -c "
import socket, sys
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(('127.0.0.1', $port))
s.listen()
print('listening', flush=True)
sys.stdin.read()" <"$dir/taken" >"$dir/listens" &
taker=$!
exec 7>"$dir/taken"
until grep -q listening "$dir/listens"; do
	sleep 0.1
done
start a
soon "cannot listen at 127.0.0.1:$port: Address already in use" a status
try 0 "no volume" a volume list
exec 7>&-	# its input ends, and so does it
wait $taker
soon '"nodes_connected": 2' a status --json

# A new daemon in the place of each.
try 0 "has taken over" a upgrade "$ORCHD"
soon '"nodes_connected": 2' a status --json
soon '"connected": true' b status --json
try 0 "has taken over" b upgrade "$ORCHD"
soon '"connected": true' b status --json
logged b "process"

# Removed: refused at once and for good; its number is not used again.
try 1 "there is no node nobody" b node remove --list nobody
try 0 "" b node remove --list gamma
try 2 "--list only prints" b node remove --list --accept-loss gamma
try 0 "node 3 (gamma) is removed" b node remove gamma
try 0 "" a node remove --list 3
soon "was removed from the cluster" c status
try 1 "was removed from the cluster" c node list
try 0 "node        3 (gamma)" a node show 3
try 0 '"state": "removed"' a node show 3 --json
try 1 "was removed before" a node remove 3
stop c
start c
soon "was removed from the cluster" c status
logged a "refused 127.0.0.1"
token a node invite
# A join that fails leaves the agent as it is.
try 1 "beta already" c node join "$token" --node beta
try 0 "was removed from the cluster" c status
try 1 "was removed from the cluster" c node list
try 0 "node 4 (gamma)" c node join "$token" --node gamma
soon "gamma                connected" a node list
try 0 "clean" a fsck models

# At two thirds of a year certificates are renewed, after it they are not.
serial=$(on a node show beta --json | sed -n 's/.*"serial": "\(.*\)"/\1/p')
stop a
stop b
stop c
start a clock-days:250
start b clock-days:250
soon '"connected": true' b status --json
left=300
while on a node show beta --json | grep -q "$serial"; do
	left=$((left - 1))
	[ $left -gt 0 ] || break
	sleep 0.1
done
try 0 '"serial"' a node show beta --json
grep -q "$serial" "$dir/out" && { failed=$((failed + 1)); echo "FAIL: not renewed"; }
stop a
stop b
start a clock-days:400
start b clock-days:400
soon '"connected": true' b status --json
start c clock-days:400
soon "has expired" c status
logged a "its certificate has expired"
token a node invite
try 1 "gamma already" c node join "$token" --node gamma
try 0 "is removed" a node remove gamma
try 0 "node 5 (gamma)" c node join "$token" --node gamma
soon "gamma                connected" a node list

# A backup has the nodes, the restored store keeps the keys beside it.
# Who was removed after the backup stays so; tokens of then are void, numbers
# are not used again.
token a node invite
try 0 "" a backup "$dir/backup"
try 0 "is removed" a node remove gamma
stop a
mv "$dir/a/models" "$dir/models"
try 0 "Was one removed after the backup? Remove it again" a restore \
	"$dir/backup" --namespace models --store "$dir/a/models"
rm -rf "$dir/a/models"
mv "$dir/models" "$dir/a/models"
try 0 "" a restore "$dir/backup" --namespace models \
	--store "$dir/a/models"
grep -q "Remove it again" "$dir/out" && { failed=$((failed + 1)); echo "FAIL: it asks who was removed"; }
start a clock-days:400
soon '"nodes_connected": 1' a status --json
try 0 '"state": "removed"' a node show 5 --json
soon "was removed from the cluster" c status
try 1 "the invitation is not known here" c node join "$token" --node gamma
token a node invite
try 0 "node 1030 (gamma)" c node join "$token" --node gamma
soon '"nodes_connected": 2' a status --json
try 0 "clean" a fsck models

# An authority that comes up with a certificate of another time renews it
# before it listens: after years, and when a clock that was ahead is right again.
for days in 5000 0; do
	stop a
	stop c
	rm -rf "$dir/c/models"
	n=$(grep -c "listening for nodes" "$dir/a.log")
	start a clock-days:$days
	start c clock-days:$days
	left=300
	until [ "$(grep -c "listening for nodes" "$dir/a.log")" -gt "$n" ] ||
	    [ $left = 0 ]; do
		left=$((left - 1))
		sleep 0.1
	done
	token a node invite
	try 0 "agent of node 1" c node join "$token" --node at-$days
	soon "at-$days" a node list
done

# A copy of the CA's key and certificate is all that the authority needs.
stop a
rm "$dir/a/models/cluster/node.pem"
start a
soon "at-0                 connected" a node list
stop a
echo damaged >"$dir/a/models/cluster/node.pem"
start a
soon "at-0                 connected" a node list
try 0 "clean" a fsck models
stop a
mv "$dir/a/models/cluster/ca.key" "$dir"
start a
try 0 "ca.key: No such file" a status
try 1 "ca.key: No such file" a node list

# An agent that has lost its file is there all the same, and can join again.
stop a
mv "$dir/ca.key" "$dir/a/models/cluster"
start a
stop c
rm "$dir/c/models/cluster/agent"
start c
try 0 "cluster/agent: No such file" c status
try 1 "is an agent" c fsck models
token a node invite
try 0 "agent of node 1" c node join "$token" --node again

for k in a b c; do
	stop $k
done
sanitized
echo "$passed passed, $failed failed"
[ $failed = 0 ]
