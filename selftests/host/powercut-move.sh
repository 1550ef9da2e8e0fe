#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 1800
# Power cuts while a tree moves between two volumes and back, by the method of
# powercut.sh: each time every file is whole, the job goes on, and nothing is
# left of what was under way.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/powercut-machine.lib"

cut_machine powercut-move 1700 7200
