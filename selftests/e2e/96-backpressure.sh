#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# debug: no: its own memory does not fit
# vm: --nodes 2 --cluster --cpus 2 --mem 512M --timeout 900
# timeout: 600
# More than there is room for: a hundred processes stream from one data server,
# and a machine of little memory writes twice its RAM to another node while the
# link is lost and comes back. Everything arrives, and memory stays bounded.
. "$(dirname "$0")/lib.sh"

d2=$(node_dir 2)
readers=100
size=$((8 << 20))

# What the kernel has of its own: slabs, stacks, memory of sockets.
kernel_memory() {
	awk '/^(SUnreclaim|KernelStack|VmallocUsed):/ { sum += $2 }
		END { print sum }' /proc/meminfo
	awk '$1 == "TCP:" { for (i = 2; i < NF; i++)
		if ($i == "mem") print $(i + 1) * 4 }' /proc/net/sockstat
}

kernel_kib() {
	kernel_memory | awk '{ sum += $1 } END { print sum }'
}

# What was sent isn't answered for: the link is down.
unanswered() {
	on-node 2 ss -Htin dst 10.77.0.1 dport = :7420 | grep -q backoff:
}

# Samples until /tmp/measuring goes.
measure() {
	while [ -e /tmp/measuring ]; do
		kernel_kib >>/tmp/measured
		sleep 0.2
	done
}

measure_begin() {
	kernel_kib >/tmp/measured
	touch /tmp/measuring
	measure &
	measurer=$!
}

# measure_end WHAT: it took at most 96 MiB more than at its beginning.
measure_end() {
	local before most
	rm /tmp/measuring
	wait $measurer
	before=$(head -n 1 /tmp/measured)
	most=$(sort -n /tmp/measured | tail -n 1)
	note "the kernel's memory: $before KiB, at most $most KiB meanwhile"
	[ $((most - before)) -lt $((96 << 10)) ] ||
		fail "$1: $((most - before)) KiB more than before"
}

head -c "$size" /dev/urandom >big
sync
sum=$(sha256sum <big)

note "$readers processes stream from one data server"
measure_begin
mkdir /tmp/sums
for ((i = 0; i < readers; i++)); do
	on-node 2 dd if="$d2/big" iflag=direct bs=256K status=none |
		sha256sum >/tmp/sums/$i &
	pids[i]=$!
done
for ((i = 0; i < readers; i++)); do
	wait "${pids[i]}"
done
measure_end "$readers readers"
for ((i = 0; i < readers; i++)); do
	is "$(cat /tmp/sums/$i)" "$sum" "what reader $i got"
done

ram=$(awk '/^MemTotal/ { print $2 }' /proc/meminfo)
mib=$((2 * ram >> 10))
note "$mib MiB are written to another node by one of $((ram >> 10)) MiB"
cat >/tmp/write.py <<'EOP'
import hashlib, os, random, sys

some = random.Random(int(sys.argv[3])).randbytes(1 << 20)
sum = hashlib.sha256()
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
for i in range(int(sys.argv[2])):
    data = i.to_bytes(8, 'little') + some[8:]
    sum.update(data)
    while data:
        data = data[os.write(fd, data):]
os.fsync(fd)
print(sum.hexdigest(), ' -')
EOP
measure_begin
on-node 2 python3 /tmp/write.py "$d2/large" "$mib" "$SEED" >/tmp/written &
writer=$!
wait_until 60 "the file" test -e large
wait_until 300 "a third to be there" at_least $((mib * 350000)) \
	stat -c %s large
! ended $writer || fail "it has ended before the link is cut"
ip link set veth2 down
wait_until 60 "it to stand still" unanswered
ip link set veth2 up
wait $writer
measure_end "a writer of twice the memory"
is "$(stat -c %s large)" $((mib << 20)) "size"
is "$(sha256sum <large)" "$(cat /tmp/written)" "what was written"
rm large big
sync
fsck_clean
