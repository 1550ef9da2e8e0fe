#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# long: emulated: connections end while other processors use them
# debug: smp: connections end while other processors use them
# vm: --nodes 2 --cluster --cpus 2 --timeout 900
# timeout: 600
# Connections between kernels are cut while a node writes and reads files of
# another, and checks each byte: what was under way goes on over another, and
# nobody notices.
. "$(dirname "$0")/lib.sh"

d2=$(node_dir 2)
kills=$(long_or 200 10)

cat >/tmp/load.py <<'EOP'
import hashlib, os, random, sys

dir, seed, nr = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng = random.Random(seed * 100 + nr)
size = 2 << 20
model = bytearray(size)
ops = os.open('/tmp/ops.%d' % nr, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
fd = os.open('%s/f%d' % (dir, nr), os.O_RDWR)
while not os.path.exists('/tmp/stop'):
    at = rng.randrange(size)
    n = min(size - at, rng.choice([1, 5000, 70000, 1 << 20]))
    what = rng.randrange(10)
    if what == 0:
        os.fsync(fd)
    elif what < 5:
        data = rng.randbytes(n)
        assert os.pwrite(fd, data, at) == n, 'short write'
        model[at:at + n] = data
    else:
        got = os.pread(fd, n, at)
        assert got == model[at:at + n], 'at %d of file %d' % (at, nr)
    os.write(ops, b'.')
os.fsync(fd)
print(hashlib.sha256(model).hexdigest())
EOP

done_ops() {
	cat /tmp/ops.* | wc -c
}

# more_than N: of the operations are done
more_than() {
	[ "$(done_ops)" -gt "$1" ]
}

# Node 2's ends of the connections that its kernel has: no program has them.
data_ports() {
	on-node 2 ss -Htnp state established dst 10.77.0.1 dport = :7420 |
		awk '!/users:/ { sub(/.*:/, "", $3); print $3 }'
}

connected() {
	mapfile -t ports < <(data_ports)
	[ ${#ports[@]} -gt 0 ]
}

note "seed $SEED"
modprobe -q tcp_diag || :
rm -f /tmp/ops.* /tmp/stop
for i in 1 2 3 4; do
	truncate -s 2M "f$i"
	: >"/tmp/ops.$i"
	python3 -I /tmp/load.py "$d2" "$SEED" $i >"/tmp/sum.$i" 2>"/tmp/err.$i" &
	pids[i]=$!
done

for ((kill = 0; kill < kills; kill++)); do
	for i in 1 2 3 4; do
		[ ! -s "/tmp/err.$i" ] || fail "file $i: $(cat /tmp/err.$i)"
	done
	wait_until 60 "operations after $kill cuts" \
		more_than "$(($(done_ops) + 10))"
	wait_until 60 "a connection after $kill cuts" connected
	port=${ports[RANDOM % ${#ports[@]}]}
	on-node 2 ss -K -tn dst 10.77.0.1 sport = ":$port" >/dev/null
	! data_ports | grep -qx "$port" || fail "connection $port lives"
done
touch /tmp/stop

for i in 1 2 3 4; do
	wait "${pids[i]}" || fail "file $i: $(cat /tmp/err.$i)"
	is "$(sha256sum <"f$i")" "$(cat /tmp/sum.$i)  -" "file $i at its home"
done
note "$(done_ops) operations, $kills connections cut"
