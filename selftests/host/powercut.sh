#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 1500
# Power cuts. Store and volume are two ranges of one drive below one
# dm-log-writes target, so that one log orders the writes of both; the log is
# replayed to seeded points and the file system brought up on the result. The
# work happens in the machine: powercut.guest.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/powercut-machine.lib"

cut_machine powercut 1400 7200
