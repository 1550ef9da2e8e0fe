#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# debug: no: programs above what the others cover
# timeout: 600
# A container: the layers of an image are unpacked on orchfs, overlayfs puts
# them together with an upper layer there, and programs of the image work in
# it. The same on XFS tells what must come out.
. "$(dirname "$0")/lib.sh"
modprobe overlay || skip "the kernel has no overlayfs"

xfs=$ORCH_VOLUME_MNT/container
image=/tmp/image
at_exit "rm -rf $xfs $image"
mkdir -p "$image" "$xfs"

note "an image of three layers"
root=$image/root
mkdir -p $root/{bin,tmp,proc,data}
programs=(bash cat chmod chown cp find ln ls mkdir mv rm rmdir sed sha256sum
	sort stat tar touch true python3 setfattr getfattr)
for program in "${programs[@]}"; do
	cp -L "$(type -P "$program")" $root/bin/
done
{ ldd $root/bin/* 2>/dev/null || :; } | grep -oE '/[^ ]+\.so[^ ]*' | sort -u |
	cpio --quiet -pdL $root
ln -sf bash $root/bin/sh
python=$(echo /usr/lib/python3.*)
mkdir -p "$root/$python"
cp -a "$python"/{json,encodings,collections,re,importlib,lib-dynload,*.py} "$root/$python/"
cp -a /etc $root/
for i in {1..40}; do
	mkdir -p $root/data/d$((i % 5))
	seq $i $((i * 50)) >$root/data/d$((i % 5))/f$i
done
tar -C $root -cf $image/1.tar .
# the second layer removes, replaces and hides
second=$image/second
mkdir -p $second/data/d1 $second/etc
: >$second/etc/.wh.passwd
: >$second/data/d1/.wh..wh..opq
echo "of the second layer" >$second/data/d1/only
echo "replaced" >$second/data/f-new
tar -C $second -cf $image/2.tar .
third=$image/third
mkdir -p $third/data
: >$third/data/.wh.d2
tar -C $third -cf $image/3.tar .

# unpack TAR DIR: a layer as container engines put it on a disk.
unpack() {
	local mark dir
	mkdir "$2"
	tar -C "$2" -xpf "$1"
	find "$2" -name '.wh.*' | while read -r mark; do
		dir=$(dirname "$mark")
		rm "$mark"
		if [ "${mark##*/}" = .wh..wh..opq ]; then
			setfattr -n trusted.overlay.opaque -v y "$dir"
		else
			mknod "$dir/${mark##*/.wh.}" c 0 0
		fi
	done
}

# container DIR OPTIONS: mounted at /tmp/merged.
container() {
	mkdir -p /tmp/merged
	mount -t overlay overlay -o "lowerdir=$1/3:$1/2:$1/1,$2" \
		-o "upperdir=$1/upper,workdir=$1/work" /tmp/merged ||
		{ dmesg | tail -n 5; fail "overlayfs on $1"; }
}

listing() {
	(
		cd "$1"
		# sizes and numbers of links of folders are the file system's
		find . -path ./proc -prune -o -type d -printf '%p %m %U:%G\n' -o \
			-printf '%p %y %m %U:%G %n %s %l\n' | sort
		find . -type f -exec sha256sum {} + | sort
		getfattr -R -h -d -m '^user\.' . 2>/dev/null | sort
	)
}

cat >$image/work.sh <<'EOW'
set -e
cd /data
[ ! -e /etc/passwd ]
[ ! -e d2 ]
[ "$(ls d1)" = only ]
echo new >new
echo appended >>d3/f3
chmod 600 d3/f8
chown 7:8 d4/f4
mv d3/f13 d4/moved
mv d0 renamed
rm d3/f18
rm -r d4/f9 d1
mkdir d1
echo again >d1/again
ln d3/f23 d3/hard
echo through >>d3/hard
ln -sf f28 d3/symbolic
setfattr -n user.k -v value d3/f33
python3 -I -c '
import json, mmap, os
with open("d3/f38", "r+b") as f, mmap.mmap(f.fileno(), 0) as m:
    m[0:4] = b"MMAP"
    m.flush()
json.dump(sorted(os.listdir("d3")), open("list.json", "w"))
os.makedirs("deep/" + "/".join("abcdefgh"))
os.rename("deep/a/b", "deep/b")
'
cp -a /etc /data/etc-copy
rm -rf /etc/init.d
for i in 1 2 3 4 5 6 7 8; do
	echo $i >/tmp/f$i
	mv /tmp/f$i /tmp/g
done
[ "$(cat /tmp/g)" = 8 ]
[ "$(stat -c %h d3/hard)" = 2 ]
EOW

for base in "$PWD" "$xfs"; do
	for layer in 1 2 3; do
		unpack $image/$layer.tar "$base/$layer"
	done
done

# round NAME OPTIONS
round() {
	local base
	for base in "$PWD" "$xfs"; do
		note "$1 on $(stat -f -c %T "$base")"
		rm -rf "$base/upper" "$base/work"
		mkdir "$base/upper" "$base/work"
		container "$base" "$2"
		cp $image/work.sh /tmp/merged/work.sh
		chroot /tmp/merged /bin/sh -e /work.sh ||
			fail "the container's work on $base"
		listing /tmp/merged >/tmp/list.now
		umount /tmp/merged
		container "$base" "$2"
		listing /tmp/merged >"/tmp/list.${base//\//_}"
		umount /tmp/merged
		diff /tmp/list.now "/tmp/list.${base//\//_}" ||
			fail "another tree after a second mount"
		[ -c "$base/upper/data/d3/f18" ] || fail "no whiteout"
	done
	diff "/tmp/list.${xfs//\//_}" "/tmp/list.${PWD//\//_}" ||
		fail "another tree than on XFS"
}

at_exit "umount -l /tmp/merged 2>/dev/null"
round "the container's work" redirect_dir=off,index=off,metacopy=off
round "with all features" redirect_dir=on,index=on,metacopy=on,xino=on
! dmesg | grep -E 'overlayfs:.*(falling back|not support|failed)' ||
	note "(overlayfs did without some of them)"
