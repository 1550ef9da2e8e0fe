#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# long: uml
# vm: --nodes 3 --cluster --cpus 2 --timeout 1500
# timeout: 1200
# Three nodes see one file system: what one has done and returned from, the
# others see, by names, attributes and bytes. Then random operations on all
# three mounts against one model, and what seeing each other costs.
. "$(dirname "$0")/lib.sh"

d2=$(node_dir 2) d3=$(node_dir 3)

# same NAME: the same file to all nodes
same() {
	local k first= other
	for k in 1 2 3; do
		other=$(stat -c '%i %s %f %u %g %h %y %z' "$(node_dir $k)/$1")
		: "${first:=$other}"
		is "$other" "$first" "$1 on node $k"
	done
}

# nowhere NAME
nowhere() {
	local k
	for k in 1 2 3; do
		[ ! -e "$(node_dir $k)/$1" ] || fail "node $k still has $1"
	done
}

# a check of every change repeats what was seen to pass
[ "$LONG" = 1 ] || SEED=7
note "seed $SEED"
note "names and attributes"
nowhere file
echo text >"$d2/file"
is "$(cat "$d3/file")" text "content on node 3"
is "$(cat file)" text "content on node 1"
same file
chmod 640 file
chown 7:8 "$d2/file"
touch -d @1000000000.123456789 "$d3/file"
same file
is "$(stat -c '%a %u %g %.Y' "$d2/file")" "640 7 8 1000000000.123456789" "stat"
mv "$d3/file" "$d3/other"
nowhere file
is "$(cat "$d2/other")" text "content after a rename"
ln "$d2/other" "$d2/another"
same another
setfattr -n user.k -v v1 other
is "$(getfattr --only-values -n user.k "$d3/another")" v1 "xattr on node 3"
setfattr -n user.k -v v2 "$d2/other"
is "$(getfattr --only-values -n user.k "$d3/another")" v2 "xattr on node 3"
ln -s somewhere "$d3/link"
is "$(readlink link) $(readlink "$d2/link")" "somewhere somewhere" "symlink"
mkdir "$d2/dir"
touch "$d3/dir/inside"
refused "not empty" rmdir dir
rm dir/inside
rmdir "$d2/dir"
nowhere dir
is "$(ls "$d2")" "$(ls)" "names on node 2"
is "$(ls "$d3")" "$(ls)" "names on node 3"

note "permissions are everybody's at once"
mkdir -m 755 open
echo open >open/file
as_user cat "$d2/open/file" >/dev/null
chmod 700 "$d3/open"
refused "Permission denied" as_user cat "$d2/open/file"
chmod 755 open
setfacl -m u:1000:--- "$d3/open/file"
refused "Permission denied" as_user cat "$d2/open/file"
refused "Permission denied" as_user cat open/file

note "bytes, through what is open for long"
echo 1 >log
exec 3<>"$d2/log" 4<"$d3/log" 5>>log
read -r line <&4
is "$line" 1 "first line"
echo 2 >&5
read -r line <&4
is "$line" 2 "line of node 1, on node 3"
printf 'x' >&3
is "$(head -n 1 log)" x "byte of node 2, on node 1"
is "$(stat -c %s "$d2/log") $(stat -c %s "$d3/log")" "4 4" "sizes"
truncate -s 2 "$d3/log"
is "$(cat "$d2/log" | od -An -c | tr -d ' ')" 'x\n' "after truncate"
exec 3>&- 4<&- 5>&-
same log
head -c 5000000 /dev/urandom >big
cp "$d2/big" "$d3/big2"
cmp big big2
dd if="$d2/big" of="$d3/big2" bs=128k conv=notrunc oflag=direct \
	iflag=direct status=none
cmp big "$d2/big2"

note "unlinked while open elsewhere"
echo held >held
exec 3<>"$d2/held" 4<"$d3/held"
rm held
nowhere held
is "$(cat <&4)" held "content on node 3"
echo more >&3
is "$(stat -Lc '%h %s' /proc/self/fd/3)" "0 5" "nlink and size on node 2"
exec 4<"$d3/big2"
is "$(dd bs=9 count=1 status=none </proc/self/fd/3)" more "content on node 2"
exec 3>&- 4<&-

note "appends from all, none lost or torn"
for k in 1 2 3; do
	(
		for i in {1..150}; do
			printf '%d %0*d\n' $k $((i % 90 + 3)) "$i" || exit 1
		done >>"$(node_dir $k)/appended"
	) &
	jobs[k]=$!
	(
		for i in {1..40}; do
			echo "$k $i" >>"$(node_dir $k)/reopened" || exit 1
		done
	) &
	jobs[k + 3]=$!
done
for k in {1..6}; do
	wait "${jobs[k]}" || fail "job $k"
done
for k in 1 2 3; do
	is "$(awk '{ print $1, $2 + 0 }' "$(node_dir $k)/appended" | sort)" \
		"$(for j in 1 2 3; do for i in {1..150}; do echo $j $i; done
			done | sort)" "what was appended, on node $k"
	is "$(sort "$(node_dir $k)/reopened")" \
		"$(for j in 1 2 3; do for i in {1..40}; do echo $j $i; done
			done | sort)" "what was appended to it, on node $k"
done

note "O_EXCL, mkdir and rename have one winner"
mkdir claims
for k in 1 2 3; do
	(
		set -C
		cd "$(node_dir $k)/claims"
		for i in {1..30}; do
			{ echo $k >excl$i; } 2>/dev/null && echo excl$i
			mkdir dir$i 2>/dev/null && echo dir$i
			mv -T ../claims/dir$i got$i.$k 2>/dev/null && echo got$i
		done >/tmp/won.$k
		true
	) &
	jobs[k]=$!
done
for k in 1 2 3; do
	wait "${jobs[k]}" || fail "job $k"
done
is "$(cat /tmp/won.* | grep -c excl)" 30 "claimed names"
is "$(ls claims | grep -c excl)" 30 "names"
for k in 1 2 3; do
	while read -r name; do
		is "$(cat "$d2/claims/$name")" $k "$name"
	done < <(grep excl /tmp/won.$k)
done
is "$(cat /tmp/won.* | grep -c dir)" \
	"$(($(ls "$d3/claims" | grep -c 'got\|dir')))" "directories"

note "costs on an agent"
echo warm >warm
at_node 2 cat warm >/dev/null
at_node 2 ls -l >/dev/null
at_node 2 costs 0 stat warm . >/dev/null
at_node 2 costs 0 test ! -e file
exec 3<>"$d2/warm"
at_node 2 costs 0 bash -c 'for i in {1..50}; do echo $i >&3; done'
at_node 2 costs 0 bash -c 'head -c 20 /proc/self/fd/3 >/dev/null'
exec 3>&-

note "random operations; model and tool on XFS first, with lies"
measure=$(mktemp -d "$ORCH_VOLUME_MNT/nodes.XXXXXX")
at_exit "rm -rf $measure"
mkdir "$measure/true"
opsnodes --mount "$measure/true" --mount "$measure/true" \
	--mount "$measure/true" --seed "$SEED" --ops "$(long_or 20000 3000)"
for op in create rename unlink append lstat read readdir setxattr pread; do
	mkdir "$measure/$op"
	! opsnodes --mount "$measure/$op" --mount "$measure/$op" --ops 3000 \
		--seed "$SEED" --lie $op 2>/tmp/lie ||
		fail "the tool doesn't see that $op lies"
	grep -q 'FAILED' /tmp/lie || fail "the tool failed: $(cat /tmp/lie)"
done
mkdir random
soon "$(long_or 6500 1000)" opsnodes --mount random --mount "$d2/random" \
	--mount "$d3/random" --seed "$SEED" \
	--ops "$(long_or 1000000 100000)" --seconds "$(long_or 5000 150)"
fsck_clean

note "ls -l of 1,000 files that another node writes"
mkdir many
at_node 2 python3 -I -c '
import os
fds = [os.open("many/f%d" % i, os.O_CREAT | os.O_RDWR) for i in range(1000)]
for turn in range(1 << 30):
	for fd in fds:
		os.write(fd, b"line\n")
	if turn == 0:
		open("started", "w").close()
	if os.path.exists("enough"):
		break' &
writer=$!
wait_until 120 "the writer" test -e started
at_node 3 costs 20 ls -l many >/tmp/listed
is "$(grep -c ' f[0-9]*$' /tmp/listed)" 1000 "files listed"
! grep -q ' 0 .* f[0-9]*$' /tmp/listed || fail "sizes that are old: $(grep -c ' 0 .* f[0-9]*$' /tmp/listed)"
touch enough
wait $writer || fail "the writer"
cmp <(cd many; stat -c '%n %s %y' *) <(cd "$d3/many"; stat -c '%n %s %y' *)
soon 300 rm -rf "$d3/random" "$d2/many"
fsck_clean
