#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
# The shortest proof that a mounted namespace is a file system.
. /inject/selftests/e2e/lib.sh

is "$(findmnt -n -o FSTYPE "$ORCH_MNT")" orchfs "type of the mount"

echo hello >file
is "$(cat file)" hello "content"
mkdir dir
mv file dir/renamed
is "$(cat dir/renamed)" hello "content after rename"
ln dir/renamed link
is "$(stat -c %h link)" 2 "link count"
ln -s link symlink
is "$(cat symlink)" hello "content through a symlink"
printf ' world' >>link
is "$(stat -c %s dir/renamed)" 12 "size after append"
rm link
is "$(stat -c %h dir/renamed)" 1 "link count after unlink"

sum=$(head -c 3000000 /dev/urandom | tee big | sha256sum)
sync big
is "$(sha256sum <big)" "$sum" "checksum of 3 MB"

cd /
cd /
umount "$ORCH_MNT"
orch-start
is "$(sha256sum <"$TEST_DIR/big")" "$sum" "checksum after a new mount"
