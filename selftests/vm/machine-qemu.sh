# SPDX-License-Identifier: Apache-2.0
# Sourced by vm: the emulated machine.
# shellcheck shell=bash

machine_drives=()
machine_signal=TERM

# machine_drive NUMBER FILE MODE: an NVMe namespace of that number.
machine_drive() {
	local options
	case $3 in
	# kept as it is, and other kinds of machine may lock it
	snapshot) options=snapshot=on,file.locking=off ;;
	readonly) options=readonly=on ;;
	*) options=discard=unmap ;;
	esac
	machine_drives+=(-drive
		"if=none,id=d$1,format=raw,file=${2//,/,,},$options"
		-device "nvme-ns,drive=d$1,bus=nvme,nsid=$1")
}

# The guest can't measure its clock's frequency while the host is busy, so it
# is told.
clock_args() {
	local khz tool=$ORCHFS_ROOT/selftests/bin/tsckhz
	(
		cache_lock 7 build-user
		make -s -C "$ORCHFS_ROOT/selftests/src" ../bin/tsckhz
	) 7>&- >&2
	khz=$("$tool")
	echo "tsc=reliable clocksource=tsc tsc_early_khz=$khz"
}

kernel_line() {
	local append
	append="root=$GUEST_ROOT rootwait rw init=/orch-stub console=ttyS0"
	append+=" loglevel=5"
	append+=" panic=-1 mitigations=off no_timer_check"
	if [ $icount = 1 ]; then
		append+=" tsc=reliable clocksource=tsc"
	else
		append+=" $(clock_args)"
	fi
	echo "$append log_buf_len=4M oops=panic ${ORCH_VM_APPEND:-}"
}

# Three one-way ports: the command's output, its errors, and control lines.
port_args() {
	local name
	for name in out err ctl; do
		machine_command+=(
			-chardev "file,id=$name,path=$work/$name"
			-device "virtserialport,chardev=$name,name=orch.$name")
	done
	if [ $shell = 1 ]; then
		machine_command+=(-chardev stdio,id=tty,signal=off
			-device virtconsole,chardev=tty)
	fi
}

# Sets the array machine_command. The drives are there already.
machine_prepare() {
	local image append
	append=$(kernel_line)
	image=$(kernel_image)
	[ "$kernel" = stock ] || image=$(debug_kernel_image)
	qemu_command
	machine_command=(env "TMPDIR=$work" "${QEMU[@]}"
		-machine q35 -m "$mem" -smp "$cpus" -cpu "max,-erms,-fsrm,-la57"
		-nodefaults -no-user-config -display none -no-reboot
		-kernel "$image" -append "$append"
		-serial "file:$work/console.log"
		-device nvme,id=nvme,serial=orchfs,max_ioqpairs=8
		-device virtio-serial-pci)
	if [ $icount = 1 ]; then
		machine_command+=(-icount "shift=0,sleep=off"
			-accel tcg,tb-size=512)
	else
		machine_command+=(-accel tcg,thread=multi,tb-size=512)
	fi
	machine_command+=("${machine_drives[@]}")
	port_args
}
