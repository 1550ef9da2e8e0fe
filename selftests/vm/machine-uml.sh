# SPDX-License-Identifier: Apache-2.0
# Sourced by vm: User Mode Linux as the machine.
# shellcheck shell=bash

machine_drives=()
# at others it takes itself down, with many words in the kernel's log
machine_signal=KILL

# machine_drive NUMBER FILE MODE: ubda is the first. It knows no escape for the
# two characters that separate names.
machine_drive() {
	local unit=$(($1 - 1))
	[[ $2$work != *[,:\ ]* ]] || bad_usage "--kernel uml takes no" \
		"drive whose name has a comma, colon or blank: '$2'"
	case $3 in
	snapshot) machine_drives+=("ubd$unit=$work/cow$1,$2") ;;
	readonly) machine_drives+=("ubd${unit}r=$2") ;;
	*) machine_drives+=("ubd$unit=$2") ;;
	esac
}

# The guest's memory is a file, which has to be in memory, too. Consoles 1 to 3
# are one-way: the command's output, its errors, and control lines; 4 is the
# terminal.
UML_START='
	mkdir "$1/memory"
	mount -t tmpfs -o size=0,mode=700 tmpfs "$1/memory" || exit 1
	export TMPDIR="$1/memory"
	exec 6>"$1/console.log" 7>"$1/out" 8>"$1/err" 9>"$1/ctl"
	shift
	ulimit -c 0
	exec "$@"'

# Sets the array machine_command. The drives are there already.
machine_prepare() {
	machine_command=(unshare --mount -- sh -c "$UML_START" sh "$work"
		"$(uml_dir vm)/linux" "mem=$mem" "${machine_drives[@]}"
		"root=$GUEST_ROOT" rw noreboot panic=-1 oops=panic
		loglevel=5 log_buf_len=4M null_blk.nr_devices=0 "uml_dir=$work/" umid=machine
		con=null ssl=null con0=null,fd:6 con1=null,fd:7 con2=null,fd:8
		con3=null,fd:9)
	[ $shell = 0 ] || machine_command+=(con4=fd:0,fd:1)
	# shellcheck disable=SC2206
	machine_command+=(${ORCH_VM_APPEND:-} init=/bin/bash -- -c "\"$(uml_init)\"")
}

# What the image's own first program does for the emulated machine.
uml_init() {
	echo "export PATH=/usr/sbin:/usr/bin:/sbin:/bin;" \
		"mount -t proc proc /proc; mount -t sysfs sysfs /sys;" \
		"mount -t ext4 -o ro /dev/ubdb /inject; exec /inject/init"
}
