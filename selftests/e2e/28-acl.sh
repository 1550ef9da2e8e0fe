#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# timeout: 300
# POSIX ACLs: what XFS does, at the price of the budgets.
. "$(dirname "$0")/lib.sh"

may() {
	local who=$1
	shift
	if setpriv --reuid="$who" --regid="$who" --clear-groups -- \
		"$@" >/dev/null 2>&1; then
		echo "$who may: $*"
	else
		echo "$who may not: $*"
	fi
}

show() {
	getfacl -n "$@"
	stat -c '%n %a %u %g' "$@"
}

# In an empty folder: prints what there is to compare.
acls() {
	umask 022
	echo text >f
	chmod 640 f
	setfacl -m u:1000:r,u:1001:rw,g:50:r f
	show f
	may 1000 cat f
	may 1000 sh -c 'echo >>f'
	may 1001 sh -c 'echo more >>f'
	may 1002 cat f
	may 50 cat f
	echo "-- chmod is the mask"
	chmod 600 f
	show f
	may 1000 cat f
	chmod 666 f
	show f
	chmod 4755 f
	chown 1000:1000 f
	show f
	setfacl -m m::r f
	show f
	may 1001 sh -c 'echo more >>f'
	echo "-- no more than a mode"
	setfacl -b f
	show f
	setfacl -m u::rwx,g::r-x,o::--- f
	show f
	! getfattr -d -m - f | grep acl || echo "not removed"
	echo "-- inherited"
	mkdir d
	chmod 777 d
	setfacl -d -m u::rwx,u:1000:rwx,g::r-x,g:50:rwx,m::rwx,o::r-- d
	show d
	for mask in 000 022 077; do
		(umask $mask
		 mkdir "d/dir$mask"
		 : >"d/file$mask"
		 mkfifo "d/fifo$mask"
		 ln -s x "d/link$mask"
		 cp f "d/copy$mask")
		show d/*"$mask"
	done
	(umask 077 && mkdir -m 700 d/narrow && mkdir -m 777 d/wide)
	show d/narrow d/wide
	may 1000 sh -c 'touch d/wide/by-user && rm d/wide/by-user'
	may 1000 touch d/narrow/by-user
	may 1002 ls d/wide
	may 1002 touch d/wide/x
	mkdir d/wide/deeper
	show d/wide/deeper
	setfacl -k d/wide
	mkdir d/wide/plain
	show d/wide d/wide/plain
	echo "-- setgid of a foreign group"
	: >g
	chown 1000:2000 g
	chmod 2755 g
	may 1000 setfacl -m u:7:r g
	show g
	echo "-- who may"
	may 1001 setfacl -m u:1001:rwx f
	may 1000 setfacl -m u:1001:rwx f
	may 1000 setfacl -d -m u:1001:rwx f
	ln -s f l
	setfacl -m u:9:r l
	show f
	getfattr -h -d -m - l
	echo "-- many entries"
	seq -f 'u:%.0f:r' 2000 2999 | setfacl -M - f
	getfacl -n f | sha256sum
	setfacl -b f
	show f
	cp -a d copied
	show copied copied/wide
	umask 022
}

measure=$(mktemp -d "$ORCH_VOLUME_MNT/acl.XXXXXX")
at_exit "rm -rf $measure"
chmod 755 "$measure"
(trap - ERR; set +e; cd "$measure" && acls) >/tmp/acl.xfs 2>&1
mkdir rules
(trap - ERR; set +e; cd rules && acls) >/tmp/acl.orch 2>&1
diff /tmp/acl.xfs /tmp/acl.orch || fail "it isn't what XFS does"
[ "$(wc -l </tmp/acl.orch)" -gt 300 ] || fail "too little was compared"

note "entries beyond the limit"
for dir in "$measure" "$TEST_DIR"; do
	: >"$dir/many"
	refused "Argument list too long" setfacl -M \
		<(seq -f 'u:%.0f:r' 10000 15500) "$dir/many"
	setfacl -M <(seq -f 'u:%.0f:r' 10000 15450) "$dir/many"
done
is "$(getfacl -cn many | sha256sum)" \
	"$(getfacl -cn "$measure/many" | sha256sum)" "an ACL of many entries"

note "nothing cached, and after a restart"
getfacl -Rn rules >/tmp/acl.before
drop_caches
getfacl -Rn rules >/tmp/acl.after
diff /tmp/acl.before /tmp/acl.after || fail "ACLs changed without a cache"
orch-kill
getfacl -Rn rules >/tmp/acl.after
diff /tmp/acl.before /tmp/acl.after || fail "ACLs changed by a restart"

note "upcalls"
mkdir plain acl
: >plain/f
setfacl -d -m u:1000:rwx acl
setfacl -m u:1000:rwx acl
: >acl/f
chmod 755 . plain
# the way here is looked up anew after the restart
stat . "$PWD" >/dev/null
costs 0 as_user cat plain/f
costs 0 getfacl plain plain/f >/dev/null
costs 1 setfacl -m u:1000:rw plain/f
costs 0 getfacl plain/f >/dev/null
costs 0 as_user cat plain/f
costs 1 chmod 640 plain/f
costs 0 as_user cat plain/f
costs 1 setfacl -b plain/f
costs 0 getfacl plain/f >/dev/null
costs 1 mkdir acl/dir
costs 0 getfacl acl/dir >/dev/null
costs 1 touch -c acl/f
costs 1 sh -c ': >acl/new'
costs 0 getfacl acl/new >/dev/null
costs 0 as_user test -w acl/new
drop_caches
as_user test -w acl/new
costs 0 as_user test -w acl/new
fsck_clean
