#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# long: emulated: its own memory does not fit
# debug: no: its own memory does not fit
# vm: --cpus 2 --mem 512M --timeout 1800
# timeout: 900
# Small memory: more data than the machine has, buffered, mapped and in many
# small files, by several processes, and a daemon that is killed in the middle.
# Then the caches go when they are asked to.
. "$(dirname "$0")/lib.sh"

mib=$(long_or 700 220)		# of each large file
files=$(long_or 20000 1500)	# small ones of each of two processes
tracing=/sys/kernel/tracing

cat >/tmp/load.py <<'EOP'
import mmap, os, sys

BLOCK = 1 << 20
PAGE = 4096


def block(seed, i):
    return stamp(seed, i) * (BLOCK // 18) + b"x" * (BLOCK % 18)


def stamp(seed, i):
    return b"%08d.%08d;" % (seed % 10 ** 8, i)


def write(path, seed, n):
    with open(path, "wb", buffering=0) as f:
        for i in range(n):
            f.write(block(seed, i))
        os.fsync(f.fileno())


def check(path, seed, n):
    with open(path, "rb", buffering=0) as f:
        for i in range(n):
            if f.read(BLOCK) != block(seed, i):
                sys.exit(f"{path}: block {i} is wrong")
        if f.read(1):
            sys.exit(f"{path} is too long")


# Each page gets its stamp through a shared mapping, in an order that makes
# write-back and faults meet.
def map_write(path, seed, n):
    with open(path, "w+b") as f:
        f.truncate(n * BLOCK)
        pages = n * BLOCK // PAGE
        with mmap.mmap(f.fileno(), n * BLOCK) as m:
            for i in range(pages):
                at = i * 769 % pages
                m[at * PAGE:at * PAGE + 18] = stamp(seed, at)
            m.flush()


def map_check(path, seed, n):
    with open(path, "rb") as f:
        with mmap.mmap(f.fileno(), n * BLOCK, prot=mmap.PROT_READ) as m:
            for i in range(n * BLOCK // PAGE):
                if m[i * PAGE:i * PAGE + 18] != stamp(seed, i):
                    sys.exit(f"{path}: page {i} is wrong")


def content(seed, i):
    return stamp(seed, i) * (1 + (i * 7 + seed) % 300)


def small_write(path, seed, n):
    for i in range(n):
        if i % 100 == 0:
            os.makedirs(f"{path}/{i // 100}")
        with open(f"{path}/{i // 100}/{i}", "wb", buffering=0) as f:
            f.write(content(seed, i))


def small_check(path, seed, n):
    for i in range(n):
        with open(f"{path}/{i // 100}/{i}", "rb", buffering=0) as f:
            if f.read() != content(seed, i):
                sys.exit(f"{path}: file {i} is wrong")


globals()[sys.argv[1]](sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
EOP

load() {
	python3 -I /tmp/load.py "$@"
}

# all WHAT: every part of the load at once.
all() {
	local part pids=()
	load "$1" large1 $((SEED + 1)) "$mib" & pids+=($!)
	load "$1" large2 $((SEED + 2)) "$mib" & pids+=($!)
	load "map_$1" mapped $((SEED + 3)) "$mib" & pids+=($!)
	load "small_$1" small1 $((SEED + 4)) "$files" & pids+=($!)
	load "small_$1" small2 $((SEED + 5)) "$files" & pids+=($!)
	for part in "${pids[@]}"; do
		wait "$part" || fail "a part of $1"
	done
}

half_made() {
	[ -d "small1/$((files / 200))" ] && [ -d "small2/$((files / 200))" ]
}

peak_rss() {
	awk '/^VmHWM/ { print int($2 / 1024) }' "/proc/$(daemon_pid)/status"
}

# Objects of a slab cache that are in use.
objects() {
	local cache=/sys/kernel/slab/$1
	[ ! -w "$cache/shrink" ] || echo 1 >"$cache/shrink"
	awk -v name="$1" '$1 == name { print $2 }' /proc/slabinfo
}

fewer_objects() {
	echo 2 >/proc/sys/vm/drop_caches
	[ "$(objects "$1")" -lt "$2" ]
}

note "$((3 * mib)) MiB and $((2 * files)) files, in" \
	"$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo) MiB"
all write &
job=$!
wait_until 600 "half of the small files" half_made
first=$(peak_rss)
orch-kill
wait $job
drop_caches
all check
second=$(peak_rss)
note "orchd had $first MiB, after its restart $second MiB"
[ "$first" -lt 96 ] && [ "$second" -lt 96 ] || fail "orchd takes too much"
! dmesg | grep -E 'Out of memory|oom-kill|page allocation failure' ||
	fail "memory ran out"

note "caches that are asked to shrink"
all check
is "$(kernel_says waiting)" 0 "requests that wait"
inodes=$(objects orchfs_inode)
[ "$inodes" -gt "$files" ] || fail "only $inodes inodes are cached"
echo 8192 >$tracing/buffer_size_kb
echo 1 >$tracing/events/orchfs/orchfs_layout/enable
echo >$tracing/trace
wait_until 120 "the inodes to go" fewer_objects orchfs_inode 300
echo 0 >$tracing/events/orchfs/orchfs_layout/enable
dropped=$(grep -cE 'orchfs_layout:.*(shrink|evict)' $tracing/trace)
note "$inodes inodes, now $(objects orchfs_inode); $dropped layouts dropped"
[ "$dropped" -ge $((files / 2)) ] || fail "only $dropped layouts were dropped"
for cache in orchfs_request orchfs_backing orchfs_open_inode; do
	left=$(objects $cache)
	[ "${left:-0}" -lt 100 ] || fail "$left objects of $cache are left"
done
sed -n 1p small1/0/1 >/dev/null
fsck_clean "$ORCH_NAMESPACE" >/tmp/fsck.out || { cat /tmp/fsck.out; fail fsck; }
