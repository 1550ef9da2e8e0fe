#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# debug: no: programs above what the others cover
# timeout: 900
# The module is built on orchfs by make and gcc: parts of it in a short run,
# the whole in a long one, which then goes on with the module that was built
# there.
. "$(dirname "$0")/lib.sh"

kdir=$(echo /usr/src/linux-headers-*-amd64)
src=$PWD/src
cp -a /inject/module "$src"
find "$src" -exec touch -h -d '2020-01-01 UTC' {} +

build() {
	make -C "$kdir" M="$src/kmod" -j 2 "$@" >/tmp/make.out 2>&1 ||
		{ tail -n 30 /tmp/make.out; fail "make $*"; }
}

compiled() {
	grep -cE '^  (CC|LD)' /tmp/make.out || :
}

targets=(modules)
[ "$LONG" = 1 ] || targets=(layout_map.o iomode.o)
build "${targets[@]}"
[ "$(compiled)" -gt 1 ] || fail "nothing was compiled"

note "a second make compiles nothing, and after a change that alone"
build "${targets[@]}"
is "$(compiled)" 0 "files compiled again"
touch "$src/kmod/layout_map.c"
build layout_map.o
is "$(grep -oE 'CC .*' /tmp/make.out | grep -c layout_map.o)" 1 \
	"compiled after a touch"

if [ "$LONG" = 0 ]; then
	objcopy -O binary --only-section=.text "$src/kmod/layout_map.o" /tmp/text
	[ -s /tmp/text ] || fail "the object has no code"
	exit 0
fi

note "the module that was built here"
modinfo "$src/kmod/orchfs.ko" | grep -q vermagic
cp "$src/kmod/orchfs.ko" /tmp/built.ko
cd /
orch-stop --unload
at_exit "orch-stop --unload; orch-start"
ORCH_MODULE=/tmp/built.ko orch-start
cmp /tmp/built.ko "$src/kmod/orchfs.ko"
