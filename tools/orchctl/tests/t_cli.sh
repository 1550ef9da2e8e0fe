#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The command line without a daemon: exit codes, help, messages, completion.
set -u
cd "$(dirname "$0")" || exit 1
top=$PWD/../../..
orchctl=$PWD/../orchctl
mount=$PWD/../../mount.orchfs
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
export ORCHD_SOCKET="$dir/none" ORCHD_STATE_DIR="$dir/state"
passed=0
failed=0

try() {	# RC TEXT COMMAND...
	want=$1
	text=$2
	shift 2
	"$@" >"$dir/out" 2>&1
	rc=$?
	if [ $rc = "$want" ] &&
	    { [ -z "$text" ] || grep -qF -- "$text" "$dir/out"; }; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAIL ($rc, not $want, or no '$text'): $*"
		sed 's/^/    /' "$dir/out"
	fi
}

try 2 "Usage:" "$orchctl"
try 0 "Usage:" "$orchctl" --help
try 2 "no command 'nonsense'" "$orchctl" nonsense
try 2 "which of these" "$orchctl" volume
try 0 "volume list" "$orchctl" volume --help
try 2 "volume has no 'nonsense'" "$orchctl" volume nonsense
try 3 "start it with 'systemctl start orchd'" "$orchctl" status
try 3 "no daemon at $dir/other" "$orchctl" status --socket "$dir/other"
try 3 "no daemon" "$orchctl" volume list --json
try 3 "no daemon" "$orchctl" sync
try 3 "no daemon" "$orchctl" stop
try 3 "no daemon" "$orchctl" where 5
try 3 "no daemon" "$orchctl" backup "$dir/backup"
try 2 "too many arguments" "$orchctl" status now
try 2 "something is missing" "$orchctl" volume add name
try 2 "is not a size" "$orchctl" volume add name "$dir" --reserve lots
try 2 "is not a number" "$orchctl" volume add name "$dir" --tier one
try 2 "at most 255" "$orchctl" volume add name "$dir" --tier 256
try 2 "is no name" "$orchctl" volume add a/b "$dir"
try 1 "is not on orchfs" "$orchctl" where /proc/self/status
try 1 "No such file" "$orchctl" where ./missing
try 2 "no inode 0" "$orchctl" where 0
try 2 "is no name" "$orchctl" init a:b
try 2 "--namespace NAME is needed" "$orchctl" restore "$dir/backup"
try 1 "name a file that 'orchctl backup' wrote" \
	"$orchctl" restore "$dir/backup" --namespace orch
try 2 "not both" "$orchctl" fsck name --store "$dir"
try 1 "is no store" "$orchctl" fsck missing
try 2 "unrecognized option" "$orchctl" status --nonsense
# A failed backup leaves nothing behind.
try 1 "nothing" sh -c "ls '$dir'/backup* 2>/dev/null || { echo nothing; exit 1; }"
# An orchd that fails, and one that is not there.
printf '#!/bin/sh\necho "orchd: no" >&2\nexit 1\n' >"$dir/orchd"
chmod +x "$dir/orchd"
try 1 "orchd: no" env ORCHD="$dir/orchd" "$orchctl" init orch
try 1 "install orchd" env ORCHD="$dir/missing" "$orchctl" init orch
try 1 "could not be written" sh -c "'$orchctl' --help >/dev/full"

# Without the module; where it is loaded, the rig tests these.
if ! grep -q orchfs /proc/filesystems; then
	try 1 "modprobe orchfs" "$orchctl" mounts
	try 1 "modprobe orchfs" "$orchctl" upcalls --kind total
	try 32 "modprobe orchfs" "$mount" orch "$dir"
fi
try 1 "Usage:" "$mount"
try 0 "upcall_timeout=SECONDS" "$mount" --help
try 0 "Usage:" "$mount" -h
try 1 "NAMESPACE:/DIR" "$mount" /dev/sda "$dir"
try 0 "" "$mount" -f -n -s orch "$dir" -o rw,noatime,_netdev,x-systemd.automount
# ro 1, nosuid 2, noexec 8, noatime 0x10 of 0x70.
try 0 "mounting orch on $dir, attributes 0x11 of 0x71 upcall_timeout=5 sync" \
	"$mount" -fv orch "$dir" \
	-o rw,ro,noatime,_netdev,,upcall_timeout=5,x-a.b=c,sync
try 0 "attributes 0x1 of 0x1 context=a:b:c,d" \
	"$mount" -fv orch "$dir" -o 'context="a:b:c,d",ro'
try 0 "remounting orch on $dir, attributes 0x2 of 0xa" \
	"$mount" -fv orch "$dir" -o remount,noexec,nosuid,exec
try 1 "Usage:" "$mount" -q orch "$dir"

# Every command has help, a place in the man page and in the completion.
"$orchctl" --help | sed -n 's/^  \([a-z][a-z ]*[a-z]\).*/\1/p' |
while read -r area verb rest; do
	case "$area" in
	volume | jobs | cluster | node) echo "$area $verb" ;;
	*) echo "$area" ;;
	esac
done >"$dir/commands"
while read -r command; do
	# shellcheck disable=SC2086
	try 0 "Options:" "$orchctl" $command --help
	try 0 "$command" cat "$top/Documentation/man/orchctl.8"
	# shellcheck disable=SC2046
	words=$(bash -c '. "$1"; COMP_WORDS=(orchctl "${@:2}")
		COMP_CWORD=$(($# - 1)); _orchctl; echo "${COMPREPLY[*]}"' - \
		"$PWD/../../completion/orchctl" $(echo "$command" |
		sed 's/..$//'))
	try 0 "${command##* }" echo "$words"
done <"$dir/commands"

echo "$passed passed, $failed failed"
[ $failed = 0 ]
