#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# long: uml
# vm: --cpus 2 --timeout 900
# timeout: 400
# Files whose contents are at a data server, with a program as their daemon and
# that of the server: contents and sizes against a model, times, mappings and
# programs, asynchronous I/O, tokens that have run out, fences, what a restarted
# server has lost, connections that go. Afterwards the module can go.
. "$(dirname "$0")/lib.sh"
cd /

remotefile --seed "$SEED" --rounds "$(long_or 20000 400)"
orch-stop --unload
[ ! -d /sys/module/orchfs ] || fail "the module is still there"
orch-start
