# SPDX-License-Identifier: Apache-2.0
# Sourced on the host and in the guest: finds fault reports in a kernel log.
# shellcheck shell=bash

REPORT_PATTERN='WARNING: |BUG: |BUG at |kernel BUG|Oops[: ]|general protection'
REPORT_PATTERN+='|INFO: task .* blocked for more|KASAN: |UBSAN: |KCSAN: |KFENCE: '
REPORT_PATTERN+='|INFO: possible recursive locking|possible circular locking'
REPORT_PATTERN+='|inconsistent lock state|suspicious RCU usage|INFO: trying to register'
REPORT_PATTERN+='|lock held when returning|still has locks held|bad unlock balance'
REPORT_PATTERN+='|irq lock inversion|DEBUG_LOCKS_WARN_ON|invalid wait context'
REPORT_PATTERN+='|rcu.*(self-)?detected.*stall|kmemleak: unreferenced object'
REPORT_PATTERN+='|unregister_netdevice: waiting|refcount_t: |Kernel panic'
REPORT_PATTERN+='|soft lockup|hard LOCKUP|list_(add|del) corruption'
REPORT_PATTERN+='|sleeping function called from invalid|scheduling while atomic'
REPORT_PATTERN+='|VFS: Busy inodes after unmount|Dentry .* still in use'
REPORT_PATTERN+='|Objects remaining in|XFS.*(Corruption|Internal error|Assertion failed)'
REPORT_PATTERN+='|EXT4-fs error'

# Reports that emulation causes and that say nothing about the product: a slow
# or busy host delays the clock watchdog.
REPORT_HARMLESS='clocksource: .*(Marking|timekeeping watchdog|wd-)'

# kernel_reports FILE: prints each report with what follows it; fails if none.
kernel_reports() {
	tr -d '\r' <"$1" | grep -Ev "$REPORT_HARMLESS" |
		grep -E -A 40 "$REPORT_PATTERN"
}
