#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 1800
# Power cuts while pgbench runs on PostgreSQL, by the method of powercut.sh:
# each time the server recovers, has what it had committed, and finds no fault
# in its tables and indexes.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/powercut-machine.lib"

cut_machine powercut-postgres 1700 7200
