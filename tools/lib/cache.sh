# SPDX-License-Identifier: Apache-2.0
# Sourced by the tools: the cache of everything that is costly to make.
#
# An entry is a folder $ORCHFS_CACHE/NAME, built aside and renamed into place,
# with two files next to it: NAME.sha256 (contents) and NAME.stat (sizes and
# times). A use compares the cheap list, once a day the contents; an entry that
# differs is built again. Builders hold the entry's lock, so that two
# runs at once build it once.
# shellcheck shell=bash

cache_list_sums() {
	(cd "$1" && find . -xdev -type f -print0 | LC_ALL=C sort -z |
		xargs -0 -r sha256sum)
}

cache_list_stat() {
	(cd "$1" && find . -xdev -type f -printf '%P %s %T@\n' |
		LC_ALL=C sort | sha256sum)
}

# cache_valid NAME: sizes and times each time, the contents once a day.
cache_valid() {
	local dir=$ORCHFS_CACHE/$1
	[ -d "$dir" ] && [ -s "$dir.stat" ] && [ -s "$dir.sha256" ] || return 1
	[ "$(cache_list_stat "$dir")" = "$(cat "$dir.stat")" ] || return 1
	[ -z "$(find "$dir.verified" -mmin -1440 2>/dev/null)" ] || return 0
	(cd "$dir" && sha256sum --quiet --strict -c "$dir.sha256") \
		>/dev/null 2>&1 || return 1
	touch "$dir.verified"
}

cache_drop() {
	local dir=$ORCHFS_CACHE/$1
	rm -f "$dir.stat" "$dir.sha256" "$dir.verified"
	rm -rf --one-file-system "$dir"
}

# cache_prune NAME: entries beside NAME that nobody has used for two weeks go.
cache_prune() {
	local file
	find "$(dirname "$ORCHFS_CACHE/$1")" -maxdepth 1 -name '*.verified' \
		-mtime +14 | while read -r file; do
		file=${file#"$ORCHFS_CACHE/"}
		cache_drop "${file%.verified}"
	done
}

# cache_build NAME BUILDER [ARG...]: runs `BUILDER DIR ARG...` to fill DIR,
# unless the entry is there already. With CACHE_RESUME=1 DIR still holds what
# an interrupted build has done.
cache_build() {
	local name=$1 dir=$ORCHFS_CACHE/$1 tmp builder=$2 rc
	shift 2
	! cache_valid "$name" || return 0
	mkdir -p "$ORCHFS_CACHE/locks" "$(dirname "$dir")"
	# not `( ... ) || die`: that would turn errexit off inside
	set +e
	(
		set -e
		cache_lock 9 "$name"
		! cache_valid "$name" || exit 0
		cache_drop "$name"
		tmp=$dir.tmp
		[ "${CACHE_RESUME:-0}" = 1 ] ||
			rm -rf --one-file-system "$tmp"
		mkdir -p "$tmp"
		"$builder" "$tmp" "$@" 9>&-
		cache_list_sums "$tmp" >"$dir.sha256"
		mv -T "$tmp" "$dir"
		touch "$dir.verified"
		cache_list_stat "$dir" >"$dir.stat"
		cache_prune "$name"
	)
	rc=$?
	set -e
	[ "$rc" = 0 ] || die "could not build the cache entry '$name': run" \
		"again; if that fails too, remove $dir*"
	cache_valid "$name" ||
		die "cache entry '$name' changed while it was built: run again"
}

# cache_lock FD NAME: waits, and says so once.
cache_lock() {
	local file=$ORCHFS_CACHE/locks/${2//\//_}.lock
	mkdir -p "$ORCHFS_CACHE/locks"
	eval "exec $1>\"\$file\""
	flock -n "$1" || {
		say "  waiting for another run that is preparing '$2'"
		flock "$1"
	}
}
