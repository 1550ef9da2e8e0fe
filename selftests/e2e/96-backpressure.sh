#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: --nodes 2 --cluster --cpus 2 --mem 512M --timeout 900
# timeout: 600
# More than there is room for: a hundred processes stream from one data server,
# and a machine of little memory writes twice its RAM to another node while the
# link is lost and comes back. Everything arrives, and memory stays bounded.
. "$(dirname "$0")/lib.sh"

d2=$(node_dir 2)
readers=100
size=$((8 << 20))

mem_available() {
	awk '/^MemAvailable/ { print $2 }' /proc/meminfo
}

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

head -c "$size" /dev/urandom >big
sync
sum=$(sha256sum <big)

note "$readers processes stream from one data server"
before=$(kernel_kib)
mkdir /tmp/sums
for ((i = 0; i < readers; i++)); do
	on-node 2 dd if="$d2/big" iflag=direct bs=256K status=none |
		sha256sum >/tmp/sums/$i &
	pids[i]=$!
done
most=$before
for ((i = 0; i < readers; i++)); do
	now=$(kernel_kib)
	[ "$now" -le "$most" ] || most=$now
	wait "${pids[i]}"
done
for ((i = 0; i < readers; i++)); do
	is "$(cat /tmp/sums/$i)" "$sum" "what reader $i got"
done
note "the kernel's memory: $before KiB, at most $most KiB meanwhile"
[ $((most - before)) -lt $((96 << 10)) ] ||
	fail "$((most - before)) KiB more than before"

ram=$(awk '/^MemTotal/ { print $2 }' /proc/meminfo)
mib=$((2 * ram >> 10))
note "$mib MiB are written to another node by one of $((ram >> 10)) MiB"
cat >/tmp/write.py <<'EOP'
import hashlib, os, random, sys

rng = random.Random(int(sys.argv[3]))
sum = hashlib.sha256()
fd = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
for i in range(int(sys.argv[2])):
    data = rng.randbytes(1 << 20)
    sum.update(data)
    while data:
        data = data[os.write(fd, data):]
os.fsync(fd)
print(sum.hexdigest(), ' -')
EOP
on-node 2 python3 /tmp/write.py "$d2/large" "$mib" "$SEED" >/tmp/written &
writer=$!
wait_until 60 "the file" test -e large
wait_until 200 "a third to be there" at_least $((mib * 350000)) \
	stat -c %s large
ip link set veth2 down
wait_until 60 "it to stand still" unanswered
ip link set veth2 up
wait $writer
is "$(stat -c %s large)" $((mib << 20)) "size"
is "$(sha256sum <large)" "$(cat /tmp/written)" "what was written"
note "$(($(mem_available) >> 10)) MiB are available"
rm large big
sync
fsck_clean
