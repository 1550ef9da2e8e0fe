#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# long: uml
# vm: --nodes 3 --cluster --cpus 2 --timeout 1200
# timeout: 900
# Locks at random on three nodes: processes of two threads lock bytes side by
# side and whole files, are interrupted and killed, and so are daemons; who has
# a lock has it alone, and in the end nobody has any.
. "$(dirname "$0")/lib.sh"

cat >/tmp/lockers.py <<'EOP'
# lockers.py SECONDS SEED FOLDER...: one process a folder, and the next when it
# was killed. Prints how many locks were had.
import errno, fcntl, mmap, os, random, signal, struct, sys, threading, time

SLOTS = 8
OFD = 36 - fcntl.F_GETLK
KINDS = ('posix', 'ofd', 'flock')
names = ['bytes'] + ['whole%d' % i for i in range(SLOTS)]
seconds, seed, folders = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
end = time.monotonic() + seconds
# what the last one with a lock for writing wrote; how often; what went wrong
shared = mmap.mmap(-1, 8 * (len(KINDS) * SLOTS + 2))
DONE, WRONG = len(KINDS) * SLOTS, len(KINDS) * SLOTS + 1

def get(i):
    return struct.unpack_from('q', shared, 8 * i)[0]

def put(i, v):
    struct.pack_into('q', shared, 8 * i, v)

class Locker(threading.Thread):
    def __init__(self, folder, n, record):
        super().__init__()
        self.n, self.record = n, record
        self.random = random.Random(seed * 1000 + os.getpid() * 2 + n)
        self.files = [os.open(folder + '/' + name, os.O_RDWR)
                      for name in names]

    def lock(self, kind, slot, what, wait):
        if kind == 'flock':
            op = {'w': fcntl.LOCK_EX, 'r': fcntl.LOCK_SH, 'u': fcntl.LOCK_UN}
            fcntl.flock(self.files[1 + slot],
                        op[what] | (0 if wait else fcntl.LOCK_NB))
            return
        types = {'r': fcntl.F_RDLCK, 'w': fcntl.F_WRLCK, 'u': fcntl.F_UNLCK}
        cmd = fcntl.F_SETLKW if wait else fcntl.F_SETLK
        fd = self.record if kind == 'posix' else self.files[0]
        fcntl.fcntl(fd, cmd + (OFD if kind == 'ofd' else 0),
                    struct.pack('hhqqi4x', types[what], 0,
                                slot + (100 if kind == 'ofd' else 0), 1, 0))

    def once(self):
        r = self.random
        kind = r.choice(KINDS)
        # threads of a process don't exclude each other: one has each second
        slot = r.randrange(SLOTS)
        if kind == 'posix':
            slot = slot & ~1 | self.n
        at = KINDS.index(kind) * SLOTS + slot
        what, mark = r.choice('rww'), os.getpid() * 2 + self.n + 1
        try:
            self.lock(kind, slot, what, r.random() < 0.7)
        except OSError as e:
            if e.errno not in (errno.EAGAIN, errno.EDEADLK):
                raise
            return
        if what == 'w':
            put(at, mark)
        else:
            mark = get(at)
        time.sleep(r.choice((0, 0, 0.001, 0.005)))
        if get(at) != mark:
            put(WRONG, 1 + at)
            print('not alone:', kind, slot, what, os.getpid(), flush=True)
        put(DONE, get(DONE) + 1)
        self.lock(kind, slot, 'u', False)

    def run(self):
        try:
            while time.monotonic() < end:
                self.once()
        except BaseException as e:
            put(WRONG, -1)
            print('failed:', repr(e), flush=True)

def begin(folder):
    pid = os.fork()
    if pid:
        return pid
    record = os.open(folder + '/bytes', os.O_RDWR)
    other = Locker(folder, 1, record)
    other.start()
    Locker(folder, 0, record).run()
    other.join()
    os._exit(0)

# before there is a process that could be interrupted
signal.signal(signal.SIGUSR1, lambda *a: None)
pids = {begin(f): f for f in folders}
rand = random.Random(seed)
while time.monotonic() < end - 1:
    time.sleep(rand.random() / 5)
    pid = rand.choice(list(pids))
    if rand.random() < 0.8:
        os.kill(pid, signal.SIGUSR1)
        continue
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    folder = pids.pop(pid)
    pids[begin(folder)] = folder
ends = [os.waitpid(pid, 0)[1] for pid in pids]
print(get(DONE), 'locks')
if any(ends):
    print('processes ended with', ends)
sys.exit(1 if any(ends) or get(WRONG) else 0)
EOP

d2=$(node_dir 2) d3=$(node_dir 3)
touch bytes whole{0..7}

note "seed $SEED"
seconds=$(long_or 300 40)
python3 /tmp/lockers.py "$seconds" "$SEED" "$PWD" "$PWD" "$d2" "$d2" \
	"$d3" "$d3" >/tmp/lockers.out 2>&1 &
lockers=$!
orch-kill 2
soon 60 cat "$d2/bytes"
orch-kill 1
soon 60 cat bytes "$d2/bytes" "$d3/bytes"
wait "$lockers" || { cat /tmp/lockers.out; fail "locks"; }
had=$(sed -n 's/ locks$//p' /tmp/lockers.out)
note "$had locks"
[ "$had" -ge 100 ] || fail "only $had locks in $seconds seconds"

note "nobody has any in the end"
for dir in "$PWD" "$d2" "$d3"; do
	for name in bytes whole{0..7}; do
		python3 - "$dir/$name" <<-'EOP'
		import fcntl, struct, sys
		f = open(sys.argv[1], 'r+')
		fcntl.flock(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
		for cmd in (fcntl.F_SETLK, 37):
		    fcntl.fcntl(f, cmd, struct.pack('hhqqi4x', fcntl.F_WRLCK,
		                                    0, 0, 0, 0))
		    fcntl.fcntl(f, cmd, struct.pack('hhqqi4x', fcntl.F_UNLCK,
		                                    0, 0, 0, 0))
		EOP
	done
done
fsck_clean
