#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# long: emulated: layouts change while other processors use them
# debug: smp: layouts change while other processors use them
# vm: --cpus 2 --timeout 900
# timeout: 420
# Layouts are swapped again and again under I/O from several processors.
. "$(dirname "$0")/lib.sh"

wanted=$(long_or 2000 60 20)
ops=$(long_or 300000 12000 3000)

iou --dir . --seed "$SEED" --ops "$ops" --depth 32 --mode mixed >iou.out 2>&1 &
jobs=($!)
files=(iou.0 iou.1 iou.2 iou.3)
cat >job.fio <<'EOJ'
[global]
directory=.
size=8m
verify=crc32c
verify_fatal=1
loops=${LOOPS}
randseed=${SEED}
[buffered]
filename=fio.buffered
rw=randwrite
bs=8k
ioengine=psync
[direct]
filename=fio.direct
rw=randwrite
bs=4k
direct=1
ioengine=libaio
iodepth=8
EOJ
LOOPS=$(long_or 20 2) SEED=$SEED fio --output=/tmp/fio.out job.fio &
jobs+=($!)
files+=(fio.buffered fio.direct)
opsrand --dir "$TEST_DIR/r" --procs 2 --ops "$ops" --seed "$SEED" \
	>opsrand.out 2>&1 &
jobs+=($!)

# The swaps go on while any job runs, and at least so many are done.
running() {
	local pid
	for pid in "${jobs[@]}"; do
		! kill -0 "$pid" 2>/dev/null || return 0
	done
	return 1
}

for file in "${files[@]}"; do
	wait_until 60 "$file" test -e "$file"
done
swaps=0 busy=0
while running; do
	for file in "${files[@]}"; do
		if out=$(orchctl swap "$file" --timeout 20000 2>&1); then
			swaps=$((swaps + 1))
			continue
		fi
		# a file that nobody holds has no layout to swap
		case $out in
		*held* | *"not open"* | *"no layout"*) busy=$((busy + 1)) ;;
		*) fail "orchctl swap $file: $out" ;;
		esac
	done
done
status=0
for job in "${jobs[@]}"; do
	wait "$job" || status=$?
done
cat iou.out opsrand.out
[ $status = 0 ] || { cat /tmp/fio.out; fail "a job failed"; }
! grep -i 'verify:' /tmp/fio.out || fail "fio finds wrong data"
note "$swaps swaps, $busy of files that nobody held"
[ $swaps -ge "$wanted" ] || fail "only $swaps swaps, want $wanted"

note "a drain that can't end keeps the old layout"
head -c 100000 /dev/urandom >mapped
sum=$(sha256sum <mapped)
exec 3<>mapped
orchctl swap mapped
orchctl where mapped
is "$(sha256sum <&3)" "$sum" "content after a swap"
exec 3>&-
fsck_clean
