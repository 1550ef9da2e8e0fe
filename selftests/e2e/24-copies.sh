#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# debug: no: programs above what the others cover
# timeout: 600
# Whole trees: rsync onto orchfs, again, and away from it; tar to tar. What a
# second rsync finds to do and what the comparison of two listings shows must
# be nothing.
. "$(dirname "$0")/lib.sh"

source=$ORCH_VOLUME_MNT/copies
mkdir "$source"
at_exit "rm -rf $source"

# listing DIR: what must be equal but contents, which diff compares.
listing() {
	(cd "$1" && find . -printf '%p %y %m %U:%G %n %T@ %l\n' | sort &&
		find . \( -type b -o -type c \) -exec stat -c '%n %t:%T' {} +) \
		>"$2.names"
	# the size of a folder is the file system's own affair
	(cd "$1" && find . -type f -printf '%p %s\n' | sort) >"$2.sizes"
	(cd "$1" && getfattr -R -h -d -m '^(user|security)\.' -e hex . |
		awk 'BEGIN { RS = "" } { print | "sort" }') >"$2.xattrs"
	# files of one inode, by their first name
	(cd "$1" && find . -type f -links +1 -printf '%i %p\n' | sort -k 2 |
		awk '!($1 in f) { f[$1] = $2 } { print f[$1], $2 }') >"$2.links"
}

same() {
	local part
	listing "$1" /tmp/list.a
	listing "$2" /tmp/list.b
	for part in names sizes xattrs links; do
		diff /tmp/list.a.$part /tmp/list.b.$part | head -n 20 || :
		cmp -s /tmp/list.a.$part /tmp/list.b.$part ||
			fail "$1 and $2 differ in $part"
	done
	# to diff, two of these are different in any case
	diff -r --no-dereference "$1" "$2" >/tmp/list.diff 2>&1 || :
	! grep -vE 'is a (fifo|character special file)$' /tmp/list.diff |
		head -n 20 | grep . || fail "$1 and $2 differ"
}

note "a tree with one of each"
tree=$source/tree
mkdir "$tree"
cp -a /usr/lib/python3*/json /etc "$tree/"
mkdir -p "$tree/odd/"$'n\new line'/"$(printf 'x%.0s' {1..250})"
(
	cd "$tree/odd"
	echo one >one
	ln one two
	ln one ../three
	ln -s one symbolic
	ln -s "$(printf 'y%.0s' {1..1000})" dangling
	mkfifo fifo
	mknod null c 1 3
	truncate -s 8M sparse
	echo end >>sparse
	: >empty
	printf 'not UTF-8' >$'\xff\xfe'
	echo ' ' >' leading and trailing '
	echo s >setuid && chmod 4755 setuid
	mkdir sticky setgid && chmod 1777 sticky && chmod 2775 setgid
	echo none >none && chmod 0 none
	echo user >user && chown 1000:1001 user
	setfattr -n user.comment -v "a value" one
	setfattr -n user.long -v "$(printf 'z%.0s' {1..3000})" empty
	setfattr -n user.dir -v 1 setgid
	echo cap >cap && setcap cap_net_raw+ep cap
	touch -d '1969-12-31 23:59:58.123456789 UTC' old
	touch -d '2100-01-01 00:00:00.987654321 UTC' new
	touch -h -d '2001-02-03 04:05:06.7 UTC' symbolic
	touch -d '2002-03-04 05:06:07.8 UTC' sticky
)
acls=()
: >acl-probe
if setfacl -m u:1234:r acl-probe 2>/dev/null; then
	acls=(--acls)
	setfacl -m u:1000:rw,g:1001:r,m::rw "$tree/odd/user"
	setfacl -d -m u:1000:rwx "$tree/odd/setgid"
fi
rm acl-probe

note "rsync${acls:+ with ACLs}"
# without the window it takes times of one second for equal
options=(--archive --hard-links --xattrs --sparse --numeric-ids
	--modify-window=-1 "${acls[@]}")
rsync "${options[@]}" "$tree/" copy/
same "$tree" copy
[ "$(stat -c %b copy/odd/sparse)" -lt 64 ] || fail "the copy is not sparse"
is "$(rsync "${options[@]}" --itemize-changes "$tree/" copy/)" "" \
	"what a second rsync does"
is "$(rsync "${options[@]}" --itemize-changes --checksum --delete "$tree/" copy/)" \
	"" "what rsync by checksum does"

note "after changes only these are copied, and the other way"
echo more >>"$tree/odd/one"
rm "$tree/odd/empty"
chmod 640 "$tree/odd/old"
mv "$tree/json" "$tree/JSON"
rsync "${options[@]}" --delete "$tree/" copy/
same "$tree" copy
rsync "${options[@]}" --inplace --no-sparse copy/ "$source/back/"
same copy "$source/back"
mkdir clone
rsync "${options[@]}" --link-dest=../copy copy/ clone/
is "$(rsync "${options[@]}" --itemize-changes copy/ clone/)" "" \
	"what rsync does after --link-dest"
rm -rf clone

note "tar to tar"
large=$(echo /usr/src/linux-headers-*-common)
parts=(include/uapi)
[ "$LONG" = 0 ] || parts=(arch include)
mkdir t t2
tar_args=(--xattrs --xattrs-include='*' "${acls[@]}" --numeric-owner --sort=name)
tar -C "$large" -cf - "${parts[@]}" | tar -C t "${tar_args[@]}" -xpf -
for part in "${parts[@]}"; do
	same "$large/$part" "t/$part"
done
cp -a "$tree/odd" t/
tar -C t "${tar_args[@]}" -cf - . | tar -C t2 "${tar_args[@]}" -xpf -
same t t2
archive() {
	tar -C "$1" "${tar_args[@]}" --format=posix --mtime=@0 -cf - \
		--pax-option='exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime' .
}
is "$(archive t | sha256sum)" "$(archive t2 | sha256sum)" "archives of both"
soon 120 rm -rf t t2 copy
