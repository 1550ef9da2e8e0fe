#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 400
# Contents move to another volume and back, under those who read them.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/move.lib"

slow_volume 500

note "a file, with descriptors that were opened before"
head -c 5000001 /dev/urandom >file
truncate -s 9000000 file
sync
sum=$(sha256sum <file)
mode=$(stat -c '%i %s %a %u %Y %Z' file)
old=$(backing file)
cat >readers.py <<'EOP'
import mmap, os, subprocess, sys
name, volume = sys.argv[1], sys.argv[2]
want = open(name, "rb").read()
plain = os.open(name, os.O_RDONLY)
direct = os.open(name, os.O_RDONLY | os.O_DIRECT)
idle = os.open(name, os.O_RDONLY)
buf = mmap.mmap(-1, 1 << 20)
def check():
    assert os.pread(plain, len(want) + 1, 0) == want
    got = b""
    while True:
        n = os.preadv(direct, [buf], len(got))
        got += buf[:n]
        if n < len(buf):
            break
    assert got == want
check()
subprocess.run(["orchctl", "move", name, volume], check=True)
check()
assert os.pread(idle, len(want) + 1, 0) == want
assert os.lseek(plain, 0, os.SEEK_HOLE) < len(want) - 3000000
EOP
python3 -I readers.py file slow
is "$(places file)" "slow valid" "where the file is"
is "$(sha256sum <file)" "$sum" "content"
is "$(stat -c '%i %s %a %u %Y %Z' file)" "$mode" "what stat says"
orchctl sync
[ ! -e "$old" ] || fail "the old backing file is still there"
drop_caches
is "$(sha256sum <file)" "$sum" "content from the drive"
echo more >>file
is "$(places file)" "slow valid" "where it was written"
python3 -I readers.py file "$fast"
is "$(tail -c 5 file)" more "what was appended"
fsck_clean

note "a tree moves while it is read and changed"
mkdir tree
python3 -I - "$SEED" <<'EOP'
import os, random, sys
r = random.Random(int(sys.argv[1]))
for d in range(8):
    os.makedirs(f"tree/{d}/sub")
    for f in range(25):
        with open(f"tree/{d}/{'sub/' if f % 2 else ''}{f}", "wb") as o:
            o.write(r.randbytes(r.choice((0, 1, 100, 5000, 70000, 300000))))
EOP
(cd tree && find . -type f -print0 | sort -z | xargs -0 sha256sum) >sums
for to in slow "$fast"; do
	rm -f stop
	(
		while [ ! -e stop ]; do
			(cd tree && sha256sum --quiet -c ../sums) || exit 1
			echo pass >>passes
		done
	) &
	reader=$!
	(
		i=0
		while [ ! -e stop ]; do
			i=$((i + 1))
			mkdir "tree/0/new$i"
			echo "$i" >"tree/0/new$i/f"
			mv "tree/0/new$i" tree/1/
			rm -r "tree/1/new$i"
		done
	) &
	changer=$!
	status=0
	orchctl move tree "$to" || status=$?
	touch stop
	wait $reader || fail "what was read during the move is wrong"
	wait $changer || fail "the tree could not be changed during the move"
	[ $status = 0 ] || orchctl move tree "$to"
	while read -r _ f; do
		is "$(places "tree/$f")" "$to valid" "where tree/$f is"
	done < <(sed -n '1~25p' sums)
done
note "$(wc -l <passes) passes of the checksum"
drop_caches
(cd tree && sha256sum --quiet -c ../sums)
orchctl sync
fsck_clean
