#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# long: uml
# debug: no: programs above what the others cover
# timeout: 600
# PostgreSQL with its cluster on orchfs: pgbench, the server and orchd killed
# in the middle of it, recovery, and what PostgreSQL's own checks say then.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/../host/postgres.lib"

pg_init "$PWD/pg"
at_exit pg_kill
pg_start
pg_fill "$(long_or 10 1)"

for round in $(seq "$(long_or 5 1)"); do
	pg_bench_begin 4
	pg_bench_reached "$(long_or 2000 60)"
	note "round $round: killed after $(pg_acknowledged) transactions"
	pg_kill &
	killed=$!
	orch-kill
	wait $killed
	pg_bench_ended
	pg_start
	pg_check
done

note "a second cluster by a file-level copy of the first one"
pg_stop
cp -a pg pg2
pg_checksums pg2
pg_data=$PWD/pg2
pg_start
pg_check
pg_stop
fsck_clean "$ORCH_NAMESPACE" >/tmp/fsck.out || { cat /tmp/fsck.out; fail fsck; }
