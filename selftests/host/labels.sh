#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
# Security labels, in a machine that runs SELinux.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
# it may not be on beside AppArmor, which is on by default
export ORCH_VM_APPEND="security=selinux enforcing=0 ${ORCH_VM_APPEND:-}"
exec "$here/../vm/vm" --cpus 1 --timeout 280 -- \
	bash /inject/selftests/host/labels.guest
