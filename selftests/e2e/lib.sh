# SPDX-License-Identifier: Apache-2.0
# Sourced by the end-to-end tests, which run in the emulated machine in an
# empty folder of the mounted namespace ($TEST_DIR).
# shellcheck shell=bash

set -euo pipefail
. /inject/lib.sh

SELFTESTS=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
PATH=$SELFTESTS/bin:$PATH

# Says where a command failed; a bare `exit status 1` helps nobody.
trap 'echo "$BASH_SOURCE:$LINENO: failed: $BASH_COMMAND" >&2' ERR

LONG=${ORCH_LONG:-0}

# The seed of the run and of this test: the same seed repeats the test.
SEED=${ORCH_SEED:-1}

note() {
	printf '%s\n' "$*"
}

fail() {
	printf 'FAIL: %s\n' "$*" >&2
	exit 1
}

skip() {
	printf 'SKIP: %s\n' "$*"
	exit 4
}

# is ACTUAL EXPECTED WHAT
is() {
	[ "$1" = "$2" ] || fail "$3: got '$1', want '$2'"
}

# refused ERRTEXT COMMAND...: COMMAND must fail and say ERRTEXT.
refused() {
	local text=$1 out
	shift
	if out=$("$@" 2>&1); then
		fail "'$*' succeeded, want an error with '$text'"
	fi
	[[ $out == *"$text"* ]] ||
		fail "'$*' failed with '$out', want an error with '$text'"
}

# refused_soon SECONDS ERRTEXT COMMAND...: and it must not hang.
refused_soon() {
	local seconds=$1 text=$2 out status=0
	shift 2
	out=$(timeout -k 5 "$seconds" "$@" 2>&1) || status=$?
	[ $status != 124 ] && [ $status != 137 ] ||
		fail "'$*' hangs, want an error with '$text'"
	[ $status != 0 ] || fail "'$*' succeeded, want an error with '$text'"
	[[ $out == *"$text"* ]] ||
		fail "'$*' failed with '$out', want an error with '$text'"
}

# soon SECONDS COMMAND...: COMMAND must succeed within that time.
soon() {
	local seconds=$1 status=0
	shift
	timeout -k 5 "$seconds" "$@" || status=$?
	[ $status != 124 ] && [ $status != 137 ] || fail "'$*' hangs"
	[ $status = 0 ] || fail "'$*' fails with status $status"
}

# long_or LONG SHORT [DEBUG]: how much to do; on the debug kernel, which is
# many times slower, DEBUG or else SHORT.
long_or() {
	if [ "$LONG" = 1 ]; then
		echo "$1"
	elif [ "$ORCH_KERNEL" = debug ]; then
		echo "${3:-$2}"
	else
		echo "$2"
	fi
}

# usual_timeout: as the machine's start has it.
usual_timeout() {
	mount -o "remount,upcall_timeout=$(long_or 60 60 600)" "$ORCH_MNT"
}

# upcalls [KIND]: how many requests of that kind (or of all) the kernel has
# sent to the daemon since the mount.
upcalls() {
	orchctl upcalls --namespace "$ORCH_NAMESPACE" --kind "${1:-total}"
}

# costs MAX COMMAND...: COMMAND makes at most MAX upcalls.
costs() {
	local max=$1 before after
	shift
	before=$(orchctl upcalls --namespace "$ORCH_NAMESPACE")
	"$@"
	after=$(orchctl upcalls --namespace "$ORCH_NAMESPACE")
	awk -v max="$max" -v what="$*" '
		NF != 3 || $2 !~ /^[0-9]+$/ || $1 ~ /^note-/ { next }
		NR == FNR { had[$1] = $2; next }
		$2 > had[$1] + 0 { made[$1] = $2 - had[$1] }
		END {
			if (made["total"] <= max)
				exit 0
			printf "FAIL: \047%s\047 made these upcalls:", what
			for (kind in made)
				printf " %s %d", kind, made[kind]
			printf ", the budget is %d\n", max
			exit 1
		}' <(echo "$before") <(echo "$after") >&2 || exit 1
}

# node_dir K: the test's folder through node K's mount.
node_dir() {
	echo "/mnt/orch${1#1}/${TEST_DIR##*/}"
}

# at_node K COMMAND...: in that folder, with node K's daemon for orchctl and
# costs.
at_node() {
	local k=$1
	shift
	(
		node_env "$k"
		cd "$(node_dir "$k")"
		"$@"
	)
}

fsck_clean() {
	orchctl fsck "$@" || fail "orchctl fsck $* found faults"
}

# json_first MEMBER: the value of the first member of that name in what orchctl
# prints. Starting Python for it takes half a second here. Doesn't undo escapes.
json_first() {
	local text
	IFS= read -r -d '' text || :
	[[ $text =~ \"$1\":\ *(\"([^\"]*)\"|[^\",[:space:]]+) ]] ||
		fail "no member '$1' in '$text'"
	if [[ ${BASH_REMATCH[1]} == \"* ]]; then
		printf '%s\n' "${BASH_REMATCH[2]}"
	else
		printf '%s\n' "${BASH_REMATCH[1]}"
	fi
}

# What the kernel says of the namespace: state, waiting, opens.
kernel_says() {
	orchctl mounts --json --namespace "${2:-$ORCH_NAMESPACE}" |
		json_first "$1"
}

kernel_says_is() {
	[ "$(kernel_says "$1")" = "$2" ]
}

# volume_says VOLUME MEMBER
volume_says() {
	orchctl volume show --json "$1" | json_first "$2"
}

volume_is() {
	[ "$(volume_says "$1" state)" = "$2" ]
}

# volume_of FILE
volume_of() {
	orchctl where --json "$1" | json_first volume
}

# places FILE: "volume state" of each instance, in one line
places() {
	orchctl where --json "$1" | awk -F '"' '
		$2 == "volume" { volume = $4 }
		$2 == "state" {
			printf "%s%s %s", n++ ? ", " : "", volume, $4
		}
		END { print "" }'
}

at_least() {
	[ "$("${@:2}")" -ge "$1" ]
}

# Process PID sleeps in the kernel.
asleep() {
	case $(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -c 1) in
	S | D) return 0 ;;
	esac
	return 1
}

# A request of ours waits for a daemon.
request_waits() {
	wait_until 60 "a request that waits" at_least "${1:-1}" \
		kernel_says waiting
}

ended() {
	! kill -0 "$1" 2>/dev/null
}

drop_caches() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
}

# as_user COMMAND...: as an ordinary user.
as_user() {
	setpriv --reuid=1000 --regid=1000 --clear-groups -- "$@"
}

at_exit_commands=()
at_exit() {
	at_exit_commands=("$*" "${at_exit_commands[@]}")
	trap run_at_exit EXIT
}

run_at_exit() {
	local status=$? command
	trap - ERR
	set +e
	cd /
	for command in "${at_exit_commands[@]}"; do
		eval "$command"
	done
	exit $status
}

# memory_drive NAME SIZE_MB: makes the block device /dev/NAME in memory.
memory_drive() {
	local dir=/sys/kernel/config/nullb/$1
	[ -d /sys/module/null_blk ] || modprobe null_blk nr_devices=0
	mkdir -p /sys/kernel/config
	mountpoint -q /sys/kernel/config ||
		mount -t configfs configfs /sys/kernel/config
	mkdir "$dir"
	echo "$2" >"$dir/size"
	echo 1 >"$dir/memory_backed"
	echo 1 >"$dir/power"
	wait_until 20 "/dev/$1" test -b "/dev/$1"
}
