#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: --nodes 3 --cpus 2 --timeout 1200
# timeout: 600
# One namespace on three nodes: they join by tokens, lose each other and come
# back, are removed; strangers are refused. The mount of node 1 doesn't mind.
. "$(dirname "$0")/lib.sh"

port=7420
on() {
	on-node "$@"
}

# node_says K MEMBER: of its part in the cluster, as status tells
node_says() {
	on "$1" orchctl status --json | sed '1,/"cluster"/d' | json_first "$2"
}

node_says_is() {
	[ "$(node_says "$1" "$2" 2>/dev/null)" = "$3" ]
}

log_of() {
	echo "/var/log/orchd${1#1}.log"
}

logged() {
	grep -qF -- "$2" "$(log_of "$1")"
}

# to_port K BYTES: what node K's machine sends to the authority's port
to_port() {
	on "$1" python3 -I -c "
import socket
s = socket.create_connection(('10.77.0.1', $port), 30)
s.sendall($2)
s.settimeout(30)
while s.recv(4096):
	pass"
}

# tls K VERSION: a handshake without a certificate
tls() {
	on "$1" python3 -I -c "
import socket, ssl
c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
c.check_hostname = False
c.verify_mode = ssl.CERT_NONE
c.maximum_version = ssl.TLSVersion.$2
c.set_alpn_protocols(['orchfs/1'])
s = c.wrap_socket(socket.create_connection(('10.77.0.1', $port), 30))
s.settimeout(30)
s.sendall(b'\\x04\\x00\\x00\\x00\\x08\\x01\\x2a\\x00')
while s.recv(4096):
	pass"
}

note "join"
refused "is no cluster's" orchctl node invite
orchctl cluster init "$ORCH_NAMESPACE" --listen 10.77.0.1 --node a
token=$(orchctl node invite 2>/dev/null)
on 2 orchctl node join "$token" --node b --listen 10.77.0.2
refused "was used before" on 3 orchctl node join "$token" --node c
token=$(orchctl node invite 2>/dev/null)
refused "b already" on 3 orchctl node join "$token" --node b
on 3 orchctl node join "$token" --node c
for k in 2 3; do
	wait_until 60 "node $k" node_says_is $k connected true
done
wait_until 60 "all nodes" node_says_is 1 nodes_connected 2
list=$(orchctl node list)
[[ $list == *" b "*"connected"*"10.77.0.2"* ]] || fail "no b in $list"
for k in 2 3; do
	is "$(on $k orchctl node list)" "$list" "list on node $k"
done
refused "run the command on node 1 (a, at 10.77.0.1:$port)" \
	on 2 orchctl backup /tmp/backup
is "$(on 2 orchctl volume list)" "$(orchctl volume list)" "volumes"
echo kept >file

note "strangers"
to_port 3 "b'GET / HTTP/1.0\\r\\n\\r\\n'"
to_port 3 "bytes(300)"
tls 3 TLSv1_2 2>/dev/null && fail "TLS 1.2 was spoken"
tls 3 TLSv1_3 2>/dev/null || :
wait_until 60 "a line for HTTP" logged 1 "refused 10.77.0.3"
logged 1 "it speaks HTTP" || fail "no line for HTTP"
wait_until 60 "a line for TLS 1.2" logged 1 "does not speak TLS 1.3"
wait_until 60 "a line for no hello" logged 1 "no hello"
is "$(node_says 1 nodes_connected)" 2 "nodes that are connected"

note "a node is cut off, and comes back"
ip link set veth2 down
wait_until 120 "silence of node 2" node_says_is 1 nodes_connected 1
wait_until 120 "silence at node 2" node_says_is 2 connected false
refused "no connection to the authority, node 1 (a, at" \
	on 2 orchctl node list
is "$(cat file)" kept "a file meanwhile"
ip link set veth2 up
wait_until 120 "node 2 again" node_says_is 2 connected true

note "daemons killed and replaced"
orch-kill 2
wait_until 120 "node 2's new daemon" node_says_is 2 connected true
orch-kill
for k in 2 3; do
	wait_until 120 "node $k" node_says_is $k connected true
done
orchctl upgrade >/dev/null
wait_until 120 "all nodes" node_says_is 1 nodes_connected 2
on 3 orchctl upgrade >/dev/null
wait_until 120 "node 3's new daemon" node_says_is 3 connected true
is "$(cat file)" kept "a file after an upgrade"

note "removed"
on 2 orchctl node remove c
wait_until 60 "node 3 to know it" \
	eval "on 3 orchctl status | grep -q 'was removed from the cluster'"
is "$(node_says 1 nodes_connected)" 1 "nodes that are connected"
token=$(on 2 orchctl node invite 2>/dev/null)
on 3 orchctl node join "$token" --node c
wait_until 60 "node 3 again" node_says_is 3 connected true
is "$(node_says 3 node)" 4 "number of the node that came back"
is "$(cat file)" kept "a file at the end"
fsck_clean "$ORCH_NAMESPACE"
