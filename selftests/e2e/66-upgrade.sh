#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# vm: --cpus 2 --timeout 1200
# timeout: 400
# A new daemon takes over a live mount under load: nobody waits for longer
# than a second, nothing is lost; one that can't take over changes nothing.
# The pause is the longest operation seen from outside. The emulated machine is
# 10 to 30 times slower than a real one and shares its processors with others,
# so the median of five pauses, or if need be of up to fifteen, has to be under a
# second here, and each under ten. The debug kernel is ten times slower again:
# there two upgrades show that nothing is lost. Formats of the store: t_daemon.sh
# of orchctl.
. "$(dirname "$0")/lib.sh"

status_pid() {
	orchctl status --json | json_first pid
}

namespace_is() {
	orchctl status --json |
		awk -F '"' -v name="$ORCH_NAMESPACE" -v want="$1" '
		$2 == "name" { of = $4 }
		$2 == "state" && of == name { state = $4 }
		END { exit state != want }'
}

# Operations that ask the daemon, one after the other. Says for each upgrade,
# told by the file "upgrade", how long the slowest one took.
cat >/tmp/loop.py <<'EOP'
import os, sys, time
name = sys.argv[1]
os.mkdir(name)
done, slowest, turn = 0, 0.0, 0
while not os.path.exists("/tmp/end"):
    for op in range(5):
        start = time.monotonic()
        if op == 0:
            with open(f"{name}/f{done}", "x") as f:
                f.write(f"file {done}")
        elif op == 1:
            os.rename(f"{name}/f{done}", f"{name}/g{done}")
        elif op == 2:
            os.chmod(f"{name}/g{done}", 0o640)
        elif op == 3:
            with open(f"{name}/g{done}") as f:
                assert f.read() == f"file {done}"
        elif done % 2:
            os.unlink(f"{name}/g{done}")
        slowest = max(slowest, time.monotonic() - start)
    done += 1
for i in range(0, done, 2):
    with open(f"{name}/g{i}") as f:
        assert f.read() == f"file {i}"
assert len(os.listdir(name)) == (done + 1) // 2
print(done, round(slowest, 3))
EOP

# load: begins the load, load_end: ends it; $slowest is the slowest operation.
load() {
	local i
	rm -f /tmp/end /tmp/loop.log*
	loops=()
	for i in 1 2; do
		python3 -I /tmp/loop.py "load$i" >/tmp/loop.log$i 2>&1 &
		loops+=($!)
	done
	wait_until 60 "the load" test -e load1/g4 -a -e load2/g4
}

load_end() {
	: >/tmp/end
	for pid in "${loops[@]}"; do
		wait "$pid" || fail "the load failed: $(cat /tmp/loop.log*)"
	done
	rm -rf load1 load2
	slowest=$(sort -k 2 -n /tmp/loop.log* | tail -n 1 | cut -d ' ' -f 2)
}

: >held
exec 3<>held
echo before >&3
python3 -I -c 'import os; os.unlink("held")'
for i in {1..200}; do echo "$i" >"many$i"; done
old=$(status_pid)

note "how long an operation takes without"
load
load_end
quiet=$slowest

note "upgrades under load"
pauses() {
	sort -n /tmp/pauses | awk -v debug="$([ "$ORCH_KERNEL" != debug ] || echo 1)" '
		{ pause[NR] = $1 }
		END {
			if (debug)
				exit NR < 2
			median = pause[int(NR / 2) + 1]
			exit NR < 5 || median >= 1 || pause[NR] >= 10
		}'
}
: >/tmp/pauses
for i in {1..15}; do
	! pauses || break
	load
	soon 60 orchctl upgrade
	new=$(status_pid)
	[ "$new" != "$old" ] || fail "process $old serves still"
	wait_until 20 "the old daemon to end" daemon_gone "$old"
	old=$new
	echo "$new" >"$ORCH_PIDFILE"
	soon 20 mkdir "upgraded$i"
	load_end
	note "slowest operation: $slowest s (without an upgrade $quiet s)"
	echo "$slowest" >>/tmp/pauses
	wait_until 10 "the namespace" namespace_is serving
done
note "pauses: $(xargs </tmp/pauses)"
pauses || fail "operations waited too long"
echo after >&3
is "$(cat /proc/self/fd/3)" "before
after" "an open file without a name"
is "$(cat many7)" 7 "content"
grep -q "taken over" "$ORCH_LOG" || fail "the log does not tell"

note "one that can't take over"
program() {
	printf '#!/bin/sh\n%s\n' "$1" >/tmp/new-orchd
	chmod 755 /tmp/new-orchd
}
orchd=$(command -v orchd)
goes_on() {
	is "$(status_pid)" "$old" "process that serves after $1"
	wait_until 20 "the namespace" namespace_is serving
	soon 20 mkdir "$1"
	is "$(cat many8)" 8 "content"
}
refused_soon 60 "No such file" orchctl upgrade /tmp/none
program "exec '$orchd' --nonsense"
refused_soon 60 "goes on" orchctl upgrade /tmp/new-orchd
goes_on usage
mkdir -p /tmp/nothing
program "exec '$orchd' \"\$@\" --state-dir /tmp/nothing"
load
refused_soon 60 "state directory" orchctl upgrade /tmp/new-orchd
goes_on elsewhere
program "ORCHD_FAULT=before-taken exec '$orchd' \"\$@\""
refused_soon 60 "exit status 99" orchctl upgrade /tmp/new-orchd
goes_on died
load_end
note "slowest operation with two that failed: $slowest s"
if [ "$LONG" = 1 ]; then
	program 'echo $$ >/tmp/mute; exec tail -f /dev/null'
	refused_soon 120 "did not ask" orchctl upgrade /tmp/new-orchd
	daemon_gone "$(cat /tmp/mute)" || fail "what never asked runs still"
	goes_on mute
	program "ORCHD_FAULT=hang-taken exec '$orchd' \"\$@\""
	refused_soon 120 "not done within" orchctl upgrade /tmp/new-orchd
	goes_on hangs
	rmdir mute hangs
fi

note "the old daemon dies once it has handed over"
load
versions() {
	grep -c 'version' "$ORCH_LOG"
}
before=$(versions)
orchctl upgrade >/tmp/upgrade.log 2>&1 &
upgrade=$!
# the new one says its version when it has what it asked for
wait_until 30 "the takeover" at_least $((before + 1)) versions
kill -KILL "$old" || :
wait $upgrade || :
wait_until 20 "the old daemon to end" daemon_gone "$old"
soon 30 orchctl status >/dev/null
new=$(status_pid)
[ "$new" != "$old" ] || fail "process $old serves still"
wait_until 30 "the namespace" namespace_is serving
echo "$new" >"$ORCH_PIDFILE"
load_end
note "slowest operation: $slowest s"
is "$(cat many9)" 9 "content"
exec 3>&-
rm -r many* upgraded* usage elsewhere died
orchctl sync
fsck_clean "$ORCH_NAMESPACE"
