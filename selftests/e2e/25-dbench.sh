#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# long: uml
# debug: no: programs above what the others cover
# timeout: 600
# dbench: the calls of a file server's clients. It checks sizes and results
# itself and stops at the first that is wrong.
. "$(dirname "$0")/lib.sh"

# dbench complains of a semaphore with the number 0
ipcmk --semaphore 1 >/dev/null

# run SECONDS CLIENTS OPTIONS...
run() {
	dbench --loadfile=/usr/share/dbench/client.txt --directory="$PWD" \
		--timelimit="$1" "${@:3}" "$2" >/tmp/dbench.out 2>&1 ||
		{ tail -n 20 /tmp/dbench.out; fail "dbench ${*:3}"; }
	! grep -iE 'fail|error' /tmp/dbench.out || fail "dbench ${*:3}"
	grep Throughput /tmp/dbench.out || fail "dbench measured nothing"
	is "$(find . ! -type d)" "" "what dbench has left"
	rm -r clients
}

run "$(long_or 120 15)" "$(long_or 16 4)"
run "$(long_or 60 10)" 4 --sync
run "$(long_or 60 10)" 2 --sync-dir
fsck_clean "$ORCH_NAMESPACE" >/tmp/fsck.out || { cat /tmp/fsck.out; fail fsck; }
