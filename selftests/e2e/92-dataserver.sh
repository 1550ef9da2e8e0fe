#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# long: uml
# vm: --cpus 2 --timeout 900
# timeout: 400
# The module's data server, with a program as its daemon and its peers: what is
# read and written, what is malformed, refused, fenced, expired, slow; and the
# ends of volume, daemon, network namespace and module under load.
. "$(dirname "$0")/lib.sh"
cd /

loaded() {
	[ -d /sys/module/orchfs ]
}

nobody_receives() {
	! pgrep '^orchfs-recv' >/dev/null
}

note "nothing is there before anybody asks for it"
nobody_receives || fail "a thread receives"

note "on tmpfs"
# the debug kernel's objects are larger
[ "$ORCH_KERNEL" = debug ] && measure= || measure=--measure
dataserver $measure --seed "$SEED" --rounds "$(long_or 20000 400)"
wait_until 60 "the receiving threads to end" nobody_receives

note "on the volume's file system"
mkdir "$ORCH_VOLUME_MNT/ds"
at_exit "rm -rf $ORCH_VOLUME_MNT/ds"
dataserver --root "$ORCH_VOLUME_MNT/ds" --seed "$((SEED + 1))" \
	--rounds "$(long_or 20000 400)"

note "with kernel TLS"
if modprobe -q tls || grep -qw tls /proc/sys/net/ipv4/tcp_available_ulp; then
	dataserver --tls --seed "$((SEED + 2))" --rounds "$(long_or 5000 100)"
else
	note "this kernel has none"
fi

note "a peer's program and its daemon are killed"
dataserver --hold --root "$ORCH_VOLUME_MNT/ds" >/tmp/held &
wait_until 60 "a stream" grep -q streaming /tmp/held
kill -KILL $!
wait $! 2>/dev/null || :

note "the module goes while it streams"
dataserver --hold >/tmp/held &
held=$!
wait_until 60 "a stream" grep -q streaming /tmp/held
orch-stop --unload
! loaded || fail "the module is still there"
soon 60 tail -f --pid=$held /dev/null
wait $held || fail "the peer saw no proper end: $(cat /tmp/held)"
grep -q "the connection has ended" /tmp/held || fail "$(cat /tmp/held)"
umount /tmp/ds-volume || fail "something still holds the volume"
orch-start
