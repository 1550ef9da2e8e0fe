# SPDX-License-Identifier: Apache-2.0
# Sourced by tools/check: several machines and other groups of tests at once.
#
# A job is a command that reports each of its tests by the functions of
# results.sh. It runs in a subshell; its programs are started behind GUARD, so
# that they end when the subshell does.
# shellcheck shell=bash

GUARD=(setpriv --pdeathsig TERM --)

# What a machine takes beside others, in MiB: its memory and the emulator's.
JOB_MIB=3800

# jobs_at_once: one for each processor, as far as memory permits.
jobs_at_once() {
	local processors fit
	processors=$(nproc)
	fit=$(awk -v mib="$JOB_MIB" '/^MemAvailable:/ {
		n = int($2 / 1024 / mib); print (n > 1 ? n : 1) }' /proc/meminfo)
	echo $((fit < processors ? fit : processors))
}

jobs=()

# job WEIGHT COMMAND...: puts it on the list; heavier ones start earlier.
job() {
	local weight=$1
	shift
	jobs+=("$weight $(printf '%q ' "$@")")
}

# jobs_run COUNT: runs those of the list, at most COUNT at once.
jobs_run() {
	local count=$1 running=0 sorted weight command
	sorted=$(printf '%s\n' "${jobs[@]}" | sort -s -k 1,1nr)
	trap jobs_end EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	while read -r weight command; do
		[ -n "$command" ] || continue
		if [ $running -ge "$count" ]; then
			wait -n || :
			running=$((running - 1))
		fi
		(trap - EXIT INT TERM HUP; eval "$command") </dev/null &
		running=$((running + 1))
	done <<<"$sorted"
	wait || :
	trap - EXIT INT TERM HUP
	jobs=()
}

jobs_end() {
	jobs -p | xargs -r kill 2>/dev/null || :
	wait || :
}
