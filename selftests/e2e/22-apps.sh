#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# long: uml
# debug: no: programs above what the others cover
# timeout: 300
# Programs as people use them: git, SQLite, tar, fio.
. "$(dirname "$0")/lib.sh"
export GIT_CONFIG_GLOBAL=/dev/null GIT_AUTHOR_NAME=t GIT_AUTHOR_EMAIL=t@t \
	GIT_COMMITTER_NAME=t GIT_COMMITTER_EMAIL=t@t

note "git"
origin=$(mktemp -d /tmp/origin.XXXXXX)
at_exit "rm -rf $origin"
git init -q -b main "$origin"
for commit in 1 2 3; do
	for dir in a b/c d; do
		mkdir -p "$origin/$dir"
		for i in {1..20}; do
			seq $((commit * i)) $((commit * i + 500)) \
				>"$origin/$dir/file$i.txt"
		done
	done
	git -C "$origin" add -A
	git -C "$origin" commit -q -m "commit $commit"
done
git clone -q --no-local "$origin" clone
git -C clone fsck --strict --no-progress
git -C clone checkout -q HEAD~1
git -C clone checkout -q main
echo more >>clone/a/file1.txt
git -C clone commit -q -a -m more
git -C clone gc -q
git -C clone fsck --strict --no-progress
is "$(git -C clone status --porcelain)" "" "git status"
differences=$(diff -rq --exclude .git "$origin" clone || :)
[[ $differences == *file1.txt* ]] || fail "the clone lacks the change"

note "SQLite: WAL, four writers"
cat >writer.py <<'EOP'
import sqlite3, sys
db = sqlite3.connect("db", timeout=120, isolation_level=None)
db.execute("PRAGMA synchronous=NORMAL")
for i in range(int(sys.argv[2])):
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO t VALUES (?, ?, ?)", (sys.argv[1], i, "x" * 300))
    db.execute("UPDATE n SET n = n + 1")
    db.execute("COMMIT")
EOP
sqlite3 db 'PRAGMA journal_mode=WAL; CREATE TABLE t (w, i, x);
	CREATE TABLE n (n); INSERT INTO n VALUES (0)' | grep -qx wal
rows=$(long_or 1000 60)
for w in 1 2 3 4; do
	python3 -I writer.py $w "$rows" &
	jobs[w]=$!
done
for w in 1 2 3 4; do
	wait "${jobs[w]}" || fail "writer $w"
done
is "$(sqlite3 db 'PRAGMA integrity_check')" ok "integrity check"
is "$(sqlite3 db 'SELECT count(*) FROM t')" $((4 * rows)) "rows"
is "$(sqlite3 db 'SELECT n FROM n')" $((4 * rows)) "updates"

note "tar"
tar -C /usr/lib/python3* -cf - . | tee /tmp/t.tar | tar -xpf - --one-top-level=t
tar -C t -df /tmp/t.tar || fail "tar finds differences"
tar -C t -cf - . | tar -tf - >/dev/null
cp -a t t2
diff -r t t2
rm -rf t2 /tmp/t.tar

note "fio"
cat >job.fio <<'EOJ'
[global]
directory=.
size=12m
verify=crc32c
verify_fatal=1
end_fsync=1
group_reporting
randseed=${SEED}
[buffered]
stonewall
rw=randrw
bsrange=1k-64k
bs_unaligned
ioengine=psync
numjobs=2
[direct]
stonewall
rw=randwrite
bs=4k
direct=1
ioengine=libaio
iodepth=16
[uring]
stonewall
rw=randwrite
bs=16k
ioengine=io_uring
iodepth=16
[mmap]
stonewall
rw=randwrite
bs=4k
ioengine=mmap
EOJ
export SEED
fio --output=/tmp/fio.out job.fio || { cat /tmp/fio.out; fail "fio"; }
! grep -i 'verify:' /tmp/fio.out || fail "fio finds wrong data"
