#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# debug: leaks
# timeout: 300
# What is mapped stays with its mapping while its file moves.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/move.lib"

slow_volume

head -c 3000000 /dev/urandom >file

note "what is mapped follows what is written"
cat >mapped.py <<'EOP'
import mmap, os, subprocess, sys
name, volume, close_first = sys.argv[1], sys.argv[2], sys.argv[3] == "closed"
size = 1 << 20
with open(name, "wb") as f:
    f.write(b"a" * size)
fd = os.open(name, os.O_RDONLY)
m = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ)
assert m[:4] == b"aaaa"
if close_first:
    os.close(fd)
r = subprocess.run(["orchctl", "move", name, volume], capture_output=True,
                   text=True)
assert r.returncode == 0, r
assert "in use where they were" in r.stdout, r
assert m[:4] == b"aaaa" and open(name, "rb").read(4) == b"aaaa"
with open(name, "r+b") as f:
    f.write(b"bbbb")
    f.flush()
    assert m[:4] == b"bbbb"
assert m[size - 4:] == b"aaaa"
assert open(name, "rb").read(4) == b"bbbb"
EOP
for how in open closed; do
	python3 -I mapped.py mapped.$how slow $how
	wait_until 30 "the job of mapped.$how to end" eval \
		'! orchctl jobs list | grep -q waiting'
	is "$(places mapped.$how)" "$fast valid" "where mapped.$how is"
	is "$(head -c 5 mapped.$how)" bbbba "content"
done

note "the time of a store after the close comes along"
mkdir stored
cat >/tmp/stored.py <<'EOP'
import ctypes, mmap, os, time
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int,
                      ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
fd = os.open("stored/f", os.O_RDWR | os.O_CREAT)
os.ftruncate(fd, 8192)
a = libc.mmap(None, 8192, mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_SHARED,
              fd, 0)
assert a and a != 2 ** 64 - 1
os.close(fd)
os.stat("stored/f")
begin = time.clock_gettime(time.CLOCK_REALTIME)
while time.clock_gettime(5) <= begin:  # the coarse clock
    pass
ctypes.memset(a, 1, 1)
assert not libc.munmap(a, 8192)
print(begin)
EOP
begin=$(python3 -I /tmp/stored.py)
orchctl move stored slow >/dev/null
python3 -I -c 'import os, sys
got = os.stat("stored/f").st_mtime
assert got >= float(sys.argv[1]), (got, sys.argv)' "$begin"

note "what is mapped goes when it is unmapped"
cat >hold.py <<'EOP'
import mmap, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
m = mmap.mmap(fd, 0, mmap.MAP_SHARED, mmap.PROT_READ)
want = m[:]
print("mapped", flush=True)
sys.stdin.read()
assert m[:] == want
EOP
coproc hold { exec python3 -I hold.py file; }
read -r _ <&"${hold[0]}"
out=$(orchctl move file slow)
n=$(sed -n 's/^job \([0-9]*\) .*/\1/p' <<<"$out" | head -n 1)
is "$(places file)" "$fast retiring, slow valid" "while it is mapped"
is "$(job "$n" state)" waiting "state of the job"
is "$(job "$n" waiting)" 1 "files that wait"
fsck_clean
orch-kill --no-restart
(cd / && unset OLDPWD && exec orch-start)
wait_until 30 "the job to wait again" job_is "$n" state waiting
is "$(places file)" "$fast retiring, slow valid" "after a restart"

note "a start without the volume that they go to"
head -c 3000000 /dev/urandom >other
sum=$(sha256sum <other)
mkfifo /tmp/other.in
python3 -I hold.py other </tmp/other.in >/tmp/other.out &
other_pid=$!
exec 7>/tmp/other.in
wait_until 30 "other to be mapped" grep -q mapped /tmp/other.out
out=$(orchctl move other slow)
is "$(places other)" "$fast retiring, slow valid" "while it is mapped"
orch-kill --no-restart
exec 7>&-
wait "$other_pid"
rm /tmp/other.in /tmp/other.out
# so that the kernel has a layout of the one and none of the other; a sync
# would wait for the daemon
echo 3 >/proc/sys/vm/drop_caches
wait_until 30 "/mnt/slow to be unmounted" umount /mnt/slow
(cd / && unset OLDPWD && exec orch-start)
for name in other file; do
	soon 30 cat $name >/dev/null
	soon 30 touch $name.new
	is "$(places $name)" "$fast retiring, slow offline" "where $name is"
done
is "$(sha256sum <other)" "$sum" "content of other"
wait_until 30 "the job to tell what it waits for" eval \
	'orchctl jobs show "$n" | grep -q "waits for its volume: .*slow"'
mount /dev/slow /mnt/slow
wait_until 60 "other to be moved" eval '[ "$(places other)" = "slow valid" ]'
is "$(sha256sum <other)" "$sum" "content of other"
wait_until 30 "the job to wait for the mapping" eval \
	'orchctl jobs show "$n" | grep -q "but mapped"'
is "$(places file)" "$fast retiring, slow valid" "with the volume"
eval "exec ${hold[1]}>&-"
wait "$hold_PID"
orchctl jobs watch "$n"
is "$(places file)" "slow valid" "when it is not mapped any more"

note "a cancelled one stays where it is mapped"
coproc hold { exec python3 -I hold.py file; }
read -r _ <&"${hold[0]}"
out=$(orchctl move file "$fast")
n=$(sed -n 's/^job \([0-9]*\) .*/\1/p' <<<"$out" | head -n 1)
orchctl jobs cancel "$n"
is "$(job "$n" state)" cancelled "state of the job"
is "$(places file)" "slow valid" "where it is"
eval "exec ${hold[1]}>&-"
wait "$hold_PID"
