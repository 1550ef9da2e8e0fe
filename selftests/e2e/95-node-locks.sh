#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: --nodes 3 --cluster --cpus 2 --timeout 1200
# timeout: 900
# Locks of flock(2) and fcntl(2) between three nodes: they exclude each other,
# are waited for, found in circles, given up, and lost with their holder; and a
# node that is alone with a file asks nobody.
. "$(dirname "$0")/lib.sh"

d2=$(node_dir 2) d3=$(node_dir 3)

cat >/tmp/locker.py <<'EOP'
# One process that locks. Commands, each answered by a line:
#   open F PATH | close F | quit | KIND F TYPE START LENGTH [wait | test]
# with KIND posix, ofd or flock and TYPE r, w or u. LENGTH 0: to the end.
import errno, fcntl, os, signal, struct, sys

def interrupted(*args):
    raise InterruptedError(errno.EINTR, 'interrupted')

def record(kind, fd, kind_of_lock, start, length, how):
    types = {'r': fcntl.F_RDLCK, 'w': fcntl.F_WRLCK, 'u': fcntl.F_UNLCK}
    cmd = {'test': 0, '': 1, 'wait': 2}[how]
    cmd += 36 if kind == 'ofd' else fcntl.F_GETLK
    arg = struct.pack('hhqqi4x', types[kind_of_lock], 0, start, length, 0)
    t, _, start, length, pid = struct.unpack('hhqqi4x',
                                             fcntl.fcntl(fd, cmd, arg))
    if how != 'test':
        return 'ok'
    if t == fcntl.F_UNLCK:
        return 'free'
    return '%s %d %d %d' % ('r' if t == fcntl.F_RDLCK else 'w', start,
                            length, pid)

def whole(fd, kind_of_lock, how):
    op = {'r': fcntl.LOCK_SH, 'w': fcntl.LOCK_EX, 'u': fcntl.LOCK_UN}
    fcntl.flock(fd, op[kind_of_lock] | (0 if how == 'wait' else fcntl.LOCK_NB))
    return 'ok'

def run(files, words):
    if words[0] == 'open':
        how = os.O_RDONLY if os.path.isdir(words[2]) else os.O_RDWR
        files[words[1]] = os.open(words[2], how)
        return 'ok'
    if words[0] == 'close':
        os.close(files.pop(words[1]))
        return 'ok'
    kind, name, kind_of_lock, start, length = words[:5]
    how = words[5] if len(words) > 5 else ''
    if kind == 'flock':
        return whole(files[name], kind_of_lock, how)
    return record(kind, files[name], kind_of_lock, int(start), int(length),
                  how)

signal.signal(signal.SIGUSR1, interrupted)
files = {}
while True:
    line = sys.stdin.readline()
    if line in ('', 'quit\n'):
        break
    try:
        print(run(files, line.split()), flush=True)
    except OSError as e:
        name = errno.errorcode[e.errno]
        print('EDEADLK' if name == 'EDEADLOCK' else name, flush=True)
EOP

declare -A pid to from

# begin NAME: a process.
begin() {
	local fd
	mkfifo "/tmp/$1.in" "/tmp/$1.out"
	python3 /tmp/locker.py <"/tmp/$1.in" >"/tmp/$1.out" &
	pid[$1]=$!
	exec {fd}>"/tmp/$1.in"
	to[$1]=$fd
	exec {fd}<"/tmp/$1.out"
	from[$1]=$fd
	rm "/tmp/$1.in" "/tmp/$1.out"
}

# end NAME: it exits.
end() {
	tell "$1" quit
	wait "${pid[$1]}" || fail "process $1"
}

tell() {
	echo "${*:2}" >&"${to[$1]}"
}

# says NAME ANSWER
says() {
	local line
	read -r -t 120 line <&"${from[$1]}" || fail "$1 gives no answer"
	is "$line" "$2" "answer of $1"
}

# try NAME COMMAND... ANSWER
try() {
	tell "$1" "${*:2:$#-2}"
	says "$1" "${!#}"
}

# It was woken by what it was told, sleeps again, and has no answer.
in_lock() {
	asleep "${pid[$1]}" && ! read -r -t 0 <&"${from[$1]}"
}

# waits NAMEk COMMAND...: it has to wait, at node k. Requests of a node come in
# order, so the lock has been asked for when the second one is answered.
waits() {
	tell "$1" "${*:2}" wait
	wait_until 60 "$1 to wait" in_lock "$1"
	stat -f "$(node_dir "${1: -1}")" >/dev/null
	in_lock "$1" || fail "$1 got a lock that is taken"
}

lock_upcalls() {
	at_node "$1" upcalls lock
}

for k in 1 2 3; do
	begin "p$k"
	begin "q$k"
done

note "who is alone asks nobody, or once"
echo x >alone
before=$(lock_upcalls 1)
try p1 open f "$PWD/alone" ok
for kind in posix ofd flock; do
	for i in {1..20}; do
		try p1 $kind f w 0 0 ok
		try p1 $kind f u 0 0 ok
	done
done
is "$(lock_upcalls 1)" "$before" "upcalls for locks of the authority's node"
try p1 close f ok
echo x >"$d2/alone2"
before=$(lock_upcalls 2)
try p2 open f "$d2/alone2" ok
try q2 open f "$d2/alone2" ok
for i in {1..20}; do
	try p2 posix f w 0 10 ok
	try q2 posix f r 5 1 EAGAIN
	waits q2 posix f r 5 1
	try p2 posix f u 0 0 ok
	says q2 ok
	try q2 flock f w 0 0 ok
	try p2 flock f r 0 0 EAGAIN
	try q2 flock f u 0 0 ok
	try q2 posix f u 0 0 ok
done
made=$(($(lock_upcalls 2) - before))
[ $made -le 2 ] || fail "$made upcalls for locks of a node that is alone"
try p2 close f ok
try q2 close f ok

note "they exclude each other"
echo x >file
try p1 open f "$PWD/file" ok
try q1 open f "$PWD/file" ok
try p2 open f "$d2/file" ok
try p3 open f "$d3/file" ok
try q3 open f "$d3/file" ok
for kind in posix ofd; do
	try p1 $kind f w 100 50 ok
	try p2 $kind f r 149 1 EAGAIN
	try p2 $kind f w 0 0 EAGAIN
	try p2 $kind f w 150 10 ok
	try p3 $kind f r 0 100 ok
	try q3 $kind f r 0 100 ok
	try p1 $kind f w 99 1 EAGAIN
	try q1 $kind f w 99 1 EAGAIN
	tell p3 $kind f w 100 0 test
	theirs=-${pid[p1]}
	[ $kind = posix ] || theirs=-1
	says p3 "w 100 50 $theirs"
	try p3 $kind f w 160 0 test free
	for p in p1 p2 p3 q3; do
		try $p $kind f u 0 0 ok
	done
	try q1 $kind f w 0 0 ok
	try q1 $kind f u 0 0 ok
done
try p2 flock f w 0 0 ok
try p3 flock f r 0 0 EAGAIN
try p1 flock f r 0 0 EAGAIN
try p3 posix f w 0 0 ok
try p3 posix f u 0 0 ok
try p2 flock f r 0 0 ok
try p3 flock f r 0 0 ok
try p1 flock f w 0 0 EAGAIN
try p2 flock f u 0 0 ok
try p3 flock f u 0 0 ok
mkdir dir
try p1 open d "$PWD/dir" ok
try p3 open d "$d3/dir" ok
try p1 flock d w 0 0 ok
try p3 flock d r 0 0 EAGAIN
try p1 close d ok
try p3 flock d r 0 0 ok
try p3 close d ok

note "they are waited for, and handed over"
for kind in posix ofd flock; do
	try p1 $kind f w 0 0 ok
	waits p2 $kind f r 0 0
	waits p3 $kind f r 0 0
	waits q3 $kind f w 0 0
	try p1 $kind f u 0 0 ok
	says p2 ok
	says p3 ok
	in_lock q3 || fail "a writer got in beside readers"
	try p2 $kind f u 0 0 ok
	in_lock q3 || fail "a writer got in beside a reader"
	try p3 $kind f u 0 0 ok
	says q3 ok
	try p1 $kind f r 0 0 EAGAIN
	try q3 $kind f u 0 0 ok
done

note "circles are found, through two nodes and three"
for n in g h; do
	echo x >$n
	try p1 open $n "$PWD/$n" ok
	try p2 open $n "$d2/$n" ok
	try p3 open $n "$d3/$n" ok
done
try p2 posix f w 0 1 ok
try p3 posix g w 0 1 ok
waits p2 posix g w 0 1
try p3 posix f r 0 1 wait EDEADLK
try p1 posix h w 0 1 ok
waits p3 posix h r 0 1
try p1 posix f w 0 0 wait EDEADLK
try p1 posix h u 0 1 ok
says p3 ok
try p3 posix g u 0 1 ok
says p2 ok
try p2 posix f u 0 0 ok
try p2 posix g u 0 0 ok
try p3 posix h u 0 0 ok

note "a waiter that is interrupted gets nothing, and loses nothing"
for kind in posix ofd flock; do
	try p1 $kind f r 0 0 ok
	waits p2 $kind f w 0 0
	waits q3 $kind f w 0 0
	kill -USR1 "${pid[p2]}"
	says p2 EINTR
	try p1 $kind f u 0 0 ok
	says q3 ok
	try q3 $kind f u 0 0 ok
	try p1 $kind f w 0 0 ok
	try p1 $kind f u 0 0 ok
done
try p2 posix f r 0 10 ok
try p3 posix f r 0 10 ok
waits p2 posix f w 0 10
kill -USR1 "${pid[p2]}"
says p2 EINTR
try p1 posix f w 9 1 EAGAIN
try p3 posix f u 0 0 ok
try p1 posix f w 9 1 EAGAIN
try p2 posix f u 0 0 ok
try p1 posix f w 9 1 ok
try p1 posix f u 0 0 ok

note "any close lets go of a process's locks, the last of an open file's"
try p2 open again "$d2/file" ok
try p2 posix f w 0 10 ok
try p2 ofd f w 20 10 ok
try p2 flock f r 0 0 ok
try p2 close again ok
try p3 posix f w 0 10 ok
try p3 posix f w 20 10 EAGAIN
try p3 flock f w 0 0 EAGAIN
try p2 close f ok
try p3 posix f w 20 10 ok
try p3 flock f w 0 0 ok
try p3 posix f u 0 0 ok
try p3 flock f u 0 0 ok
try p2 open f "$d2/file" ok

note "who is killed holds nothing, nor what it waited for"
for kind in posix ofd flock; do
	begin r2
	try r2 open f "$d2/file" ok
	try r2 $kind f w 0 0 ok
	begin s3
	try s3 open f "$d3/file" ok
	waits s3 $kind f w 0 0
	waits p1 $kind f w 0 0
	kill -9 "${pid[s3]}" "${pid[r2]}"
	says p1 ok
	wait "${pid[s3]}" "${pid[r2]}" 2>/dev/null || :
	try p1 $kind f u 0 0 ok
	try p2 $kind f w 0 0 ok
	try p2 $kind f u 0 0 ok
done

note "one node alone again: it asks nobody after a while"
costs_nothing() {
	local before
	before=$(lock_upcalls 3)
	try p3 posix f w 0 0 ok
	try p3 posix f u 0 0 ok
	[ "$(lock_upcalls 3)" = "$before" ]
}
wait_until 30 "the lease of the locks" costs_nothing
try p1 posix f w 0 0 ok
try p3 posix f w 0 0 EAGAIN
try p1 posix f u 0 0 ok

note "daemons are killed; locks stay"
try p2 posix f w 0 10 ok
try p3 ofd f r 20 10 ok
try p1 flock f w 0 0 ok
waits q3 posix f w 0 1
for k in 2 3 1; do
	orch-kill $k
	soon 60 cat "$d2/file" "$d3/file" file >/dev/null
	in_lock q3 || fail "a lock was lost with the daemon of node $k"
	try p3 posix f r 5 1 EAGAIN
	try p1 posix f w 25 1 EAGAIN
	try p2 flock f r 0 0 EAGAIN
done
try p2 posix f u 0 0 ok
says q3 ok
try p1 posix f r 0 1 EAGAIN
try q3 posix f u 0 0 ok
try p3 ofd f u 0 0 ok
try p1 flock f u 0 0 ok

note "what is closed while there is no daemon is free afterwards"
free_for_p3() {
	local line
	tell p3 posix f w 0 10
	read -r -t 120 line <&"${from[p3]}" && [ "$line" = ok ]
}
try p2 posix f w 0 10 ok
orch-kill --no-restart 2
try p2 close f ok
orch-start 2
wait_until 60 "the lock to go" free_for_p3
try p2 open f "$d2/file" ok
try p3 posix f u 0 0 ok

note "a node that is cut off loses its locks with its lease, and not before"
try p2 posix f w 0 10 ok
try p2 posix g w 0 10 ok
ip link set veth2 down
at_exit "ip link set veth2 up"
waits p3 posix f w 0 10
waits p1 posix g w 0 10
says p3 ok
says p1 ok
ip link set veth2 up
wait_until 120 "node 2 to be back" at_node 2 cat file
try p2 posix f w 0 10 EAGAIN
try p2 posix g r 0 1 EAGAIN
try p3 posix f u 0 0 ok
try p2 posix f w 0 10 ok
try p1 posix g u 0 0 ok
try p2 posix f u 0 0 ok

note "the next daemon knows that it has lost them, too"
try p2 posix f w 0 10 ok
ip link set veth2 down
waits p3 posix f w 0 10
says p3 ok
try p3 posix f u 0 0 ok
orch-kill 1
ip link set veth2 up
wait_until 120 "node 2 to be back" at_node 2 cat file
try p3 posix f w 0 10 ok
try p2 posix f r 0 1 EAGAIN
try p3 posix f u 0 0 ok
try p2 posix f w 0 10 ok
try p2 posix f u 0 0 ok

for k in 1 2 3; do
	end "p$k"
	end "q$k"
done
fsck_clean
