#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: --nodes 3 --cpus 2 --timeout 900
# timeout: 400
# Connections for data, from the handshake to the kernel's first PDU, with a
# program in the place of another node's daemon and kernel: who gets one, and
# what becomes of it when nodes are removed and daemons die, stop or upgrade.
. "$(dirname "$0")/lib.sh"

on() {
	on-node "$@"
}

dir_of() {
	echo "/var/lib/orchd$1/$ORCH_NAMESPACE/cluster"
}

log_of() {
	echo "/var/log/orchd${1#1}.log"
}

# data MEMBER: of the first line of JSON with it in status' part about data
data() {
	orchctl status --json | sed '1,/"data"/d' | json_first "$1"
}

volumes_are() {
	[ "$(data volumes 2>/dev/null)" = "$1" ]
}

nobody_served() {
	orchctl node show "$1" >/tmp/show && ! grep -q "from it" /tmp/show
}

cat >/tmp/peer.py <<'EOP'
import socket, ssl, struct, sys

def crc(data):
    c = 0xffffffff
    for b in data:
        c ^= b
        for _ in range(8):
            c = c >> 1 ^ (0x82f63b78 if c & 1 else 0)
    return c ^ 0xffffffff

def pdu(opcode, tag, data=b''):
    h = struct.pack('<IBBHIIQQIIQIQ', 0x4843524f, 1, opcode, 0, tag, 0, 0, 0,
                    0, len(data), 0, 0, 0)
    return h + struct.pack('<I', crc(h)) + data

def take(s, n):
    buf = b''
    while len(buf) < n:
        part = s.recv(n - len(buf))
        if not part:
            raise EOFError
        buf += part
    return buf

def ask(s, opcode, tag, data=b''):
    s.sendall(pdu(opcode, tag, data))
    h = struct.unpack('<IBBHIIQQIIQIQI', take(s, 64))
    take(s, h[9])
    assert (h[2], h[3] & 1, h[4]) == (opcode, 1, tag), h
    return h[5]

def say(*words):
    print(*words, flush=True)

dir = sys.argv[1]
c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
c.check_hostname = False
c.load_verify_locations(dir + '/ca.crt')
if len(sys.argv) < 3:
    c.load_cert_chain(dir + '/node.pem')
c.set_alpn_protocols(['orchfs-data/1'])
try:
    s = c.wrap_socket(socket.create_connection(('10.77.0.1', 7420), 60))
    answer = s.recv(4096)
    if answer:
        say('refused', answer)
        sys.exit()
    s = s.unwrap()
    say('hello', ask(s, 1, 1, struct.pack('<IIIII12x', 1, 1, 1 << 20, 16, 16)))
    tag = 1
    for line in sys.stdin:
        tag += 1
        if line == 'wait\n':
            s.settimeout(60)
            s.recv(1)
            raise EOFError
        say('ping', ask(s, 9, tag))
except (EOFError, OSError) as e:
    say('gone', repr(e))
EOP

# peer_begin K: becomes the coprocess; hear WORDS: what it says next
peer_begin() {
	coproc PEER { on "$1" python3 -I /tmp/peer.py "$(dir_of "$1")"; }
	# bash closes its own when the coprocess has ended
	exec {peer_in}<&"${PEER[0]}" {peer_out}>&"${PEER[1]}"
	exec {PEER[1]}>&-
	peer_pid=$PEER_PID
}

hear() {
	local line
	read -r -t 60 line <&"$peer_in" || fail "the peer says nothing"
	[[ $line == "$1"* ]] || fail "the peer says '$line', want '$1'"
}

ping() {
	echo ping >&"$peer_out"
	hear "ping 0"
}

peer_end() {
	exec {peer_out}>&- {peer_in}<&-
	wait "$peer_pid" || fail "the peer's program: $?"
}

note "volumes are served once the namespace is a cluster's"
orchctl cluster init "$ORCH_NAMESPACE" --listen 10.77.0.1 --node a
wait_until 30 "the volume to be served" volumes_are 1
for k in 2 3; do
	token=$(orchctl node invite 2>/dev/null)
	on $k orchctl node join "$token" --node n$k
done

note "a connection"
peer_begin 2
hear "hello 0"
ping
is "$(data node)" 2 "node that is served"
is "$(data requests)" 2 "requests of it"
orchctl node show n2 | grep -q "from it: 2 requests, 0 refused" ||
	fail "node show: $(orchctl node show n2)"
nobody_served 3 || fail "node 3 is served"

note "strangers"
out=$(on 3 python3 -I /tmp/peer.py "$(dir_of 3)" stranger </dev/null)
[[ $out == *"no certificate"* ]] || fail "a stranger got '$out'"
ping

note "daemons killed, upgraded"
begin=$SECONDS
orch-kill
if [ $((SECONDS - begin)) -gt 5 ]; then
	# the lease of the one that was killed may have run out
	note "the next one took $((SECONDS - begin)) s"
	peer_end
	peer_begin 2
	hear "hello 0"
fi
ping
orchctl upgrade >/dev/null
ping
is "$(data volumes)" 1 "volumes that are served after an upgrade"
is "$(data node)" 2 "node that is served after an upgrade"

note "stopped: at once, not when the lease has run out"
begin=$SECONDS
echo wait >&"$peer_out"
orchctl stop
hear gone
[ $((SECONDS - begin)) -lt 8 ] || fail "it took $((SECONDS - begin)) s"
peer_end
orch-start
wait_until 60 "the volume to be served again" volumes_are 1

note "removed"
peer_begin 2
hear "hello 0"
echo wait >&"$peer_out"
orchctl node remove n2
hear gone
peer_end
out=$(on 2 python3 -I /tmp/peer.py "$(dir_of 2)" </dev/null)
[[ $out == refused*"was removed from the cluster"* ]] ||
	fail "a node that was removed got '$out'"
wait_until 30 "node 2 to be gone" nobody_served 2

note "a volume goes, and comes, with another key"
peer_begin 3
hear "hello 0"
mkdir "$ORCH_VOLUME_MNT/v2"
orchctl volume add v2 "$ORCH_VOLUME_MNT/v2"
wait_until 30 "both volumes to be served" volumes_are 2
orchctl volume remove v2
is "$(data volumes)" 1 "volumes that are served"
ping
peer_end
grep -q "tried again" "$(log_of 1)" && fail "$(grep "tried again" "$(log_of 1)")"
wait_until 30 "the end of its connection" nobody_served 3
