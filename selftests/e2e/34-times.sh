#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 200
# Times that are set on a file that is being written: they hold until it is
# written again, through links, restarts of the daemon and empty caches, and
# whether the last notice arrived or not.
. "$(dirname "$0")/lib.sh"

cat >times.py <<'EOP'
import json, os, subprocess, sys
OLD = 1_000_000_000_123_456_789
MID = 1_200_000_000_000_000_001

def run(*command):
    subprocess.run(command, check=True)

def set_mtime(fd, ns):
    # only the modification time: atime stays as it is
    os.utime(fd, ns=(os.fstat(fd).st_atime_ns, ns))

def says(name, mtime):
    got = os.stat(name).st_mtime_ns
    assert got == mtime, (name, got, mtime)

def cold():
    run("sh", "-c", "sync; echo 3 >/proc/sys/vm/drop_caches")

def fresh(name):
    fd = os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644)
    os.write(fd, b"bytes")
    return fd

# seen at once, after another change of the record, after the last close
fd = fresh("a")
before = os.fstat(fd).st_ctime_ns
set_mtime(fd, OLD)
says("a", OLD)
assert os.fstat(fd).st_ctime_ns >= before
os.link("a", "b")
says("b", OLD)
os.fchmod(fd, 0o600)
says("a", OLD)
os.close(fd)
says("a", OLD)
cold()
says("b", OLD)

# a write counts again
fd = os.open("a", os.O_RDWR)
set_mtime(fd, MID)
os.write(fd, b"more")
assert os.fstat(fd).st_mtime_ns > MID
set_mtime(fd, MID)
os.close(fd)
cold()
says("a", MID)

# the daemon dies: nobody has told it of these
open_ones = []
for i in range(20):
    fd = fresh(f"k{i}")
    set_mtime(fd, OLD + i)
    if i % 2:
        open_ones.append(fd)
    else:
        os.close(fd)
run("orch-kill")
for i in range(20):
    says(f"k{i}", OLD + i)
for fd in open_ones:
    os.close(fd)
cold()
for i in range(20):
    says(f"k{i}", OLD + i)

# an mtime that the record got stays when nothing but the ctime moves
fd = fresh("c")
os.utime(fd, ns=(MID, OLD))
says("c", OLD)
assert os.fstat(fd).st_atime_ns == MID
before = os.fstat(fd)
while True:
    os.fchown(fd, before.st_uid, before.st_gid)
    if os.fstat(fd).st_ctime_ns > before.st_ctime_ns:
        break
says("c", OLD)
run("orch-kill")
says("c", OLD)
os.close(fd)
cold()
says("c", OLD)
assert os.stat("c").st_atime_ns == MID
assert os.stat("c").st_ctime_ns > before.st_ctime_ns

# back to the one that it had before it was written, as editors do
def written(name):
    fd = os.open(name, os.O_WRONLY)
    os.write(fd, b"changed")
    return fd

for how in ("settled", "open", "killed", "given"):
    name = f"back-{how}"
    os.close(fresh(name))
    if how == "given":
        os.utime(name, ns=(MID, OLD))
    cold()
    was = os.stat(name).st_mtime_ns
    there = was
    if how == "given":
        where = json.loads(subprocess.check_output(
            ["orchctl", "where", "--json", name]))
        there = os.stat(where["instances"][0]["backing"]).st_mtime_ns
        assert there != was
    fd = written(name)
    if how == "settled":
        os.close(fd)
        run("sync")
        fd = os.open(name, os.O_RDONLY)
    assert os.fstat(fd).st_mtime_ns > there
    set_mtime(fd, there)
    if how != "killed":
        os.chmod(name, 0o640)
    says(name, there)
    if how == "killed" or how == "given":
        run("orch-kill")
    says(name, there)
    os.close(fd)
    says(name, there)
    cold()
    says(name, there)

# an access time that a read has left is in the record once it was asked for
os.close(fresh("e"))
cold()
fd = os.open("e", os.O_RDWR)
os.read(fd, 5)
atime = os.fstat(fd).st_atime_ns
os.utime(fd, ns=(atime, OLD))
run("orch-kill")
os.close(fd)
cold()
assert os.stat("e").st_atime_ns == atime
says("e", OLD)

# what may not be done is refused as ever
os.chmod("c", 0o666)
if os.fork() == 0:
    os.setgid(1000)
    os.setuid(1000)
    fd = os.open("c", os.O_RDWR)
    try:
        set_mtime(fd, MID)
    except PermissionError:
        os._exit(0)
    os._exit(1)
assert os.wait()[1] == 0
says("c", OLD)
EOP
chmod 777 .
python3 -I times.py
sync -f .
fsck_clean "$ORCH_NAMESPACE"

note "after the machine lost its memory of it"
python3 -I -c '
import os
fd = os.open("d", os.O_CREAT | os.O_RDWR)
os.write(fd, b"x")
os.utime(fd, ns=(os.fstat(fd).st_atime_ns, 1_000_000_000_000_000_007))
os.close(fd)'
orch-stop && orch-start
is "$(stat -c %.Y d)" "1000000000.000000007" "mtime"
fsck_clean "$ORCH_NAMESPACE"
