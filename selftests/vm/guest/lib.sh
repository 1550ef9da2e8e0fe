# SPDX-License-Identifier: Apache-2.0
# Sourced by everything that runs in the emulated machine.
# shellcheck shell=bash

# shellcheck disable=SC1091
. /inject/config

# drive N: the device of the machine's N-th drive; kernel names depend on the
# order of probing, the namespaces' numbers do not. User Mode Linux has letters.
drive() {
	local file letters=abcdefghijklmnop
	if [ "$UML" = 1 ]; then
		echo "/dev/ubd${letters:$1 - 1:1}"
		return
	fi
	file=$(grep -lx "$1" /sys/class/block/nvme0n*/nsid) || return 1
	echo "/dev/$(basename "$(dirname "$file")")"
}

# node_env K: where node K keeps its things. Node 1 uses the plain paths that
# a real server would use; each further node has its number appended.
node_env() {
	local k=$1 suffix=
	[ "$k" = 1 ] || suffix=$k
	export ORCH_NODE=$k
	export ORCH_NAMESPACE=orch
	export ORCH_MNT=/mnt/orch$suffix
	ORCH_VOLUME=nvme$((k - 1))
	[ "$VOLUMES" = 0 ] || [ "$k" = 1 ] || ORCH_VOLUME=node$k
	export ORCH_VOLUME
	export ORCH_VOLUME_MNT=/mnt/nvme$((k - 1))
	export ORCH_STATE=/var/lib/orchd$suffix
	export ORCHD_STATE_DIR=$ORCH_STATE
	export ORCHD_SOCKET=/run/orchd$suffix/control
	export ORCH_LOG=/var/log/orchd$suffix.log
	export ORCH_PIDFILE=/run/orchd$suffix/pid
	if [ -z "${ORCH_VOLUME_DEV:-}" ] || [ "$k" != 1 ]; then
		ORCH_VOLUME_DEV=$(drive "${VOLUME_DRIVES[k - 1]}")
		ORCH_STORE_DEV=$(drive "${STORE_DRIVES[k - 1]}")
		export ORCH_VOLUME_DEV ORCH_STORE_DEV
	fi
}

# in_node K COMMAND...: in node K's network. Only the network differs, so
# mounts made there are seen everywhere.
in_node() {
	local k=$1
	shift
	if [ "$k" = 1 ]; then
		"$@"
	else
		nsenter --net="/run/netns/node$k" -- "$@"
	fi
}

exec_in_node() {
	local k=$1
	shift
	if [ "$k" = 1 ]; then
		exec "$@"
	else
		exec nsenter --net="/run/netns/node$k" -- "$@"
	fi
}

# wait_until SECONDS "what" COMMAND...: polls for a condition.
wait_until() {
	local deadline=$((SECONDS + $1)) what=$2
	shift 2
	until "$@"; do
		if [ "$SECONDS" -ge "$deadline" ]; then
			echo "timed out waiting for $what" >&2
			return 1
		fi
		sleep 0.05
	done
}

daemon_pid() {
	local pid
	pid=$(cat "$ORCH_PIDFILE" 2>/dev/null) || return 1
	kill -0 "$pid" 2>/dev/null && echo "$pid"
}

daemon_gone() {
	! kill -0 "$1" 2>/dev/null
}

mount_drives() {
	mkdir -p "$ORCH_VOLUME_MNT" "$ORCH_STATE"
	mountpoint -q "$ORCH_VOLUME_MNT" ||
		mount "$ORCH_VOLUME_DEV" "$ORCH_VOLUME_MNT"
	mountpoint -q "$ORCH_STATE" || mount "$ORCH_STORE_DEV" "$ORCH_STATE"
}

# The daemon says READY=1 on a descriptor when it serves; end of file there
# means that it gave up.
daemon_start() {
	local fifo=/run/orchd-ready.$$ line pid
	mkdir -p "$(dirname "$ORCHD_SOCKET")"
	[ -z "$(daemon_pid)" ] || return 0
	mkfifo "$fifo"
	exec 7<>"$fifo"
	# one process from here to orchd, so that $! is its number
	{
		cd /	# nor does it keep what the caller has open
		exec_in_node "$ORCH_NODE" setsid orchd -f --ready-fd 8
	} 3>&- 4>&- 5>&- 6>&- 8>&7 7>&- 9>&- >>"$ORCH_LOG" 2>&1 </dev/null &
	pid=$!
	exec 6<"$fifo" 7>&-
	rm -f "$fifo"
	echo "$pid" >"$ORCH_PIDFILE"
	if ! read -r -t "${ORCH_READY_TIMEOUT:-120}" -u 6 line; then
		echo "orchd of node $ORCH_NODE did not become ready:" >&2
		tail -n 40 "$ORCH_LOG" >&2
		exec 6<&-
		return 1
	fi
	exec 6<&-
	[ "$line" = READY=1 ]
}

daemon_signal() {
	local pid
	pid=$(daemon_pid) || return 0
	kill -s "$1" "$pid" 2>/dev/null || return 0
	wait_until 120 "orchd ($pid) to end after SIG$1" daemon_gone "$pid"
	rm -f "$ORCH_PIDFILE"
}

namespace_create() {
	local store=$ORCH_STATE/$ORCH_NAMESPACE
	[ -e "$store" ] ||
		orchctl init "$ORCH_NAMESPACE" --store "$store" >>"$ORCH_LOG" 2>&1 ||
		{ tail -n 20 "$ORCH_LOG" >&2; return 1; }
}

volume_add() {
	orchctl volume show "$ORCH_VOLUME" --namespace "$ORCH_NAMESPACE" \
		>/dev/null 2>&1 && return 0
	mkdir -p "$ORCH_VOLUME_MNT/orch"
	orchctl volume add "$ORCH_VOLUME" "$ORCH_VOLUME_MNT/orch" \
		--namespace "$ORCH_NAMESPACE" \
		>>"$ORCH_LOG" 2>&1 || { tail -n 20 "$ORCH_LOG" >&2; return 1; }
}

cluster_init() {
	[ -e "$ORCH_STATE/$ORCH_NAMESPACE/cluster/ca.crt" ] ||
		orchctl cluster init "$ORCH_NAMESPACE" --listen 10.77.0.1 \
			--node node1 >>"$ORCH_LOG" 2>&1 ||
		{ tail -n 20 "$ORCH_LOG" >&2; return 1; }
}

agent_connected() {
	orchctl status --json 2>/dev/null |
		grep -q '"connected": *true'
}

# cluster_join: node $ORCH_NODE becomes an agent of node 1.
cluster_join() {
	[ -e "$ORCH_STATE/$ORCH_NAMESPACE/cluster/agent" ] || (
		node_env 1
		orchctl node invite 2>/dev/null
	) | in_node "$ORCH_NODE" orchctl node join - --node "node$ORCH_NODE" \
		--listen "10.77.0.$ORCH_NODE" >>"$ORCH_LOG" 2>&1 ||
		{ tail -n 20 "$ORCH_LOG" >&2; return 1; }
	wait_until 120 "node $ORCH_NODE to be connected" agent_connected
}

namespace_mount() {
	local options=${ORCH_MOUNT_OPTIONS:-}
	# no wait is too long there: everything is many times slower
	[ "$ORCH_KERNEL" != debug ] || options+=${options:+,}upcall_timeout=600
	mkdir -p "$ORCH_MNT"
	mountpoint -q "$ORCH_MNT" || in_node "$ORCH_NODE" \
		mount -t orchfs ${options:+-o "$options"} \
		"$ORCH_NAMESPACE" "$ORCH_MNT"
}

module_load() {
	local module=${ORCH_MODULE:-/inject/modules/orchfs.ko} dep
	[ ! -d /sys/module/orchfs ] || return 0
	for dep in $(modinfo -F depends "$module" | tr ',' ' '); do
		modprobe "$dep" || return 1
	done
	insmod "$module" && mountpoint -q "$ORCH_MNT" || :
	[ -d /sys/module/orchfs ]
}
