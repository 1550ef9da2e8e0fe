#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: --nodes 2 --cluster --cpus 2 --timeout 900
# timeout: 400
# A read is atomic towards writes: on two nodes, of a file that is written at
# its home and by the other node, up to 1 MiB show one write in whole.
. "$(dirname "$0")/lib.sh"

d2=$(node_dir 2)
rounds=$(long_or 5000 300)

cat >/tmp/atomic.py <<'EOP'
import os, random, sys

what, path, seed, rounds = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
size = 1 << 20
rng = random.Random(seed)
if what == 'write':
    fd = os.open(path, os.O_WRONLY)
    while not os.path.exists('/tmp/atomic.stop'):
        assert os.pwrite(fd, bytes([rng.randrange(256)]) * size, 0) == size
else:
    fd, seen = os.open(path, os.O_RDONLY), set()
    for i in range(rounds):
        got = os.pread(fd, size, 0)
        assert len(got) == size, 'only %d bytes' % len(got)
        first = got[:1]
        assert got.count(first) == size, 'read %d is torn at %d' % (
            i, size - len(got.lstrip(first)))
        seen.add(first)
    assert len(seen) > 1, 'nothing was written'
EOP

# reads WRITER'S DIRECTORY READER'S DIRECTORY
reads() {
	local writer ok=0
	rm -f /tmp/atomic.stop
	python3 -I /tmp/atomic.py write "$1/f" "$SEED" 0 2>/tmp/atomic.err &
	writer=$!
	python3 -I /tmp/atomic.py read "$2/f" "$SEED" "$rounds" || ok=1
	touch /tmp/atomic.stop
	wait $writer || fail "the writer: $(cat /tmp/atomic.err)"
	[ $ok = 0 ] || fail "written in $1, read in $2"
}

note "seed $SEED"
head -c 1048576 /dev/zero >f
note "written at home"
reads "$PWD" "$d2"
note "written by the other node"
reads "$d2" "$PWD"
note "both there"
reads "$d2" "$d2"
